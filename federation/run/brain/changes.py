"""Checks a change of a run's log before anything follows from it: whoever may write to the home store may write anything there.

A change is usable when every member that fedml goes by is there and has its type. Changes of unknown types are usable: they
are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from federation.run.brain.causes import Cause
from federation.run.brain.events import Change
from jobs.errors import ForeignTextError
from jobs.foreign import Members

_TEXT_CHARS_MAX = 1 << 20


def _bind(change: Members) -> None:
    _pair(change)
    change.text("region")


def _ack(change: Members) -> None:
    _pair(change)
    change.text("job_id")


def _fail(change: Members) -> None:
    _pair(change)
    _reason(change)
    if "cause" in change and change.text("cause") not in set(Cause):
        raise change.wrong("cause", "is not a cause that this fedml knows")


def _stop(change: Members) -> None:
    _reason(change)
    change.texts("revert", ())


def _region(change: Members) -> None:
    change.text("region")
    _reason(change)


def _retry(change: Members) -> None:
    slots = change.items("slots")
    inner = Members({str(place): slot for place, slot in enumerate(slots)}, source=change.source, place="slots")
    for place in inner.names():
        inner.whole(place)


def _alloc(change: Members) -> None:
    _pair(change)
    change.text("alloc_id")
    change.text("group")
    change.whole("index")


def _pair(change: Members) -> None:
    change.whole("slot")
    change.whole("attempt", least=1)


def _reason(change: Members) -> None:
    change.text("reason", "", chars_max=_TEXT_CHARS_MAX)


_CHECKS: dict[str, Callable[[Members], None]] = {
    "bind": _bind,
    "ack": _ack,
    "fail": _fail,
    "cancel": _stop,
    "halt": _stop,
    "exclude": _region,
    "rebind": _region,
    "retry": _retry,
    "alloc": _alloc,
}


def problem_of(change: Change) -> str:
    """Why the change can't be used; empty where it can, or where its type is unknown."""
    check = _CHECKS.get(change["type"])
    try:
        if check is not None:
            check(Members(change, source=f"a change {change['type']!r}"))
    except ForeignTextError as error:
        return error.message
    return ""


def usable(changes: Iterable[Change]) -> Iterator[Change]:
    """Those of the changes that can be used."""
    return (change for change in changes if not problem_of(change))
