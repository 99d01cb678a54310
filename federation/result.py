"""A published artifact's record: written by `publish` on the node, read by the coordinator, committed to the index.

Pure values: the record's JSON (format 1), its limits, its key, and where record and artifact lie in a store. No I/O. A
record is a claim of a node: reading one gives a record of the right types within the limits, or raises PublishError.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Union

from federation.errors import PublishError, RecordTooNew
from jobs.errors import ForeignTextError
from jobs.foreign import Members, kind_of, parse_object
from jobs.frozen import as_dict, field, frozen
from jobs.json_limits import WHOLE_NUMBER_MAX, Limits

RECORD_FORMAT = 1
RECORD_BYTES_MAX = 16 * 1024 * 1024
FILES_MAX = 50_000
ARTIFACT_BYTES_MAX = WHOLE_NUMBER_MAX
METRICS_MAX = 10_000
PARAMS_MAX = 1_000
ENVIRONMENT_MAX = 1_000
NAME_CHARS_MAX = 512
"""Of a metric, a parameter or a member of the environment."""
TEXT_CHARS_MAX = 65_536
PATH_CHARS_MAX = 1024
_FIELD_CHARS_MAX = 4096
UNVERSIONED = "unversioned"
"""Version of an ad-hoc run whose job names none. It is not a whole number, so `next` never counts from it."""
ADOPTED = "adopted"
"""In the environment of a record that no job published: the pattern of `fedml.toml` by which its objects were found."""

_LIMITS = Limits(
    size_bytes_max=RECORD_BYTES_MAX, depth_max=16, items_max=1_000_000, text_chars_max=TEXT_CHARS_MAX, whole_max=10**308
)
_FLOATS = ("nan", "inf", "-inf")

MetricValue = Union[float, int, str, bool]  # noqa: UP007 - in the archive for nodes it runs under Python 3.9


@frozen
class Key:
    """What is to exist exactly once in the index: one allocation index of one group of one slot of one run."""

    run: str
    slot: int
    group: str
    index: int

    def __lt__(self, other: Key) -> bool:
        return (self.run, self.slot, self.group, self.index) < (other.run, other.slot, other.group, other.index)

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


CODE_SHA256 = "code_sha256"
LEFT_OUT = "left_out"
"""In the environment: what the record can't hold of the metrics and texts of the task, and why."""
"""In a record's environment: the name of the packed code that made it."""


@frozen
class ResultFile:
    """One file of an artifact: its path relative to the artifact, POSIX style."""

    path: str
    size_bytes: int
    sha256: str
    etag: str = ""
    """The store's mark of this very version of an object that was recorded where it lay; "" for what fedml wrote."""


@frozen
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
    metrics: Mapping[str, MetricValue] = field(factory=dict)
    params: Mapping[str, str] = field(factory=dict)
    """The dispatch's meta, without fedml's own keys."""
    environment: Mapping[str, str] = field(factory=dict)
    """Versions of Python, the framework and fedml, and other facts about where it was trained."""
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

    @property
    def has_its_manifest(self) -> bool:
        """Whether `manifest_sha256` is the hash of `files`."""
        return manifest_sha256(self.files) == self.manifest_sha256

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; NaN and infinities, which JSON lacks, as `{"$float": "nan"}`."""
        data = as_dict(self) | {"format": RECORD_FORMAT, "key": as_dict(self.key), "metrics": self.written_metrics}
        data["files"] = tuple(map(as_dict, self.files))
        if self.prefix is None:
            del data["prefix"]
        for file in data["files"]:
            if not file["etag"]:
                del file["etag"]
        return data

    @property
    def written_metrics(self) -> dict[str, Any]:
        """The metrics, JSON-ready."""
        return {name: json_value(value) for name, value in self.metrics.items()}

    def to_json(self) -> bytes:
        """Canonical JSON: sorted keys, UTF-8."""
        return json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False, allow_nan=False).encode()

    @classmethod
    def from_dict(cls, data: object, *, source: str = "record") -> ResultRecord:
        """The record again, every value of its type; members beyond the known ones are left out: a node may run a newer
        fedml of the same format. Limits of numbers and sizes are not looked at: an index may hold records from before
        there were any (`refuse_too_large`). Raises RecordTooNew for a newer format, PublishError for anything else."""
        try:
            return _record(Members(data, source=source))
        except ForeignTextError as error:
            raise PublishError(error.message, hint=error.hint) from error

    @classmethod
    def from_json(cls, text: bytes, *, source: str = "record") -> ResultRecord:
        """As `from_dict`, from bytes that a node wrote, within the limits."""
        try:
            data = parse_object(text, source=source, limits=_LIMITS)
        except ForeignTextError as error:
            raise PublishError(error.message, hint=error.hint) from error
        return refuse_too_large(cls.from_dict(data, source=source), source=source)


def refuse_too_large(record: ResultRecord, *, source: str = "record") -> ResultRecord:
    """The record itself. Raises PublishError where it holds more than an index takes (docs/reference/index.md)."""
    for what, count, most in (
        ("files", len(record.files), FILES_MAX),
        ("bytes in its files", record.size_bytes, ARTIFACT_BYTES_MAX),
        ("metrics", len(record.metrics), METRICS_MAX),
        ("parameters", len(record.params), PARAMS_MAX),
        ("members of its environment", len(record.environment), ENVIRONMENT_MAX),
    ):
        if count > most:
            raise PublishError(f"{source} has {count:,} {what}; the limit is {most:,}", hint=_HINT)
    for what, members in (
        ("metric", record.metrics),
        ("parameter", record.params),
        ("member of the environment", record.environment),
    ):
        for name, value in members.items():
            if len(name) > NAME_CHARS_MAX:
                raise PublishError(
                    f"{source} has a {what} whose name has more than {NAME_CHARS_MAX} characters", hint=_HINT
                )
            if isinstance(value, str) and len(value) > TEXT_CHARS_MAX:
                raise PublishError(
                    f"{source} has a {what} {name!a} of {len(value):,} characters; the limit is {TEXT_CHARS_MAX:,}",
                    hint=_HINT,
                )
    return record


_HINT = "publish less: one archive instead of many files, a file in the artifact instead of a long text"


def store_name(url: str) -> str:
    """The store's URL without its endpoint and other parameters: for people. It doesn't tell stores apart."""
    return url.partition("?")[0].rstrip("/")


def manifest_sha256(files: Iterable[ResultFile]) -> str:
    """The hash of all names, sizes and hashes: the same for the same bytes, wherever they were made."""
    listed = [{"path": file.path, "sha256": file.sha256, "size_bytes": file.size_bytes} for file in files]
    return hashlib.sha256(json.dumps(listed, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _record(data: Members) -> ResultRecord:
    if data.whole("format", least=1) > RECORD_FORMAT:
        raise RecordTooNew(
            f"{data.source} has format {data.any('format')}, this fedml knows {RECORD_FORMAT}: upgrade fedml"
        )
    key = data.members("key")
    texts = ("job", "version", "spec_hash", "region", "datacenter", "node", "alloc_id", "job_id", "store", "created")
    return ResultRecord(
        key=Key(key.text("run"), key.whole("slot"), key.text("group"), key.whole("index")),
        attempt=data.whole("attempt"),
        **{name: data.text(name, chars_max=_FIELD_CHARS_MAX) for name in texts},
        manifest_sha256=data.text("manifest_sha256", chars_max=PATH_CHARS_MAX),
        files=tuple(_file(file) for file in data.each("files")),
        metrics=_metrics(data),
        params=data.text_map("params", {}, chars_max=_ANY),
        environment=data.text_map("environment", {}, chars_max=_ANY),
        prefix=data.text("prefix", chars_max=PATH_CHARS_MAX) if "prefix" in data else None,
    )


_ANY = RECORD_BYTES_MAX * 16


def _file(file: Members) -> ResultFile:
    return ResultFile(
        path=file.text("path", chars_max=PATH_CHARS_MAX),
        size_bytes=file.whole("size_bytes"),
        sha256=file.text("sha256", chars_max=PATH_CHARS_MAX),
        etag=file.text("etag", "", chars_max=PATH_CHARS_MAX),
    )


def _metrics(data: Members) -> dict[str, MetricValue]:
    metrics = data.members("metrics", {})
    return {name: _metric(metrics, metrics.name(name, _ANY)) for name in metrics.names()}


def _metric(metrics: Members, name: str) -> MetricValue:
    value = metrics.any(name)
    if isinstance(value, dict) and value.keys() == {"$float"} and value["$float"] in _FLOATS:
        return float(value["$float"])
    if isinstance(value, str):
        return metrics.text(name, chars_max=_ANY)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, int):
        return value
    raise metrics.wrong(name, f"is not a metric ({kind_of(value)})")


def json_value(value: MetricValue | None) -> Any:
    """The value in JSON. A float that JSON lacks becomes `{"$float": "nan"}`."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    return value


AD_HOC = "nomad:"
"""How the names of runs begin that fedml didn't dispatch."""


def ad_hoc_run(region: str, child: str) -> str:
    """The run of a child that fedml didn't dispatch: one key segment, different for every child."""
    return f"{AD_HOC}{_escaped(region)}:{_escaped(child)}"


def _escaped(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", lambda match: "".join(f"~{byte:02X}" for byte in match[0].encode()), text)
