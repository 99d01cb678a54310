"""Builds the SQL of a search for results: conditions, order and the result to start after."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from federation.errors import UsageError
from federation.index.catalog.catalog import Catalog
from federation.index.columns import Row
from federation.index.query import condition
from federation.index.query.candidates import FEW, best_of, fewest, of_columns
from federation.index.query.fields import Sql
from federation.index.query.order import only_metric, terms
from federation.index.validation import refuse_no_text
from jobs.frozen import frozen

TAGGED = "alloc_id = (SELECT tag.alloc_id FROM tag WHERE name = ?)"
HIDDEN = "state IN ('retired', 'removed')"
_MADE_HIDDEN = "alloc_id IN (SELECT json_extract(change, '$.alloc_id') FROM event WHERE kind IN ('retire', 'remove'))"
ROWS_MAX = 1 << 62
SORTED_PAGES_FIELDS_MAX = 5
"""By more fields than these, results are sorted, but not paged."""
_SEED = 20_240_229


@frozen
class Asked:
    """Which results are wanted. Retired and removed ones only where `state` or `where` asks for a state."""

    columns: Mapping[str, str]
    tag: str | None = None
    where: str | None = None

    @classmethod
    def of(
        cls,
        *,
        job: str | None = None,
        version: str | None = None,
        region: str | None = None,
        run: str | None = None,
        state: str | None = None,
        tag: str | None = None,
        where: str | None = None,
    ) -> Asked:
        """The question of these filters, without those that are None. Raises UsageError."""
        given = {"job": job, "version": version, "region": region, "run": run, "state": state}
        columns = {column: value for column, value in given.items() if value is not None}
        for text in (*columns.values(), tag or ""):
            refuse_no_text(text)
        return cls(columns, tag, where)

    def predicate(self, catalog: Catalog) -> Predicate:
        """The question as SQL. Raises WhereError."""
        parts = [f"+{column} = ?" for column in self.columns]
        values: list[object] = [*self.columns.values()]
        candidates = list(of_columns(self.columns))
        names_state = "state" in self.columns
        if self.tag is not None:
            parts.append(TAGGED)
            values.append(self.tag)
        if self.where is not None:
            met = condition(self.where, catalog.fields())
            parts.append(met.sql)
            values += met.values
            names_state |= met.names_state
            candidates += met.candidates
        if not names_state:
            parts.append(f"NOT {HIDDEN}")
        few = fewest(candidates, catalog.value)
        return Predicate(" AND ".join([*parts, few.text]), (*values, *few.values), is_narrow=few.text != "1")


@frozen
class Predicate:
    """SQL that is true for the wanted results. `is_narrow`: an index of the catalog finds them among few."""

    text: str
    values: tuple[object, ...]
    is_narrow: bool


def search(
    catalog: Catalog, asked: Asked, *, sort: str | None, limit: int | None, after: str | None
) -> tuple[int, list[Row]]:
    """(revision, results) newest first or as `sort` says, those that come after the allocation `after`. Raises WhereError."""
    wanted = asked.predicate(catalog)
    at_most = None if limit is None else min(limit, ROWS_MAX)
    if sort is None:
        later = Sql("rowid < (SELECT rowid FROM result WHERE alloc_id = ?)", (after,)) if after else Sql("1")
        return catalog.rows(f"{wanted.text} AND {later.text}", (*wanted.values, *later.values), limit=at_most)
    ordered = terms(sort, catalog.fields())
    later = _after(catalog, ordered, after) if after else Sql("1")
    where, values = f"{wanted.text} AND {later.text}", (*wanted.values, *later.values)
    by = ", ".join([*(term.text for term in ordered), "rowid DESC"])
    by_values = [value for term in ordered for value in term.values]
    one = only_metric(sort, catalog.fields()) if at_most is not None and not wanted.is_narrow else None
    if one is not None:  # the best few of all are enough where so many of them are asked for
        best = best_of(*one)
        found = catalog.rows(f"{where} AND {best.text}", [*values, *best.values, *by_values], order=by, limit=at_most)
        if len(found[1]) == at_most:
            return found
    return catalog.rows(where, [*values, *by_values], order=by, limit=at_most)


def _after(catalog: Catalog, ordered: Sequence[Sql], alloc_id: str) -> Sql:
    """Which results come after that one in an order. SQLite puts NULL before every value, and after them in DESC."""
    names = [
        (f"({term.text.removesuffix(' DESC').removesuffix(' ASC')})", term.text.endswith(" DESC")) for term in ordered
    ]
    if len(names) > SORTED_PAGES_FIELDS_MAX * 8:
        raise UsageError("results that are sorted by so many fields are not paged", hint="sort by fewer fields")
    selected = ", ".join(["rowid", *(name for name, _ in names)])
    asked = (*(value for term in ordered for value in term.values), alloc_id)
    found = catalog.table(f"SELECT {selected} FROM result WHERE alloc_id = ?", *asked)  # noqa: S608 - SQL of ours
    if not found:
        return Sql("0")
    rowid, *own = found[0]
    ways: list[str] = []
    values: list[object] = []
    alike, alike_values = "", list[object]()  # equal in all terms so far
    for (name, is_desc), term, value in zip(names, ordered, own, strict=True):
        if value is None and not is_desc:
            ways.append(f"{alike}{name} IS NOT NULL")
            values += [*alike_values, *term.values]
        elif value is not None:
            beyond = f"({name} < ? OR {name} IS NULL)" if is_desc else f"{name} > ?"
            ways.append(f"{alike}{beyond}")
            values += [*alike_values, *term.values, value, *(term.values if is_desc else ())]
        alike += f"{name} IS ? AND "
        alike_values += [*term.values, value]
    ways.append(f"{alike}rowid < ?")
    return Sql(f"({' OR '.join(ways)})", (*values, *alike_values, rowid))


def count(catalog: Catalog, asked: Asked, *, is_exact: bool) -> int | None:
    """How many results there are. None where that needs a look at each of many, unless `is_exact`."""
    only = {*asked.columns} <= {"job", "version", "run"} and asked.tag is None and asked.where is None
    if only:  # the catalog's indexes count these without a look at the rows
        where = " AND ".join([f"{column} = ?" for column in asked.columns] or ["1"])
        values = tuple(asked.columns.values())
        every = int(catalog.value(f"SELECT COUNT(*) FROM result WHERE {where}", *values))  # noqa: S608
        hidden = f"SELECT COUNT(*) FROM result WHERE {HIDDEN} AND {_MADE_HIDDEN} AND {where}"  # noqa: S608
        return every - int(catalog.value(hidden, *values))
    wanted = asked.predicate(catalog)
    if not (is_exact or wanted.is_narrow or int(catalog.value("SELECT MAX(rowid) FROM result") or 0) <= FEW):
        return None
    return int(catalog.value(f"SELECT COUNT(*) FROM result WHERE {wanted.text}", *wanted.values))  # noqa: S608


def sample(catalog: Catalog, asked: Asked, size: int) -> tuple[int, int, list[Row]]:
    """(revision, how many results there are, `size` of them, chosen at random but always alike), newest first."""
    wanted = asked.predicate(catalog)
    ids = catalog.values(f"SELECT rowid FROM result WHERE {wanted.text} ORDER BY rowid", *wanted.values)  # noqa: S608
    chosen = ids if len(ids) <= size else random.Random(_SEED).sample(ids, size)  # noqa: S311 - draws a picture
    marks = ", ".join(map(str, chosen))  # whole numbers
    revision, rows = catalog.rows(f"rowid IN ({marks})", ())
    return revision, len(ids), rows
