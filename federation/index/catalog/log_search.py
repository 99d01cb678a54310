"""Searches the log for entries by who wrote them, what they changed, and the job that they concern. Newest first."""

from __future__ import annotations

from collections.abc import Mapping

from federation.errors import UsageError
from federation.index.catalog.catalog import Catalog
from federation.index.catalog.history import Revision, jobs_of, revisions
from federation.log import Change
from jobs.frozen import field, frozen

LOOKED_MAX = 20_000
"""So many entries one search looks at."""
_AT_ONCE = 500
KINDS: Mapping[str, frozenset[str]] = {
    "commit": frozenset({"add", "supersede", "late"}),
    "run": frozenset({"open", "close"}),
    "cancel": frozenset(),
    "tag": frozenset({"tag", "untag"}),
    "rollback": frozenset(),
    "retire": frozenset({"retire"}),
    "note": frozenset({"note"}),
    "storage": frozenset({"locate", "sign", "doom", "spare", "remove", "freed", "rebuild"}),
}
"""What people search for → types of changes. A cancel is a run that was closed so, a rollback a tag that went back."""


@frozen
class Searched:
    """Entries, newest first. `next`: where the search goes on, 0 at the end of the log. `jobs`: of what they name."""

    entries: list[Revision]
    next: int
    looked: int
    jobs: Mapping[str, str] = field(factory=dict)


def is_of_kind(change: Change, kind: str) -> bool:
    """Whether a change is what `kind` (one of KINDS) means."""
    if kind == "cancel":
        return change["type"] == "close" and change.get("state") == "cancelled"
    if kind == "rollback":
        return change["type"] == "tag" and bool(change.get("rollback"))
    return change["type"] in KINDS[kind]


def search_log(
    catalog: Catalog,
    *,
    before: int | None,
    limit: int,
    author: str | None = None,
    kind: str | None = None,
    job: str | None = None,
) -> Searched:
    """The newest `limit` entries before that revision which match all that is given. An author is meant by `name@host` or by
    the name alone. Looks at `LOOKED_MAX` entries at most. Raises UsageError for a kind that is none."""
    if kind is not None and kind not in KINDS:
        raise UsageError(f"{kind!r} is not a kind of change", hint=f"there are: {', '.join(KINDS)}")
    last = catalog.position().number if before is None else min(before - 1, catalog.position().number)
    found: list[Revision] = []
    looked = 0
    while last > 0 and len(found) < limit and looked < LOOKED_MAX:
        first = max(1, last - (limit if author is kind is job is None else _AT_ONCE) + 1)
        some = revisions(catalog, first, last)[::-1]
        known = jobs_of(catalog, some) if job is not None else {}
        for entry in some:
            looked, last = looked + 1, entry.number - 1
            if _matches(entry, author, kind, job, known):
                found.append(entry)
                if len(found) == limit:
                    break
        else:
            last = first - 1
    return Searched(found, last + 1 if last > 0 else 0, looked, jobs_of(catalog, found))


def _matches(entry: Revision, author: str | None, kind: str | None, job: str | None, jobs: Mapping[str, str]) -> bool:
    if author not in (None, entry.author, entry.author.partition("@")[0]):
        return False
    wanted = [change for change in entry.changes if kind is None or is_of_kind(change, kind)]
    if not wanted and (kind is not None or job is not None):
        return False
    return job is None or any(job in (change.get("job"), *_named(change, jobs)) for change in wanted)


def _named(change: Change, jobs: Mapping[str, str]) -> list[str | None]:
    return [jobs.get(str(change.get(member, ""))) for member in ("alloc_id", "run")]
