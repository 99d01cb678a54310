"""The changes of a run log as types: the only module that knows how each is written.

Whoever may write to the home store may write anything there. `parse` gives `Unusable` for a change that lacks a member or
has one of another type, and `Unknown` for a type that only a newer fedml knows: both are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeAlias

from federation.run.brain.causes import Cause
from jobs.errors import ForeignTextError
from jobs.foreign import Members, understood

_TEXT_CHARS_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class _Written:
    TYPE: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """The change as a log entry holds it."""
        return {"type": self.TYPE, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Bind(_Written):
    """An attempt of a slot belongs to a region. The first binding of an attempt's number counts."""

    TYPE = "bind"
    slot: int
    attempt: int
    region: str


@dataclass(frozen=True, slots=True)
class Ack(_Written):
    """The attempt has a child."""

    TYPE = "ack"
    slot: int
    attempt: int
    job_id: str


@dataclass(frozen=True, slots=True)
class Fail(_Written):
    """The attempt ended badly."""

    TYPE = "fail"
    slot: int
    attempt: int
    cause: Cause
    reason: str


@dataclass(frozen=True, slots=True)
class Cancel(_Written):
    """Somebody ended the run."""

    TYPE = "cancel"
    reason: str


@dataclass(frozen=True, slots=True)
class Halt(_Written):
    """The run ends before its time. `revert`: regions whose job is put back to what stood there before."""

    TYPE = "halt"
    reason: str
    revert: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exclude(_Written):
    """The region gets nothing more in this run, and its job is put back."""

    TYPE = "exclude"
    region: str
    reason: str


@dataclass(frozen=True, slots=True)
class Rebind(_Written):
    """The region's open attempts are given up, by hand."""

    TYPE = "rebind"
    region: str


@dataclass(frozen=True, slots=True)
class Retry(_Written):
    """These slots, which failed or were left, get new attempts."""

    TYPE = "retry"
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Alloc(_Written):
    """The allocation belongs to this attempt and key. Only in runs that adopt: Nomad forgets it."""

    TYPE = "alloc"
    slot: int
    attempt: int
    alloc_id: str
    group: str
    index: int


@dataclass(frozen=True, slots=True)
class Measure(_Written):
    """The attempt reached a step of `--keep-best` with this value. The first one of an attempt counts."""

    TYPE = "measure"
    slot: int
    attempt: int
    value: str
    """A number as Python writes it: JSON has no NaN and no infinity."""
    rung: int = 0
    """Which of the steps at which slots are halved, from 0."""

    @classmethod
    def of(cls, slot: int, attempt: int, value: float, rung: int = 0) -> Measure:
        """The change for a number."""
        return cls(slot, attempt, repr(value), rung)

    def to_json(self) -> dict[str, Any]:
        """The change as it stands in the log; older programs know no rung, and have the first one."""
        told = _Written.to_json(self)
        return told if self.rung else {name: value for name, value in told.items() if name != "rung"}


@dataclass(frozen=True, slots=True)
class Done(_Written):
    """The attempt's allocation of this key ended well. Only in runs without results: the index has nothing of them."""

    TYPE = "done"
    slot: int
    attempt: int
    group: str
    index: int


@dataclass(frozen=True, slots=True)
class Trouble(_Written):
    """What keeps the attempt's tasks from their work, and the same as people read it. Empty: they have started since. A note
    for whoever reads the run: nothing is decided by it."""

    TYPE = "trouble"
    slot: int
    attempt: int
    trouble: str
    detail: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A change of a type that this fedml doesn't know."""

    type: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """A change that can't be used, and why."""

    problem: str


OfAttempt: TypeAlias = Bind | Ack | Fail
"""The changes that say where an attempt stands."""
Change: TypeAlias = Bind | Ack | Fail | Cancel | Halt | Exclude | Rebind | Retry | Alloc | Done | Measure | Trouble
"""The changes that fedml writes."""
Read: TypeAlias = Change | Unknown | Unusable
"""What a change of an entry is read as."""
Entry: TypeAlias = tuple[Read, ...]


def parse(change: Mapping[str, Any]) -> Read:
    """Reads one change of a log entry."""
    kind = str(change["type"])
    read = _READERS.get(kind)
    if read is None:
        return Unknown(kind)
    try:
        return read(Members(change, source=f"a change {kind!r}"))
    except ForeignTextError as error:
        return Unusable(error.message)


def kinds_of(changes: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """The kinds of changes in a log entry, which are not read."""
    return frozenset(str(change["type"]) for change in changes)


def parse_entry(changes: Iterable[Mapping[str, Any]]) -> Entry:
    """Reads all changes of a log entry, in order."""
    return tuple(map(parse, changes))


def _bind(change: Members) -> Bind:
    return Bind(*_pair(change), change.text("region"))


def _ack(change: Members) -> Ack:
    return Ack(*_pair(change), change.text("job_id"))


def _fail(change: Members) -> Fail:
    return Fail(*_pair(change), _cause(change), _reason(change))


def _cause(change: Members) -> Cause:
    """The cause of a failure. Earlier versions wrote none: they wrote whether it was the region's or the slot's own."""
    if "cause" in change:
        cause = change.text("cause")
        if cause not in set(Cause):
            raise change.wrong("cause", "is not a cause that this fedml knows")
        return Cause(cause)
    if change.any("lost", None):
        return Cause.REGION_LOST
    return Cause.EXIT if change.any("own", None) else Cause.STOPPED


def _cancel(change: Members) -> Cancel:
    return Cancel(_reason(change))


def _halt(change: Members) -> Halt:
    return Halt(_reason(change), tuple(change.texts("revert", ())))


def _exclude(change: Members) -> Exclude:
    return Exclude(change.text("region"), _reason(change))


def _rebind(change: Members) -> Rebind:
    return Rebind(change.text("region"))


def _retry(change: Members) -> Retry:
    slots = change.items("slots")
    inner = Members({str(place): slot for place, slot in enumerate(slots)}, source=change.source, place="slots")
    return Retry(tuple(map(inner.whole, inner.names())))


def _alloc(change: Members) -> Alloc:
    return Alloc(*_pair(change), change.text("alloc_id"), change.text("group"), change.whole("index"))


def _measure(change: Members) -> Measure:
    value = change.text("value", chars_max=40)
    understood(change.source, lambda: float(value))
    return Measure(*_pair(change), value, change.whole("rung", 0))


def _done(change: Members) -> Done:
    return Done(*_pair(change), change.text("group"), change.whole("index"))


def _trouble(change: Members) -> Trouble:
    texts = (change.text(name, "", chars_max=_TEXT_CHARS_MAX) for name in ("trouble", "detail"))
    return Trouble(*_pair(change), *texts)


def _pair(change: Members) -> tuple[int, int]:
    return change.whole("slot"), change.whole("attempt", least=1)


def _reason(change: Members) -> str:
    return change.text("reason", "", chars_max=_TEXT_CHARS_MAX)


_READERS: Mapping[str, Callable[[Members], Change]] = {
    "bind": _bind,
    "ack": _ack,
    "fail": _fail,
    "cancel": _cancel,
    "halt": _halt,
    "exclude": _exclude,
    "rebind": _rebind,
    "retry": _retry,
    "alloc": _alloc,
    "done": _done,
    "measure": _measure,
    "trouble": _trouble,
}
