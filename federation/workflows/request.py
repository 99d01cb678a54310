"""What a person asks of a run, and its checks: how many slots, of which version, placed by which rules.

`plan` and `dispatch` take the same request, so that one shows what the other does. A request is checked once; what comes
after demands the type of a checked one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from federation.config.model import Config
from federation.deploy.prepare import JobRequest
from federation.errors import UsageError
from federation.index.validation import checked_run_name
from federation.manifest import RunCode
from federation.plan import policy_named
from federation.run.user_limits import Patience
from federation.text import duration_s, is_duration
from jobs.params.checks import check_asks
from jobs.params.sweep import SLOTS_MAX, Asks
from jobs.spec import JobShape, checked_version

if TYPE_CHECKING:
    from federation.code.pack import PackedCode  # brings all that packs code, which only `fedml run` has a use for


@dataclass(frozen=True, slots=True)
class Placing:
    """How slots are placed: what a person set beside fedml.toml. `deadline_s` counts from when it was read."""

    policy: str | None = None
    caps: Mapping[str, int] = field(default_factory=dict)
    minimums: Mapping[str, int] = field(default_factory=dict)
    deadline_s: float | None = None
    max_cost: float | None = None
    expected_duration_s: float | None = None
    """Of one slot, in every region. None: what earlier runs took."""
    allow_preemption: bool = False


@dataclass(frozen=True, slots=True)
class CodeRequest:
    """Code that slots run. `meta` is what each dispatch says of it."""

    kept: RunCode
    meta: Mapping[str, str]
    packed: PackedCode | None = None
    """What is put into the stores; None where an earlier run has put it there."""


@dataclass(frozen=True, slots=True)
class FailedSlots:
    """The slots of a run that a new run repeats."""

    run: str
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a person asks for. `slots` None: as fedml.toml says, else one in each region. `version` None or `next`: the next
    one."""

    job: JobRequest
    slots: int | None = None
    version: str | None = None
    meta: Mapping[str, str] | None = None
    payload: bytes = b""
    allow_secret_meta: bool = False
    asks: Asks = field(default_factory=Asks)
    placing: Placing = field(default_factory=Placing)
    patience: Patience = field(default_factory=Patience)
    code: CodeRequest | None = None
    """The code that it runs, of `fedml run`."""
    name: str = ""
    """What people call the run."""
    failed_of: FailedSlots | None = None
    """The slots that it repeats (`--failed-of`)."""


@dataclass(frozen=True, slots=True)
class CheckedRequest(RunRequest):
    """A request that a run of this federation can have. Only `check_request` makes one.

    `slots` is what the run comes to (None: one in each usable region), `version` is None for the next one, and the policy
    and the limits are settled: what the person set, else what fedml.toml says.
    """


@dataclass(frozen=True, slots=True)
class DispatchRequest(CheckedRequest):
    """A checked request whose meta and payload the job takes. Only `check_for_job` makes one."""

    slot_meta: Mapping[str, str] = field(default_factory=dict)
    """The meta that all slots get alike."""

    @property
    def first_meta(self) -> Mapping[str, str]:
        """The meta of the first slot, with its parameters."""
        return self.asks.inputs(self.slot_meta)(0)[0]


def check_request(request: RunRequest, config: Config) -> CheckedRequest:
    """Checks all that needs no job. Raises UsageError, InvalidMeta and InvalidSpec for numbers that no run can have, a
    version that is not valid, and regions and policies that there aren't."""
    if request.slots is not None and request.slots < 1:
        raise UsageError(f"-n {request.slots}: a run has at least one slot", hint="write -n 1 or more")
    slots = request.slots if request.slots is not None or not request.asks.is_empty else config.slots
    slots = request.asks.slots(slots)
    if slots is not None and slots > SLOTS_MAX:
        raise UsageError(
            f"{slots:,} slots are more than a run may have ({SLOTS_MAX:,})",
            hint="each slot is a job in Nomad and objects in a store; make several runs of it",
        )
    patience = request.patience.over(config.patience)
    patience.limits(slots or 1)
    if patience.stop_when:
        rows = request.asks.rows
        names = (*(axis.name for axis in request.asks.axes), *(rows.names if rows else ()))
        from federation.run.stop_when import checked_stop_when  # few runs have such a rule

        checked_stop_when(patience.stop_when, names)
    placing = request.placing
    for option, given in (("--cap", placing.caps), ("--minimum", placing.minimums)):
        if unknown := [name for name in given if name not in config.regions]:
            hint = f"there are: {', '.join(config.regions)}"
            raise UsageError(f"{option} {unknown[0]}: there is no such region", hint=hint)
    policy = placing.policy or config.policy
    policy_named(policy)
    if request.name:
        checked_run_name(request.name)
    version = None if request.version in (None, "next") else checked_version(str(request.version))
    settled = {
        "slots": slots,
        "version": version,
        "placing": replace(placing, policy=policy),
        "patience": patience,
    }
    return CheckedRequest(**_values(request) | settled)


def check_for_job(request: CheckedRequest, shape: JobShape) -> DispatchRequest:
    """Checks meta and payload of every slot against what the job declares. Raises InvalidMeta."""
    meta = check_asks(
        shape,
        request.asks,
        request.meta or {},
        request.payload,
        own=request.code.meta if request.code is not None else None,
        allow_secrets=request.allow_secret_meta,
    )
    return DispatchRequest(**_values(request) | {"asks": request.asks.for_job(shape)}, slot_meta=meta)


def _values(request: RunRequest) -> dict[str, Any]:
    return {name: getattr(request, name) for name in RunRequest.__match_args__}


def deadline_s(text: str, now: datetime) -> float:
    """Parses a duration or a time (ISO 8601; without a zone, this machine's) to seconds from `now`, which has a zone.
    Raises UsageError for other texts, and for a time that is past."""
    if is_duration(text):
        return duration_s(text, "--deadline")
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f"--deadline {text!r} is neither a duration nor a time",
            hint="write  --deadline 8h  or  --deadline 2026-11-25T18:00",
        ) from None
    moment = moment if moment.tzinfo else moment.astimezone()
    seconds = (moment - now).total_seconds()
    if seconds <= 0:
        raise UsageError(
            f"--deadline {text} is past: it is {now.isoformat(timespec='seconds')} now",
            hint="write a later time, or  --deadline 8h",
        )
    return seconds


def by_region(items: Sequence[str], flag: str) -> dict[str, int]:
    """Parses `["us=10", "eu=5"]` to numbers by region. Raises UsageError."""
    found: dict[str, int] = {}
    for item in items:
        name, _, number = item.partition("=")
        if not number.strip().isdecimal() or not name.strip():
            raise UsageError(f"{flag} {item!r} is not of the form region=number", hint=f"write  {flag} us=10")
        if name.strip() in found:
            raise UsageError(f"{flag} {name.strip()} is given twice", hint="leave one of them out")
        found[name.strip()] = int(number)
        if flag == "--cap" and not found[name.strip()]:
            raise UsageError(f"--cap {item} leaves {name.strip()} out", hint="choose regions with --regions")
    return found
