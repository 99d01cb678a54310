"""Decides which changes to append for a tag, a note or a retirement, or why they aren't allowed.

The decisions are pure and made again whenever another writer was faster: of two people who move a tag at once, one wins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from federation.errors import UsageError
from federation.index.catalog.catalog import Catalog
from federation.index.columns import Row
from federation.index.query import condition
from federation.index.query.fields import Field
from federation.index.rows import REMOVED, RETIRED
from federation.index.tag_rule import TagRule
from federation.log import Change
from jobs.frozen import frozen


class TagMoved(UsageError):
    """The tag isn't where it was expected to be: somebody moved it."""


class TagRefused(UsageError):
    """The tag is protected, and the result, or who asks, doesn't meet what `[tags.NAME]` in fedml.toml demands."""


@frozen
class Asked:
    """A request for a tag: who asks, where the tag must point now ("": to nothing; None: anywhere), its rule, and whether a
    result is signed as that demands."""

    author: str
    expected: str | None
    rule: TagRule
    is_signed: Callable[[Catalog, str], bool]


@frozen
class TagChange:
    """A tag after the change: `alloc_id` is its holder now, `previous` the one before, "" for none. Both are the same if
    nothing had to change. `revision` is the index's after that."""

    name: str
    alloc_id: str
    previous: str
    revision: int


def holder(catalog: Catalog, name: str) -> str:
    """The allocation id that the tag points to, "" for none."""
    return str(catalog.value("SELECT alloc_id FROM tag WHERE name = ?", name) or "")


def decide_tag(catalog: Catalog, name: str, alloc_id: str, asked: Asked) -> list[Change]:
    """Point the tag to a result; nothing where it is there already. Raises UsageError, TagMoved, TagRefused."""
    now = holder(catalog, name)
    if now == alloc_id:
        return []
    _refuse_moved(catalog, name, now, asked.expected)
    taken = catalog.value(
        "SELECT 1 FROM run WHERE version = ? UNION SELECT 1 FROM result WHERE version = ?", name, name
    )
    if not now and taken:
        raise UsageError(f"{name!r} is a version: a tag of that name would hide it", hint="choose another name")
    _refuse_result(catalog, name, alloc_id)
    _refuse_rule(catalog, name, alloc_id, asked)
    return [{"type": "tag", "name": name, "alloc_id": alloc_id, "previous": now}]


def decide_untag(catalog: Catalog, name: str, asked: Asked) -> list[Change]:
    """Point the tag to nothing. No changes for one that points to nothing. Raises UsageError for a tag that never existed."""
    now = holder(catalog, name)
    if not now:
        if catalog.value("SELECT 1 FROM holder WHERE name = ?", name) is None:
            raise UsageError(f"there is no tag {name!r}", hint=_known(catalog))
        return []
    _refuse_moved(catalog, name, now, asked.expected)
    _refuse_author(name, asked)
    return [{"type": "untag", "name": name, "previous": now}]


def decide_rollback(catalog: Catalog, name: str, asked: Asked) -> list[Change]:
    """Point the tag to the holder that it had before the present one, passing over those that may not hold it any more
    (retired, removed). Raises UsageError where there is none."""
    now = holder(catalog, name)
    _refuse_moved(catalog, name, now, asked.expected)
    stack = catalog.table("SELECT depth, alloc_id FROM holder WHERE name = ? ORDER BY depth DESC", name)
    if not stack:
        raise UsageError(f"there is no tag {name!r}", hint=_known(catalog))
    for depth, alloc_id in stack[1:]:
        if alloc_id in ("", now) or _why_not(catalog, alloc_id):
            continue
        _refuse_rule(catalog, name, alloc_id, asked)
        change = {"type": "tag", "name": name, "alloc_id": alloc_id, "previous": now, "rollback": True, "depth": depth}
        return [change]
    raise UsageError(
        f"tag {name!r} had no other holder before that could have it again", hint=f"its history: fedml index tag {name}"
    )


def decide_note(catalog: Catalog, alloc_id: str, text: str) -> list[Change]:
    """Add a note to a result; nothing where its newest note says the same (an append that was said twice)."""
    newest = catalog.value("SELECT text FROM note WHERE alloc_id = ? ORDER BY rowid DESC", alloc_id)
    return [] if newest == text else [{"type": "note", "alloc_id": alloc_id, "text": text}]


def decide_retire(catalog: Catalog, alloc_ids: Sequence[str], *, is_undone: bool) -> list[Change]:
    """Retire results, or take that back. Raises UsageError for one that a tag points to."""
    changes: list[Change] = []
    for alloc_id in alloc_ids:
        tags = catalog.values("SELECT name FROM tag WHERE alloc_id = ? ORDER BY name", alloc_id)
        if tags and not is_undone:
            raise UsageError(
                f"result {alloc_id[:8]} is tagged {', '.join(tags)}",
                hint=f"move the tag first, or take it away: fedml index untag {tags[0]}",
            )
        state = catalog.value("SELECT state FROM result WHERE alloc_id = ?", alloc_id)
        if state == REMOVED:
            raise UsageError(f"result {alloc_id[:8]} was removed by gc: there is nothing left to hide or show")
        if (state == RETIRED) == is_undone:
            changes.append({"type": "retire", "alloc_id": alloc_id} | ({"undo": True} if is_undone else {}))
    return changes


def _refuse_moved(catalog: Catalog, name: str, now: str, expected: str | None) -> None:
    if expected is None or expected == now:
        return
    found = catalog.table(
        "SELECT number, author FROM entry WHERE number = "
        "(SELECT number FROM holder WHERE name = ? ORDER BY depth DESC LIMIT 1)",
        name,
    )
    since = f", since revision {found[0][0]} by {found[0][1]}" if found else ""
    where = f"points to {now[:8]}" if now else "points to nothing"
    wanted = f"to {expected[:8]}" if expected else "to nothing"
    raise TagMoved(
        f"tag {name!r} {where}{since}, not {wanted}",
        hint=f"who moved it, and why:  fedml index tag {name}",
    )


def _refuse_result(catalog: Catalog, name: str, alloc_id: str) -> None:
    problem = _why_not(catalog, alloc_id)
    if problem:
        raise UsageError(f"result {alloc_id[:8]} {problem}, and can't be tagged {name!r}")


def _why_not(catalog: Catalog, alloc_id: str) -> str:
    """Why a result can hold no tag; "" when it can."""
    state = catalog.value("SELECT state FROM result WHERE alloc_id = ?", alloc_id)
    if state is None:
        return "isn't in the index"
    if state == RETIRED:
        return "is retired"
    removed = catalog.value("SELECT 1 FROM removed WHERE alloc_id = ?", alloc_id)
    return "was removed by gc" if removed is not None else ""


def _refuse_rule(catalog: Catalog, name: str, alloc_id: str, asked_by: Asked) -> None:
    _refuse_author(name, asked_by)
    rule = asked_by.rule
    protected = f"tag {name!r} is protected: result {alloc_id[:8]}"
    if rule.where:
        asked = condition(rule.where, catalog.fields(), what=f"fedml.toml: tags.{name}.where")
        _, rows = catalog.rows("alloc_id = ?", (alloc_id,))
        _, found = catalog.rows(f"alloc_id = ? AND {asked.sql}", (alloc_id, *asked.values))
        if not found:
            raise TagRefused(f"{protected} doesn't meet  {rule.where}  ({_held(rows[0], asked.fields)})")
    stores = catalog.value(
        "SELECT COUNT(*) FROM (SELECT store FROM result WHERE alloc_id = ? UNION "
        "SELECT store FROM location WHERE alloc_id = ?)",
        *(alloc_id, alloc_id),
    )
    if stores < rule.copies:
        raise TagRefused(
            f"{protected} lies in {stores} store{'s' if stores > 1 else ''}, and {rule.copies} are demanded",
            hint=f"copy it: fedml index copy {alloc_id}",
        )
    if rule.signed_by is not None and not asked_by.is_signed(catalog, alloc_id):
        raise TagRefused(
            f"{protected} isn't signed by a key in {rule.signed_by}", hint=f"sign it: fedml index sign {alloc_id}"
        )


def _held(row: Row, fields: Sequence[Field]) -> str:
    told = {field.name: field.of(row) for field in fields}
    return ", ".join(f"{name} is {'missing' if value is None else repr(value)}" for name, value in told.items())


def _refuse_author(name: str, asked: Asked) -> None:
    rule = asked.rule
    if rule.authors and not any(fnmatchcase(asked.author, pattern) for pattern in rule.authors):
        raise TagRefused(
            f"tag {name!r} is protected: {asked.author} isn't among those who may move it",
            hint=f"they are: {', '.join(rule.authors)} (tags.{name}.authors in fedml.toml)",
        )


def _known(catalog: Catalog) -> str:
    names = catalog.values("SELECT name FROM tag ORDER BY name")
    return f"tags: {', '.join(names)}" if names else "there are none yet: fedml index tag NAME RESULT"
