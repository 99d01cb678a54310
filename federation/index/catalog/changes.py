"""Checks a change of the index's log before it has any effect: everybody who may write to the home store may write anything.

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
CHANGE_OF_STATE = {state: change for change, state in RECORD_CHANGES.items()}
UNREADABLE = "unreadable"
"""What stands in the catalog for a change of a known type that can't be used: its `kind`, and the `problem`."""

_TEXT_CHARS_MAX = 1 << 20
_NAME_CHARS_MAX = 4096


Check = Callable[[Members, str], object]


def _name(change: Members, member: str) -> None:
    if "\0" in change.text(member, chars_max=_NAME_CHARS_MAX):  # where SQLite would end it
        raise change.wrong(member, "holds a NUL character")


def _text(change: Members, member: str) -> None:
    change.text(member, chars_max=_TEXT_CHARS_MAX)


def _optional_text(change: Members, member: str) -> None:
    change.text(member, "")


def _optional_flag(change: Members, member: str) -> None:
    change.flag(member, False)


def _closed_state(change: Members, member: str) -> None:
    if change.text(member) not in RUN_STATES_CLOSED:
        raise change.wrong(member, f"is not one of {', '.join(RUN_STATES_CLOSED)}")


_OF_RESULT: dict[str, Check] = {"alloc_id": _name}
_CHECKS: dict[str, dict[str, Check]] = {
    "open": {
        **dict.fromkeys(("run", "job", "version", "spec_hash"), _name),
        **dict.fromkeys(("slots", "expected_keys"), Members.whole),
    },
    "close": {"run": _name, "reason": _text, "state": _closed_state},
    "tag": {
        "name": _name,
        "alloc_id": _name,
        "depth": lambda change, member: change.whole(member, 1, least=1),
        "previous": _optional_text,
        "rollback": _optional_flag,
    },
    "untag": {"name": _name, "previous": _optional_text},
    "retire": _OF_RESULT | {"undo": _optional_flag},
    "note": _OF_RESULT | {"text": _text},
    "locate": _OF_RESULT | {"store": _name},
    "sign": _OF_RESULT | dict.fromkeys(("public_key", "manifest_sha256", "signature"), _name),
    "doom": _OF_RESULT | {"until": _name},
    "spare": _OF_RESULT,
    "remove": _OF_RESULT,
    "freed": _OF_RESULT | {"size_bytes": Members.whole},
    "rebuild": {
        "is_done": Members.flag,
        "of": lambda change, member: change.whole(member, 0),
        "time": _optional_text,
        "author": _optional_text,
    },
}
"""What each member that fedml reads must be, by the change's type."""


def checked_change(change: Change, *, source: str = "the change") -> ResultRecord | None:
    """The result's record, for a change that holds one. Raises ForeignTextError or PublishError for a change of a known type
    that can't be used, FormatTooNew for a record of a newer format."""
    kind = change["type"]
    if kind in RECORD_CHANGES:
        if "record" not in change:
            raise Members(change, source=source).wrong("record", "is missing")
        return _record(change["record"], source)
    members = Members(change, source=source)
    for name, check in _CHECKS.get(kind, {}).items():
        check(members, name)
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
