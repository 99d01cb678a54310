"""Free the bytes of results that no rule keeps, in two phases, through the log.

1. `doom`: what nothing keeps is marked, with the time from which it may be removed (the grace).
2. `remove`: what is still unwanted after its grace is removed by an entry of its own, decided against the catalog as it is
   at that entry. Only then are bytes deleted (the record first, so that no record stands without its artifact), and
   `freed` says how many.

A result is removed only where it lies at its own place: under the prefix that is derived from its key, in the store that
`fedml.toml` has for its region and datacenter, with copies in stores that `fedml.toml` has. What was adopted or published
in place is never marked. A result whose store `fedml.toml` doesn't have is reported and left alone.

Tag and removal are both entries of one log, so one of them comes first: a tag takes a mark away, and what is removed can't
be tagged. A reader that found a result before its mark has the whole grace to get it. After a crash the next gc goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from federation.errors import StoreRefused, UsageError
from federation.index.catalog.catalog import Catalog
from federation.index.columns import Row
from federation.index.index import Index
from federation.index.maintenance.problem import Problem
from federation.index.maintenance.removal import prefix_of, remove_files, remove_result
from federation.index.maintenance.retention import Retention, of_job, require_job, unwanted
from federation.index.maintenance.store_listing import list_store
from federation.index.stores import Stores, shown_store
from federation.log import Change, timestamp
from federation.result import ResultRecord, store_name
from jobs.code_run import CODE, code_of
from jobs.errors import FedmlError
from regions.storage.errors import NotFound
from regions.storage.store import Store

GRACE = timedelta(hours=24)
_LISTED_EXACTLY = timedelta(minutes=1)
"""Lists of stores tell times less exactly than an object does itself."""

_RUNS_OF_JOB = "SELECT run FROM run WHERE job = ? UNION SELECT run FROM result WHERE job = ?"

_NAMED_CODE = "SELECT DISTINCT code FROM result WHERE alloc_id NOT IN (SELECT alloc_id FROM removed)"

RecordOf = Callable[[Row], ResultRecord]


@dataclass(slots=True)
class GcPlan:
    """What a gc does now. `remove` are past their grace; `left_over` were removed by a gc that didn't end."""

    doom: list[Row] = field(default_factory=list)
    spare: list[str] = field(default_factory=list)
    waiting: list[tuple[Row, str]] = field(default_factory=list)
    """Marked before, with the time from which each may be removed."""
    remove: list[Row] = field(default_factory=list)
    left_over: list[Row] = field(default_factory=list)
    skipped: list[Problem] = field(default_factory=list)
    """Results that nothing keeps, and that lie where nothing may be deleted."""


@dataclass(slots=True)
class GcOutcome:
    """What a gc did. `freed_bytes` counts objects that are gone from all stores."""

    plan: GcPlan = field(default_factory=GcPlan)
    revision: int = 0
    removed: list[Row] = field(default_factory=list)
    freed_bytes: int = 0
    problems: list[Problem] = field(default_factory=list)
    """Results whose bytes are still there in some store (the next gc tries again), and those that were left alone."""


def plan_gc(index: Index, stores: Stores, rule: Retention, now: datetime) -> GcPlan:
    """Plans a gc. Writes nothing, and asks no store of results."""
    return index.ask(lambda catalog: _plan(catalog, stores, index.record, rule, now))


def run_gc(index: Index, stores: Stores, rule: Retention, now: datetime, *, grace: timedelta = GRACE) -> GcOutcome:
    """One gc: marks, takes marks away, removes what is past its grace, deletes its bytes."""
    if grace < timedelta():
        raise UsageError("a grace is not negative")
    plan = GcPlan()

    def decide(catalog: Catalog) -> list[Change]:
        nonlocal plan
        plan = _plan(catalog, stores, index.record, rule, now)
        until = timestamp(now + grace)
        doom = [{"type": "doom", "alloc_id": row.alloc_id, "until": until} for row in plan.doom]
        spare = [{"type": "spare", "alloc_id": alloc_id} for alloc_id in plan.spare]
        remove = [{"type": "remove", "alloc_id": row.alloc_id} for row in plan.remove]
        return [*doom, *spare, *remove]

    index.change(decide, reason="gc")
    outcome = GcOutcome(plan, removed=plan.remove, problems=plan.skipped)
    freed: list[Change] = []
    for row in [*plan.left_over, *plan.remove]:
        size_bytes, problems = _delete(index, stores, row)
        outcome.problems += problems
        if not problems:
            outcome.freed_bytes += size_bytes
            freed.append({"type": "freed", "alloc_id": row.alloc_id, "size_bytes": size_bytes})
    if freed:
        index.change(lambda _: freed, reason=f"gc: {outcome.freed_bytes} bytes freed")
    outcome.revision = index.ask(lambda catalog: catalog.position().number)
    return outcome


def orphans(
    stores: Stores,
    index: Index,
    now: datetime,
    age: timedelta,
    job: str = "",
    *,
    open_code: Callable[[], Collection[str]] = frozenset,
) -> list[Orphan]:
    """Artifacts in the datacenters' stores without a record, of no open run and no result of the index, to which nothing was
    written for `age`; with `job` only of its runs. Without it also code that was put there before that, and that neither a
    result that is there nor one of `open_code` names. Both are asked after all stores were listed: the code of a run that
    begins meanwhile is kept. Raises the stores' errors, UsageError for a job without results."""
    if job:
        index.ask(lambda catalog: require_job(catalog, job))
    of_this = set(index.ask(lambda catalog: catalog.values(_RUNS_OF_JOB, job, job)))
    open_runs = set(index.ask(lambda catalog: catalog.values("SELECT run FROM run WHERE state = 'open'")))
    urls = index.ask(lambda catalog: catalog.values("SELECT url FROM result"))
    found: list[Orphan] = []
    code: list[Orphan] = []
    for name in stores.names:
        store = stores.of(name)
        held = list_store(store)
        for prefix, run in held.unrecorded():
            newest = held.newest(prefix)
            if (job and run not in of_this) or run in open_runs or newest is None or newest > now - age:
                continue
            if not any(url.endswith(prefix) for url in urls):
                found.append(Orphan(name, prefix, held.size_bytes(prefix)))
        if not job:
            code += _old_code(name, store, now - age)
    named = {*index.ask(lambda catalog: catalog.values(_NAMED_CODE)), *open_code()} if code else ()
    return found + [one for one in code if code_of(one.prefix) not in named]


def _old_code(name: str, store: Store, before: datetime) -> Iterator[Orphan]:
    for info in store.list(CODE):
        if code_of(info.key) and info.modified is not None and info.modified <= before:
            yield Orphan(name, info.key, info.size_bytes, info.modified)


@dataclass(frozen=True, slots=True)
class Orphan:
    """Files that a broken publish left in a store, or code that nothing names."""

    store: str
    """Its URL, as `Stores.names` has it."""
    prefix: str
    """Of code: its key."""
    size_bytes: int
    modified: datetime | None = None
    """Of code: when it was put there, or used last by a new run."""

    @property
    def why(self) -> str:
        """Why nobody needs it."""
        return "that no result and no open run names" if code_of(self.prefix) else "without a record"


def remove_orphans(stores: Stores, found: Iterable[Orphan]) -> int:
    """Delete them, but for those that got a record, or a new run, meanwhile; how many bytes that freed."""
    freed = 0
    for orphan in found:
        store = stores.of(orphan.store)
        if code_of(orphan.prefix):
            if not _is_used_again(store, orphan):
                store.delete(orphan.prefix)
                freed += orphan.size_bytes
            continue
        owner = orphan.prefix.removeprefix("artifacts/").rstrip("/").rpartition("/")[0]
        if not store.exists(f"results/{owner}.json"):
            freed += remove_files(store, orphan.prefix)
    return freed


def _is_used_again(store: Store, code: Orphan) -> bool:
    """Whether a run that began meanwhile put the code there anew (`federation.code.upload`)."""
    try:
        modified = store.stat(code.prefix).modified
    except NotFound:
        return False
    return code.modified is not None and modified is not None and modified > code.modified + _LISTED_EXACTLY


def _plan(catalog: Catalog, stores: Stores, record_of: RecordOf, rule: Retention, now: datetime) -> GcPlan:
    unkept = unwanted(catalog, rule, now)
    moment = timestamp(now)
    plan = GcPlan()
    asked, values = of_job(rule.job)
    own = "SELECT alloc_id, until FROM doom JOIN result USING (alloc_id) WHERE "
    marked = dict(catalog.table(f"{own}{asked} ORDER BY doom.rowid", *values))
    plan.spare = [alloc_id for alloc_id in marked if alloc_id not in unkept]
    for alloc_id, row in unkept.items():
        try:
            _check_place(catalog, stores, record_of, row)
        except StoreRefused as error:
            what = f"{error.message}; the result is left alone"
            plan.skipped.append(Problem("store-refused", shown_store(row.store), what, error.hint))
            continue
        if alloc_id not in marked:
            plan.doom.append(row)
        elif marked[alloc_id] <= moment:
            plan.remove.append(row)
        else:
            plan.waiting.append((row, marked[alloc_id]))
    removed = "alloc_id IN (SELECT alloc_id FROM removed WHERE size_bytes IS NULL)"
    _, plan.left_over = catalog.rows(f"{removed} AND {asked}", values)
    return plan


def _check_place(catalog: Catalog, stores: Stores, record_of: RecordOf, row: Row) -> None:
    """Raises StoreRefused for a result that doesn't lie where gc may delete: `prefix_of` looked at the catalog, this looks at
    the record in the log, and at the stores."""
    if record_of(row).prefix is not None:
        raise StoreRefused(
            f"result {row.alloc_id} was published in place: its files aren't fedml's own",
            hint="delete them with the vendor's own tool, and hide the result: fedml index retire",
        )
    stores.check_removable(row, catalog.copies_of(row.alloc_id))


def _delete(index: Index, stores: Stores, row: Row) -> tuple[int, list[Problem]]:
    """Delete a removed result's objects in every store that has it: (bytes, what couldn't be deleted)."""
    copies = index.ask_again(lambda catalog: catalog.copies_of(row.alloc_id))
    prefix = prefix_of(row)
    if prefix is None or index.record(row).prefix is not None:
        what = f"result {row.alloc_id} was marked as removed, and its artifact isn't fedml's own; nothing was deleted"
        return 0, [
            Problem(
                "artifact-foreign",
                shown_store(row.store),
                what,
                "fedml never writes that: look at who did (fedml index log)",
            )
        ]
    freed = 0
    problems: list[Problem] = []
    for url in dict.fromkeys([row.store, *copies]):
        try:
            store = stores.own(row) if url == row.store else stores.of(url)
            freed += remove_result(store, row.key, row.alloc_id, prefix)
        except StoreRefused as error:
            what = f"result {row.alloc_id} is removed, and {error.message}; nothing was deleted there"
            problems.append(Problem("store-refused", shown_store(url), what, error.hint))
        except FedmlError as error:
            what = f"result {row.alloc_id} is removed, and {store_name(url)} still holds it: {error.message}"
            problems.append(
                Problem("store-unreachable", store_name(url), what, "fedml index gc again, when it answers")
            )
    return freed, problems
