"""What a run is, decided once: `Manifest`, written to `runs/{run}/manifest.json` before anything is dispatched.

Pure values and their JSON (format 1); the run's identifier is a UUIDv7, so that runs sort by the time they began.
"""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from federation.errors import FormatTooNew, IndexCorrupt

MANIFEST_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """One run: which job, version and slots, and within which limits. `groups` maps each publishing group to its count."""

    run: str
    job: str
    job_file: str
    """The jobspec, relative to the project's folder: what `resume` renders again."""
    spec_hash: str
    version: str
    slots: int
    groups: Mapping[str, int]
    regions: tuple[str, ...]
    """A hard limit, for retries and fail-over too."""
    one_each: bool
    """Slot i starts in region i: the run was asked for without -n."""
    meta: Mapping[str, str]
    payload: bytes
    policy: str
    results: str
    """publish or none"""
    max_attempts: int
    author: str
    created: str
    variables: tuple[str, ...] = ()
    """`-var` of the command line, and `-var-file` paths: what `resume` evaluates the jobspec with."""
    var_files: tuple[str, ...] = ()

    @property
    def expected_keys(self) -> int:
        """How many results the index is to hold at the end."""
        return self.slots * sum(self.groups.values())

    def to_json(self) -> bytes:
        """Canonical JSON."""
        data: dict[str, Any] = asdict(self)
        data["format"] = MANIFEST_FORMAT
        data["payload"] = base64.b64encode(self.payload).decode()
        return json.dumps(data, sort_keys=True, ensure_ascii=False, indent=1).encode()

    @classmethod
    def from_json(cls, text: bytes, *, source: str) -> Manifest:
        """The manifest again. Raises FormatTooNew or IndexCorrupt, naming `source`."""
        try:
            data = json.loads(text)
            if int(data["format"]) > MANIFEST_FORMAT:
                raise FormatTooNew(
                    f"{source} has format {data['format']}, this fedml knows {MANIFEST_FORMAT}: upgrade fedml"
                )
            fields = {name: data[name] for name in cls.__slots__ if name in data}
            fields["payload"] = base64.b64decode(data["payload"])
            for name in ("regions", "variables", "var_files"):
                fields[name] = tuple(data[name])
            return cls(**fields)
        except (ValueError, KeyError, TypeError) as error:
            raise IndexCorrupt(f"{source} is no manifest: {type(error).__name__} {error}") from error


def new_run_id(unix_ms: int) -> str:
    """A UUIDv7 (RFC 9562, 5.7): 48 bits of Unix milliseconds, then random."""
    value = (unix_ms & (2**48 - 1)) << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def idempotency_token(run: str, slot: int, attempt: int) -> str:
    """Derived, not drawn: whoever repeats the dispatch of an attempt sends the same token."""
    return f"fedml-{run}-{slot}-{attempt}"
