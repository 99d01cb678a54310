"""Checks a change of the index's log before it has any effect: whoever may write to the home store may write anything there.

A change is usable when every member that fedml goes by is there and has its type. Changes of unknown types are usable: a
newer fedml wrote them, and they have no effect here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from federation.errors import FormatTooNew, PublishError, RecordTooNew
from federation.index.rows import COMMITTED, LATE, RUN_STATES_CLOSED, SUPERSEDED
from federation.log import Change
from federation.result import ResultRecord
from jobs.errors import ForeignTextError
from jobs.foreign import Members

RECORD_CHANGES = {"add": COMMITTED, "supersede": SUPERSEDED, "late": LATE}
"""Changes that hold a result's record, and the state that it then has."""
UNREADABLE = "unreadable"
"""What stands in the catalog for a change of a known type that can't be used: its `kind`, and the `problem`."""

_TEXT_CHARS_MAX = 1 << 20
_NAME_CHARS_MAX = 4096


def _open(change: Members) -> None:
    _names(change, "run", "job", "version", "spec_hash")
    change.whole("slots")
    change.whole("expected_keys")


def _close(change: Members) -> None:
    _names(change, "run")
    change.text("reason", chars_max=_TEXT_CHARS_MAX)
    if change.text("state") not in RUN_STATES_CLOSED:
        raise change.wrong("state", f"is not one of {', '.join(RUN_STATES_CLOSED)}")


def _tag(change: Members) -> None:
    _names(change, "name", "alloc_id")
    change.whole("depth", 1, least=1)
    change.text("previous", "")
    change.flag("rollback", False)


def _untag(change: Members) -> None:
    _names(change, "name")
    change.text("previous", "")


def _retire(change: Members) -> None:
    _names(change, "alloc_id")
    change.flag("undo", False)


def _note(change: Members) -> None:
    _names(change, "alloc_id")
    change.text("text", chars_max=_TEXT_CHARS_MAX)


def _locate(change: Members) -> None:
    _names(change, "alloc_id", "store")


def _sign(change: Members) -> None:
    _names(change, "alloc_id", "public_key", "manifest_sha256", "signature")


def _doom(change: Members) -> None:
    _names(change, "alloc_id", "until")


def _of_result(change: Members) -> None:
    _names(change, "alloc_id")


def _freed(change: Members) -> None:
    _names(change, "alloc_id")
    change.whole("size_bytes")


def _rebuild(change: Members) -> None:
    change.flag("is_done")
    change.whole("of", 0)
    for name in ("time", "author"):
        change.text(name, "")


def _names(change: Members, *names: str) -> None:
    for name in names:
        if "\0" in change.text(name, chars_max=_NAME_CHARS_MAX):  # where SQLite would end it
            raise change.wrong(name, "holds a NUL character")


_CHECKS: dict[str, Callable[[Members], None]] = {
    "open": _open,
    "close": _close,
    "tag": _tag,
    "untag": _untag,
    "retire": _retire,
    "note": _note,
    "locate": _locate,
    "sign": _sign,
    "doom": _doom,
    "spare": _of_result,
    "remove": _of_result,
    "freed": _freed,
    "rebuild": _rebuild,
}


def checked_change(change: Change, *, source: str = "the change") -> ResultRecord | None:
    """The result's record, for a change that holds one. Raises ForeignTextError or PublishError for a change of a known type
    that can't be used, FormatTooNew for a record of a newer format."""
    kind = change["type"]
    if kind in RECORD_CHANGES:
        if "record" not in change:
            raise Members(change, source=source).wrong("record", "is missing")
        return _record(change["record"], source)
    if kind in _CHECKS:
        _CHECKS[kind](Members(change, source=source))
    return None


def _record(data: object, source: str) -> ResultRecord:
    """The record; without those of its metrics, parameters and members of the environment that can't be used. They name
    neither a place nor a winner, so the result itself is kept."""
    try:
        return ResultRecord.from_dict(data, source=source)
    except RecordTooNew:
        raise
    except PublishError:
        if not isinstance(data, dict):
            raise
        fitting = {name: _fitting(data, name) for name in ("metrics", "params", "environment") if name in data}
        return ResultRecord.from_dict({**data, **fitting}, source=source)


def _fitting(data: dict[str, Any], name: str) -> dict[str, Any]:
    found = data[name] if isinstance(data[name], dict) else {}
    return {key: value for key, value in found.items() if _fits(data, name, {key: value})}


def _fits(data: dict[str, Any], name: str, members: dict[str, Any]) -> bool:
    try:
        ResultRecord.from_dict({**data, "files": [], "metrics": {}, "params": {}, "environment": {}, name: members})
    except PublishError:
        return False
    return True


def problem_of(change: Change) -> str:
    """Why the change can't be used; empty where it can, or where its type is unknown."""
    try:
        checked_change(change)
    except FormatTooNew:
        return ""
    except (ForeignTextError, PublishError) as error:
        return error.message
    return ""


def usable(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Those of the changes that can be used."""
    return tuple(change for change in changes if change["type"] != UNREADABLE and not problem_of(change))


def unreadable(change: Change, problem: str) -> Change:
    """What the catalog keeps of a change that can't be used: the log has the change itself."""
    return {"type": UNREADABLE, "kind": str(change["type"])[:80], "problem": problem[:500]}
