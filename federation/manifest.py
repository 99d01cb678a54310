"""Manifest of a run: what the run is, decided once and written before anything is dispatched.

Values and their JSON (format 1, or 2 where rows and payloads are paired). The run's identifier is a UUIDv7, so that runs
sort by the time they began.
"""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from federation.curves import KeepBest
from federation.errors import FormatTooNew, IndexCorrupt
from federation.plan import Room
from jobs.errors import ForeignTextError
from jobs.foreign import Members, parse_json, reason_of, understood
from jobs.frozen import field, frozen
from jobs.params.sweep import SLOTS_MAX, Sweep
from jobs.spec import RUN_KEYS, SPEC_KEY

MANIFEST_FORMAT = 2
_DIGITS_MAX = 30


@frozen
class RunCode:
    """The code of a run, and the job that runs it. What is dispatched of it is in the manifest's meta."""

    sha256: str
    command: tuple[str, ...]
    """The command, without the slots' parameters."""
    environment: str
    """project, requirements, script or none: where the code declares its dependencies."""
    jobspec: str
    """The HCL text: `resume` renders it again."""
    size_bytes: int = 0
    file_count: int = 0
    lock_sha256: str = ""
    git_commit: str = ""
    git_dirty: bool = False
    """The code wasn't the commit's. The difference lies beside the manifest, unless it is large or holds a secret."""


@frozen
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
    late: tuple[str, ...] = ()
    """Those of its regions that hadn't answered when it was opened: they get the job when they join."""
    variables: tuple[str, ...] = ()
    """`-var` of the command line, and (`var_files`) its `-var-file` paths; `resume` evaluates the jobspec with them."""
    var_files: tuple[str, ...] = ()
    parent: str = ""
    """The Nomad job that is dispatched, where it isn't `job` itself: an isolated run has one of its own."""
    deployed_over: Mapping[str, int] = field(factory=dict)
    """Region → the Nomad version of the job that stood there before this run's deployment changed it (-1: none)."""
    registered_at: Mapping[str, int] = field(factory=dict)
    """Region → JobModifyIndex of a job that isn't as fedml registered it: another index is another job. One that fedml never
    registered carries no spec hash (`spec_hash` is "")."""
    sweep: Sweep = field(factory=Sweep)
    """What slots differ in; their rows and payloads lie beside the manifest."""
    rooms: tuple[Room, ...] = ()
    """What its policy uses in each region (price, duration, minimum, cap, weight, elastic slots), as it was when the run
    was opened; what was free then isn't in it."""
    allow_preemption: bool = False
    """Room that Nomad makes by evicting other work counts."""
    declared_meta: tuple[str, ...] | None = None
    """The meta keys that such a job declares: no other is sent. None: the renderer has declared all of fedml's."""

    max_failures: int | None = None
    """When more slots than this have failed, the run is stopped; None: it goes on."""
    slot_timeout_s: float | None = None
    """An attempt that runs for longer is stopped."""
    pending_timeout_s: float | None = None
    """An attempt that waits for a node for longer is bound elsewhere, where there is room; a region's own setting wins."""
    on_region_lost: str = "rebind"
    """What becomes of a lost region's attempts: rebind (bound anew), wait or ask (only by `fedml runs rebind`)"""
    canary: int = 0
    """So many slots a region come first, the rest when their results are in the index."""
    canary_on_failure: str = "all"
    """A canary's failure ends the run (all), or leaves its region out (local)."""
    purge_finished: bool = False
    """Children whose results are committed are purged from Nomad."""
    name: str = ""
    """What people call it (`--name`). Later runs may have the same name."""
    stop_when: str = ""
    """A condition as of `--where`: a running attempt whose newest values meet it is stopped; "": none."""
    keep_best: KeepBest | None = None
    """Of the slots that reached a step, only the best ones go on."""
    priority: int = 50
    """Between runs of one job at the same time: the higher one gets room first (1 to 100, as Nomad's)."""
    code: RunCode | None = None
    """Of a run of `fedml run`. Its Nomad job (`parent`) serves later runs too and stays."""

    @property
    def code_sha256(self) -> str:
        """The name of its code; empty for a run of a jobspec."""
        return self.code.sha256 if self.code is not None else ""

    @property
    def parent_id(self) -> str:
        """The ID of the Nomad job that is dispatched."""
        return self.parent or self.job

    def own_meta(self, slot: int, attempt: int) -> dict[str, str]:
        """Gives the meta that fedml itself adds to one dispatch: as much of it as the job declares."""
        own = dict(zip(RUN_KEYS, (self.run, str(slot), str(attempt)), strict=True))
        return {key: value for key, value in own.items() if self.declared_meta is None or key in self.declared_meta}

    def spec_in(self, region: str, parent: Mapping[str, Any]) -> str:
        """The spec hash of a region's registered job, to be compared with the run's own; of a job that isn't as fedml
        registered it, that holds only as long as nobody registered another one since."""
        at = self.registered_at.get(region)
        if at is not None and int(parent.get("JobModifyIndex") or 0) != at:
            return "changed"
        return str((parent.get("Meta") or {}).get(SPEC_KEY, ""))

    def child_of(self, job: Mapping[str, Any]) -> tuple[int, int] | None:
        """Gives (slot, attempt) of a child of this run, by its meta or, where the job declares none for it, its token."""
        meta = job.get("Meta") or {}
        token = str(job.get("DispatchIdempotencyToken") or "")
        run, slot, attempt = (str(meta.get(key, "")) for key in RUN_KEYS)
        if not run and token.startswith(prefix := f"fedml-{self.run}-"):
            run, (slot, _, attempt) = self.run, token.removeprefix(prefix).partition("-")
        if run != self.run or not (slot.isdecimal() and attempt.isdecimal() and len(slot + attempt) <= _DIGITS_MAX):
            return None
        return int(slot), int(attempt)

    @property
    def expected_keys(self) -> int:
        """How many results the index is to hold at the end."""
        return self.slots * sum(self.groups.values())

    def to_json(self) -> bytes:
        """Canonical JSON."""
        data: dict[str, Any] = asdict(self)
        data["format"] = MANIFEST_FORMAT if self.sweep.is_paired or self.sweep.in_params or self.code else 1
        data["payload"] = base64.b64encode(self.payload).decode()
        return json.dumps(data, sort_keys=True, ensure_ascii=False, indent=1).encode()

    @classmethod
    def from_json(cls, text: bytes, *, source: str) -> Manifest:
        """Reads a manifest. Raises FormatTooNew or IndexCorrupt, naming `source`."""
        try:
            data = Members(parse_json(text, source=source), source=source)
            if data.whole("format", least=1) > MANIFEST_FORMAT:
                raise FormatTooNew(
                    f"{source} has format {data.any('format')}, this fedml knows {MANIFEST_FORMAT}: upgrade fedml"
                )
            return understood(source, lambda: cls(**_fields(data)))
        except ForeignTextError as error:
            raise IndexCorrupt(f"{source} is not a manifest: {reason_of(error, source)}", hint=error.hint) from error


def _fields(data: Members) -> dict[str, Any]:
    """Reads the fields, each with its type. A field that an earlier version didn't write keeps its default."""
    fields: dict[str, Any] = {name: data.text(name) for name in _TEXTS}
    fields |= {name: data.text(name) for name in _LATER_TEXTS if name in data}
    fields |= {name: tuple(data.texts(name)) for name in ("regions", "variables", "var_files")}
    fields["late"] = tuple(data.texts("late", ()))
    fields |= {name: data.flag(name) for name in _FLAGS if name in data}
    fields |= {name: _numbers(data, name, least=-1) for name in ("deployed_over", "registered_at") if name in data}
    seconds = ("slot_timeout_s", "pending_timeout_s")
    fields |= {name: data.number(name) for name in seconds if data.any(name, None) is not None}
    fields |= {name: data.whole(name) for name in ("canary", "priority") if name in data}
    if data.any("max_failures", None) is not None:
        fields["max_failures"] = data.whole("max_failures")
    if data.any("declared_meta", None) is not None:
        fields["declared_meta"] = tuple(data.texts("declared_meta"))
    if data.any("keep_best", None) is not None:
        fields["keep_best"] = KeepBest.read(data.members("keep_best"))
    if data.any("code", None) is not None:
        fields["code"] = _code(data.members("code"))
    if "sweep" in data:
        fields["sweep"] = Sweep.from_dict(data.object("sweep"))
    if datetime.fromisoformat(fields["created"]).tzinfo is None:
        raise data.wrong("created", "has no time zone")
    return fields | {
        "slots": data.whole("slots", most=SLOTS_MAX),
        "groups": _numbers(data, "groups", least=0),
        "one_each": data.flag("one_each"),
        "meta": data.text_map("meta", chars_max=1 << 20),
        "payload": base64.b64decode(data.text("payload", chars_max=1 << 24)),
        "max_attempts": data.whole("max_attempts"),
        "rooms": tuple(_room(room) for room in data.each("rooms", ())),
    }


_TEXTS = ("run", "job", "job_file", "spec_hash", "version", "policy", "results", "author", "created")
_LATER_TEXTS = ("parent", "on_region_lost", "canary_on_failure", "name", "stop_when")
_FLAGS = ("allow_preemption", "purge_finished")


def _numbers(data: Members, name: str, *, least: int) -> dict[str, int]:
    members = data.members(name)
    return {each: members.whole(each, least=least) for each in members.names()}


def _code(data: Members) -> RunCode:
    return RunCode(
        sha256=data.text("sha256"),
        command=tuple(data.texts("command", chars_max=1 << 16)),
        environment=data.text("environment"),
        jobspec=data.text("jobspec", chars_max=1 << 20),
        size_bytes=data.whole("size_bytes"),
        file_count=data.whole("file_count"),
        lock_sha256=data.text("lock_sha256"),
        git_commit=data.text("git_commit"),
        git_dirty=data.flag("git_dirty"),
    )


def _room(data: Members) -> Room:
    numbers = ("weight", "price_per_hour", "expected_duration_s")
    known: dict[str, Any] = {name: data.number(name) for name in numbers if data.any(name, None) is not None}
    wholes = ("order", "minimum", "cap", "elastic")
    known |= {name: data.whole(name) for name in wholes if data.any(name, None) is not None}
    return Room(data.text("region"), 0, detail=data.text("detail", ""), **known)


def new_run_id(unix_ms: int) -> str:
    """Makes a UUIDv7 (RFC 9562, 5.7): 48 bits of Unix milliseconds, then random."""
    value = (unix_ms & (2**48 - 1)) << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def idempotency_token(run: str, slot: int, attempt: int) -> str:
    """Derives the token from the attempt, so that whoever repeats its dispatch sends the same token."""
    return f"fedml-{run}-{slot}-{attempt}"
