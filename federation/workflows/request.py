"""What a person asks of a run enters, numbers that planning goes by leave: how many slots, and by which rules.

`plan` and `dispatch` take the same request, so that what one shows is what the other does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from federation.config.model import Config
from federation.deploy.prepare import JobRequest
from federation.errors import UsageError
from federation.run.user_limits import Patience
from federation.text import duration_s, is_duration
from jobs.params.sweep import SLOTS_MAX, Asks


@dataclass(frozen=True, slots=True)
class Placing:
    """How slots are placed, where a person says other than fedml.toml. `deadline_s` counts from when it was read."""

    policy: str | None = None
    caps: Mapping[str, int] = field(default_factory=dict)
    minimums: Mapping[str, int] = field(default_factory=dict)
    deadline_s: float | None = None
    max_cost: float | None = None
    expected_duration_s: float | None = None
    """Of one slot, in every region; None: what earlier runs took."""
    allow_preemption: bool = False


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a person asks for. `slots` None: as fedml.toml says, else one in each region; `version` None or `next`: the next
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

    def checked(self, config: Config) -> RunRequest:
        """The same with how many slots it comes to (None: one in each usable region). Raises UsageError and InvalidMeta for
        numbers that no run can have, and regions that fedml.toml doesn't know."""
        if self.slots is not None and self.slots < 1:
            raise UsageError(f"-n {self.slots}: a run has at least one slot")
        slots = self.slots if self.slots is not None or not self.asks.is_empty else config.slots
        slots = self.asks.slots(slots)
        if slots is not None and slots > SLOTS_MAX:
            raise UsageError(
                f"{slots:,} slots are more than a run may have ({SLOTS_MAX:,})",
                hint="each slot is a job in Nomad and objects in a store; make several runs of it",
            )
        for what, given in (("--cap", self.placing.caps), ("--minimum", self.placing.minimums)):
            for name in given:
                if name not in config.regions:
                    raise UsageError(
                        f"{what} {name}: there is no such region", hint=f"there are: {', '.join(config.regions)}"
                    )
        return replace(self, slots=slots, version=None if self.version == "next" else self.version)


def deadline_s(text: str, now: datetime) -> float:
    """A duration, or a time (ISO 8601; without a zone, this machine's), as seconds from `now`, which has a zone. Raises
    UsageError for what is neither, and for a time that is past."""
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
        raise UsageError(f"--deadline {text} is past: it is {now.isoformat(timespec='seconds')} now")
    return seconds


def by_region(items: Sequence[str], flag: str) -> dict[str, int]:
    """`["us=10", "eu=5"]` as numbers by region. Raises UsageError."""
    found: dict[str, int] = {}
    for item in items:
        name, _, number = item.partition("=")
        if not number.strip().isdecimal() or not name.strip():
            raise UsageError(f"{flag} {item!r} is not of the form region=number", hint=f"write  {flag} us=10")
        if name.strip() in found:
            raise UsageError(f"{flag} {name.strip()} is given twice")
        found[name.strip()] = int(number)
        if flag == "--cap" and not found[name.strip()]:
            raise UsageError(f"--cap {item} leaves {name.strip()} out", hint="choose regions with --regions")
    return found
