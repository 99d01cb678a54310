"""A published artifact's record: written by `publish` on the node, read by the coordinator, committed to the index.

A leaf of pure values: the record's JSON (format 1), its key, and where record and artifact lie in a store. No I/O.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from dataclasses import fields as fields_of
from typing import Any, Union

from federation.errors import FormatTooNew, PublishError

RECORD_FORMAT = 1
ADOPTED = "adopted"
"""In the environment of a record that no job published: the pattern of `fedml.toml` by which its objects were found."""

MetricValue = Union[float, int, str, bool]  # noqa: UP007 - in the archive for nodes it runs under Python 3.9


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What is to exist exactly once in the index: one allocation index of one group of one slot of one run."""

    run: str
    slot: int
    group: str
    index: int

    @property
    def path(self) -> str:
        """`{run}/{slot:09d}/{group}/{index}`: the part that record and artifact share."""
        return f"{self.run}/{self.slot:09d}/{self.group}/{self.index}"

    def record_key(self, alloc_id: str) -> str:
        """Where the record of that allocation lies in its store."""
        return f"results/{self.path}/{alloc_id}.json"

    def artifact_prefix(self, alloc_id: str, manifest_sha256: str) -> str:
        """Under which the artifact's files lie, ending in `/`."""
        return f"artifacts/{self.path}/{alloc_id}/{manifest_sha256}/"


@dataclass(frozen=True, slots=True)
class ResultFile:
    """One file of an artifact: its path relative to the artifact, POSIX style."""

    path: str
    size_bytes: int
    sha256: str
    etag: str = ""
    """The store's mark of this very version of an object that was recorded where it lay; "" for what fedml wrote."""


@dataclass(frozen=True, slots=True)
class ResultRecord:
    """One allocation's published result. `store` is the store's URL without any secret; times are RFC 3339 in UTC."""

    key: Key
    attempt: int
    job: str
    version: str
    spec_hash: str
    region: str
    datacenter: str
    node: str
    alloc_id: str
    job_id: str
    """The dispatched child."""
    store: str
    manifest_sha256: str
    files: tuple[ResultFile, ...]
    created: str
    metrics: Mapping[str, MetricValue] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    """The dispatch's meta, without fedml's own keys."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Versions of Python, the framework and fedml, and what else was told of the place it was trained in."""
    prefix: str | None = None
    """Where in `store` the files lie that were there already and weren't copied (`models/`, or empty); None: at the
    key's own place."""

    @property
    def is_adopted(self) -> bool:
        """Whether fedml found it where its job wrote it: then only the index has its record."""
        return self.prefix is not None and ADOPTED in self.environment

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.size_bytes for file in self.files)

    @property
    def artifact_prefix(self) -> str:
        """The artifact's key prefix in its store."""
        if self.prefix is not None:
            return self.prefix
        return self.key.artifact_prefix(self.alloc_id, self.manifest_sha256)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; NaN and infinities, which JSON lacks, as `{"$float": "nan"}`."""
        data = asdict(self)
        data["format"] = RECORD_FORMAT
        if self.prefix is None:
            del data["prefix"]
        for file in data["files"]:
            if not file["etag"]:
                del file["etag"]
        data["metrics"] = {name: _metric_to_json(value) for name, value in self.metrics.items()}
        return data

    def to_json(self) -> bytes:
        """Canonical JSON: sorted keys, UTF-8."""
        return json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False, allow_nan=False).encode()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, source: str = "record") -> ResultRecord:
        """The record again; what it has beyond the known fields is left out: a node may run a newer fedml of the same
        format. Raises FormatTooNew for a newer format, PublishError for what is no record."""
        try:
            if int(data["format"]) > RECORD_FORMAT:
                raise FormatTooNew(
                    f"{source} has format {data['format']}, this fedml knows {RECORD_FORMAT}: upgrade fedml"
                )
            fields = _known(cls, data)
            fields["key"] = Key(**_known(Key, data["key"]))
            if not isinstance(fields.get("prefix", ""), str):
                raise ValueError(f"prefix {fields['prefix']!r}")
            fields["files"] = tuple(ResultFile(**_known(ResultFile, file)) for file in data["files"])
            fields["metrics"] = {name: _metric_from_json(value) for name, value in data.get("metrics", {}).items()}
            return cls(**fields)
        except (KeyError, TypeError, ValueError) as error:
            raise PublishError(f"{source} is no result record: {type(error).__name__} {error}") from error

    @classmethod
    def from_json(cls, text: bytes, *, source: str = "record") -> ResultRecord:
        """As `from_dict`, from bytes."""
        try:
            data = json.loads(text)
        except ValueError as error:
            raise PublishError(f"{source} is no JSON: {error}") from error
        if not isinstance(data, dict):
            raise PublishError(f"{source} is no result record")
        return cls.from_dict(data, source=source)


def manifest_sha256(files: Iterable[ResultFile]) -> str:
    """The hash of all names, sizes and hashes: the same for the same bytes, wherever they were made."""
    listed = [{"path": file.path, "sha256": file.sha256, "size_bytes": file.size_bytes} for file in files]
    return hashlib.sha256(json.dumps(listed, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _known(kind: type[Key | ResultFile | ResultRecord], data: Mapping[str, Any]) -> dict[str, Any]:
    return {each.name: data[each.name] for each in fields_of(kind) if each.name in data}


def _metric_to_json(value: MetricValue) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    return value


def _metric_from_json(value: Any) -> MetricValue:
    if isinstance(value, dict):
        return float(value["$float"])
    if isinstance(value, (float, int, str, bool)):
        return value
    raise ValueError(f"metric value {value!r}")
