"""Reads from a catalog what each revision entered (who, when, why, what), and what changed between two revisions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from federation.index.catalog.catalog import Catalog
from federation.index.catalog.changes import CHANGE_OF_STATE
from federation.index.columns import Row
from federation.index.rows import OPEN, REMOVED, RETIRED
from federation.log import Change
from jobs.frozen import frozen


@frozen
class Revision:
    """One entry of the log. Changes are as the log has them, but for results: `alloc_id`, `job`, `version`, `run`, `slot`
    and `region` instead of the whole record."""

    number: int
    time: str
    author: str
    reason: str
    changes: tuple[Change, ...]


@frozen
class Turn:
    """A change of a run's state, a result's state or a tag's holder, by name. "" stands for nothing."""

    name: str
    before: str
    after: str


@frozen
class Difference:
    """What differs between the revisions `first` and `last`. What was changed and changed back in between is left out."""

    first: int
    last: int
    results: tuple[Row, ...]
    """Entered since, in that order, as they are now."""
    runs: tuple[Turn, ...]
    states: tuple[Turn, ...]
    """Of results that were there before: by allocation id."""
    tags: tuple[Turn, ...]
    others: tuple[Change, ...]
    """Notes, copies, signatures and the like, as the log has them."""


@frozen
class TagMove:
    """One move of a tag: `kind` is tag, untag or rollback; `alloc_id` and `previous` are "" for nothing."""

    name: str
    kind: str
    alloc_id: str
    previous: str
    revision: int
    time: str
    author: str
    reason: str


def revisions(catalog: Catalog, first: int, last: int) -> list[Revision]:
    """The entries `first` to `last`, both included, oldest first."""
    changes: dict[int, list[Change]] = {}
    for number, run, job, version, name in catalog.table(
        "SELECT revision, run, job, version, name FROM run WHERE revision BETWEEN ? AND ? ORDER BY rowid", first, last
    ):
        opened = {"type": "open", "run": run, "job": job, "version": version}
        changes.setdefault(number, []).append(opened | ({"name": name} if name else {}))
    names = ("alloc_id", "job", "version", "run", "slot", "region")
    for number, entered, *values in catalog.table(
        f"SELECT revision, entered, {', '.join(names)} FROM result "  # noqa: S608 - columns of ours
        "WHERE rowid >= ? AND rowid < ? ORDER BY rowid",
        *(_first_row(catalog, first), _first_row(catalog, last + 1)),
    ):
        told = dict(zip(names, values, strict=True))
        changes.setdefault(number, []).append({"type": CHANGE_OF_STATE[entered], **told})
    for number, change in catalog.table(
        "SELECT number, change FROM event WHERE number BETWEEN ? AND ? ORDER BY rowid", first, last
    ):
        changes.setdefault(number, []).append(json.loads(change))
    entries = catalog.table(
        "SELECT number, time, author, reason FROM entry WHERE number BETWEEN ? AND ? ORDER BY number", first, last
    )
    return [
        Revision(number, time, author, reason, tuple(changes.get(number, ())))
        for number, time, author, reason in entries
    ]


def _first_row(catalog: Catalog, revision: int) -> int:
    """The rowid from which on results entered in this revision or later: rowids follow the log, so it is found by halving."""
    low, high = 1, int(catalog.value("SELECT MAX(rowid) FROM result") or 0) + 1
    while low < high:
        middle = (low + high) // 2
        if catalog.value("SELECT revision FROM result WHERE rowid >= ? ORDER BY rowid LIMIT 1", middle) >= revision:
            high = middle
        else:
            low = middle + 1
    return low


def difference(catalog: Catalog, first: int, last: int) -> Difference:
    """What changed from revision `first` to `last` (not before it)."""
    rows = catalog.rows("revision > ? AND revision <= ?", (first, last))[1][::-1]
    new = {row.alloc_id for row in rows}
    changes = [
        json.loads(change)
        for (change,) in catalog.table(
            "SELECT change FROM event WHERE number > ? AND number <= ? ORDER BY rowid", first, last
        )
    ]
    opened = catalog.values("SELECT run FROM run WHERE revision > ? AND revision <= ? ORDER BY rowid", first, last)
    runs = [*opened, *(change["run"] for change in changes if change["type"] == "close")]
    retired = [change["alloc_id"] for change in changes if change["type"] in ("retire", "remove")]
    tags = [change["name"] for change in changes if change["type"] in ("tag", "untag")]
    return Difference(
        first,
        last,
        tuple(rows),
        _turns(runs, lambda run, number: _run_state(catalog, run, number), first, last),
        _turns(
            [one for one in retired if one not in new], lambda one, number: _state(catalog, one, number), first, last
        ),
        _turns(sorted(tags), lambda tag, number: _holder(catalog, tag, number), first, last),
        tuple(change for change in changes if change["type"] not in ("close", "retire", "remove", "tag", "untag")),
    )


def moves(catalog: Catalog, name: str) -> list[TagMove]:
    """A tag's history, newest first."""
    return _moves(catalog, "json_extract(change, '$.name') = ?", name)


def moves_of_result(catalog: Catalog, alloc_id: str) -> list[TagMove]:
    """The moves of tags to a result and away from it, newest first."""
    return _moves(catalog, "? IN (json_extract(change, '$.alloc_id'), json_extract(change, '$.previous'))", alloc_id)


def _moves(catalog: Catalog, which: str, value: str) -> list[TagMove]:
    found = catalog.table(
        "SELECT change, number, time, author, reason FROM event JOIN entry USING (number) "  # noqa: S608 - SQL of ours
        f"WHERE kind IN ('tag', 'untag') AND {which} ORDER BY event.rowid DESC",
        value,
    )
    return [_move(json.loads(change), about) for change, *about in found]


def jobs_of(catalog: Catalog, entries: Iterable[Revision]) -> dict[str, str]:
    """The job of each result and run that the changes name, by allocation ID and run."""
    changes = [change for entry in entries for change in entry.changes]
    named = [str(change[member]) for change in changes for member in ("alloc_id", "run") if member in change]
    return dict(
        catalog.table(
            "WITH named AS (SELECT value FROM json_each(?)) SELECT alloc_id, job FROM result WHERE alloc_id IN named "
            "UNION ALL SELECT run, job FROM run WHERE run IN named",
            json.dumps(named),
        )
    )


def _move(change: Mapping[str, Any], about: list[Any]) -> TagMove:
    kind = "rollback" if change.get("rollback") else str(change["type"])
    return TagMove(change["name"], kind, change.get("alloc_id", ""), change.get("previous", ""), *about)


def _turns(names: list[str], at: Any, first: int, last: int) -> tuple[Turn, ...]:
    turns = (Turn(name, at(name, first), at(name, last)) for name in dict.fromkeys(names))
    return tuple(turn for turn in turns if turn.before != turn.after)


def _last_event(catalog: Catalog, kinds: str, member: str, name: str, number: int) -> dict[str, Any] | None:
    change = catalog.value(
        f"SELECT change FROM event WHERE kind IN ({kinds}) AND json_extract(change, '$.{member}') = ? "  # noqa: S608
        "AND number <= ? ORDER BY rowid DESC",
        *(name, number),
    )
    return None if change is None else dict(json.loads(change))


def _run_state(catalog: Catalog, run: str, number: int) -> str:
    if catalog.value("SELECT 1 FROM run WHERE run = ? AND revision <= ?", run, number) is None:
        return ""
    cancelled = catalog.value(
        "SELECT 1 FROM event WHERE kind = 'close' AND json_extract(change, '$.run') = ? AND number <= ? "
        "AND json_extract(change, '$.state') = 'cancelled'",
        *(run, number),
    )
    closed = _last_event(catalog, "'close'", "run", run, number)
    return "cancelled" if cancelled else str(closed["state"]) if closed else OPEN


def _state(catalog: Catalog, alloc_id: str, number: int) -> str:
    entered = catalog.value("SELECT entered FROM result WHERE alloc_id = ? AND revision <= ?", alloc_id, number)
    if _last_event(catalog, "'remove'", "alloc_id", alloc_id, number):
        return REMOVED
    retired = _last_event(catalog, "'retire'", "alloc_id", alloc_id, number)
    return RETIRED if retired and not retired.get("undo") else str(entered or "")


def _holder(catalog: Catalog, name: str, number: int) -> str:
    moved = _last_event(catalog, "'tag', 'untag'", "name", name, number)
    return str(moved.get("alloc_id", "")) if moved else ""
