"""Writes the log of an index anew after it was lost, from what survives of it and what lies in the stores.

What is remembered (`federation.index.maintenance.recovery`) is entered again in its own order. What only the stores know
follows: runs from their manifests, and for each key the first by (attempt, the store's time, allocation) wins. Every entry
says that it was rebuilt. The home gets a new id, so that no catalog of the lost log is taken for one of this."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from federation.claims import difference
from federation.errors import IndexCorrupt, UsageError
from federation.home import manifest_keys
from federation.index.catalog.catalog import catalog_path, read_hashes
from federation.index.catalog.changes import usable
from federation.index.catalog.checkpoint import checkpoint_key, checkpoints
from federation.index.home import HOME_KEY, LOG_PREFIX, Owner, make_home, read_home
from federation.index.last_sync import last_sync
from federation.index.lost import LOST_PREFIX
from federation.index.maintenance.collect import Collected, Refuse, believe_all, collect
from federation.index.maintenance.log_reader import read_chain, read_entries
from federation.index.maintenance.log_summary import LogSummary
from federation.index.maintenance.rebuild_plan import ReadEnd, RebuildPlan, Replay
from federation.index.maintenance.recovery import (
    Memory,
    Remembered,
    facts_of,
    is_rebuilt,
    remember,
    set_aside,
    stores_of,
)
from federation.index.stores import OpenStore
from federation.log import Entry, Log, timestamp, utc_now
from federation.result import ResultRecord
from jobs.foreign import parse_object
from regions.storage.errors import IntegrityError
from regions.storage.store import Store

_HOME_ID = re.compile("^[0-9a-f]{32}")


def plan_rebuild(
    home: Store,
    cache_dir: Path,
    open_store: OpenStore,
    names: Sequence[str],
    read_end: ReadEnd,
    refuse: Refuse = believe_all,
    *,
    salvage: bool = False,
    needs_catalog: bool = False,
    catalog: Path | None = None,
) -> RebuildPlan:
    """Look at all that survives, and decide. Writes nothing. `names` are the stores to look into; `refuse`
    says why a record that nothing remembers isn't believed (`federation.workflows.evidence`). `needs_catalog`: not
    without a catalog or checkpoint; `catalog`: that file.

    Raises UsageError where the log isn't lost, where it is damaged and neither `salvage` nor a catalog was asked for, and
    for a catalog that is missing or of another home.
    """
    there = read_entries(home, LOG_PREFIX)
    has_log = next(iter(home.list(LOG_PREFIX)), None) is not None
    goes_on = has_log and _is_unfinished(there)
    is_salvage = has_log and not goes_on
    needs_catalog = needs_catalog or catalog is not None
    home_ids = _home_ids(home, cache_dir, goes_on=goes_on)
    if is_salvage and not needs_catalog:
        known = [_hashes(cache_dir, one) for one in _home_ids(home, cache_dir, goes_on=False, with_earlier=False)]
        _refuse_whole(home, max(known, key=len, default={}), salvage=salvage)
    found_again = remember(home, cache_dir, home_ids, with_log=not goes_on, catalog=catalog)
    memory, sources = found_again.entries, found_again.sources
    if needs_catalog:
        _refuse_without_catalog(home, cache_dir, found_again, there if is_salvage else {})
    if goes_on and (missing := _done(there) - memory.keys()):
        raise UsageError(
            f"the rebuild that was broken off took {len(missing)} entries from a catalog that isn't found again",
            hint="run it on the same machine, or name that catalog again: fedml index rebuild --from-catalog FILE",
        )
    remembered = facts_of(memory.values())

    def refuse_new(record: ResultRecord, found_in: str) -> str:
        facts = remembered.get(record.alloc_id)
        return refuse(record, found_in) if facts is None else difference(record, facts)

    found = collect(open_store, [*names, *stores_of(memory.values())], refuse_new)
    if catalog is not None:
        _refuse_foreign_catalog(home, catalog, memory.values(), found)
        home_ids = list(dict.fromkeys([*home_ids, *_HOME_ID.findall(catalog.name)]))
    plan = RebuildPlan(found, sources=sources, is_salvage=is_salvage, goes_on=goes_on, home_ids=home_ids)
    Replay(home, plan, memory, there if goes_on else {}, read_end).run()
    return plan


def apply_rebuild(
    home: Store,
    plan: RebuildPlan,
    *,
    author: str,
    owner: Owner | None = None,
) -> int:
    """Writes the planned log and returns its revision. After a crash `rebuild` goes on where it was. Raises LogConflict
    when somebody else writes to the index meanwhile. `owner`: the federation whose home a new `format.json` is."""
    if plan.is_salvage:
        set_aside(home, utc_now().strftime("%Y%m%dT%H%M%SZ"))
    if not plan.goes_on:
        _renew_home(home, utc_now(), plan.home_ids, owner)
    log = Log(home, LOG_PREFIX, author=author)
    log.refresh()
    for reason, changes in plan.entries:
        log.append(changes, reason=reason, rebase=lambda _: None)
    log.append([{"type": "rebuild", "is_done": True}], reason="rebuilt", rebase=lambda _: None)
    for revision in checkpoints(home):
        home.delete(checkpoint_key(revision))
    return log.head


def _is_unfinished(entries: dict[int, Entry]) -> bool:
    marks = [change for entry in entries.values() for change in usable(entry.changes) if change["type"] == "rebuild"]
    return bool(marks) and not any(mark["is_done"] for mark in marks) and is_rebuilt(entries[min(entries)].changes)


def _done(entries: dict[int, Entry]) -> set[int]:
    """The numbers of the lost log's entries that a rebuild has entered already."""
    changes = [change for entry in entries.values() for change in usable(entry.changes)]
    return {change["of"] for change in changes if change["type"] == "rebuild" and "of" in change}


def _hashes(cache_dir: Path, home_id: str) -> dict[int, str]:
    path = catalog_path(cache_dir, home_id)
    return read_hashes(path) if path.is_file() else {}


def _refuse_whole(home: Store, remembered: dict[int, str], *, salvage: bool) -> None:
    chain = read_chain(home, remembered=remembered)
    problems = chain.problems or [one for one in LogSummary(home, chain).problems if one.kind == "change-unreadable"]
    if not problems:
        raise UsageError(
            f"the index isn't lost: its log is whole, up to revision {chain.head.number}",
            hint="fedml index verify looks at everything; fedml index sync --yes enters what only the stores have",
        )
    if not salvage:
        raise UsageError(
            f"the index isn't lost but damaged: {problems[0].what}"
            + (f", and {len(problems) - 1} more" if len(problems) > 1 else ""),
            hint="restore the objects from the bucket's version history (fedml index verify names them);\n"
            f"or go on with what can be read of it: fedml index rebuild --salvage (moves it to {LOST_PREFIX})",
        )


def _refuse_without_catalog(home: Store, cache_dir: Path, memory: Memory, there: dict[int, Entry]) -> None:
    if not memory.has_catalog:
        raise UsageError(
            f"no catalog of the home {home.url} was found in {cache_dir / 'index'}, and no checkpoint in the home",
            hint="run it on the machine that used the index last, or name a copy of its catalog: "
            "fedml index rebuild --from-catalog FILE\nwithout --from-catalog it goes by the results in the stores",
        )
    known = {one.sha256 for one in memory.entries.values()}
    if there and {entry.sha256 for entry in there.values()} == known:
        raise UsageError(
            f"the index isn't lost: its log has all that the catalog knows, up to revision {max(there)}",
            hint="fedml index verify looks at everything",
        )


def _refuse_foreign_catalog(home: Store, catalog: Path, memory: Iterable[Remembered], found: Collected) -> None:
    """Raises UsageError for a catalog that knows nothing of what lies here."""
    changes = [change for one in memory for change in one.changes]
    knows = {change["run"] for change in changes if change["type"] == "open"}
    knows |= {change["alloc_id"] for change in changes if "known" in change}
    there = {run for run, _ in manifest_keys(home)} | found.candidates.keys()
    if there and there.isdisjoint(knows):
        raise UsageError(
            f"the catalog {catalog} is of another index: it knows none of the {len(there)} runs and results that lie in "
            f"{home.url} and the stores",
            hint="name a catalog of this federation's index",
        )


def _home_ids(home: Store, cache_dir: Path, *, goes_on: bool, with_earlier: bool = True) -> list[str]:
    """Under which ids the home may have a catalog here: its own (unless that is of this very rebuild), the one that this
    machine read last at that address, and (`with_earlier`) those before a rebuild."""
    try:
        found = read_home(home)
    except (IndexCorrupt, IntegrityError):
        found = None
    seen = last_sync(cache_dir, home.url)
    ids = [found.id] if found and not goes_on else []
    ids += [seen.home_id] if seen and not (goes_on and found and seen.home_id == found.id) else []
    earlier = found.rebuilt_from if found else ()
    return list(dict.fromkeys([*ids, *earlier])) if with_earlier else [one for one in ids if one not in earlier]


def _renew_home(home: Store, now: datetime, home_ids: Sequence[str], owner: Owner | None) -> None:
    """Gives the home a new ID, so that catalogs of the lost log aren't used with the new one."""
    try:
        found = read_home(home)
    except (IndexCorrupt, IntegrityError):
        home.delete(HOME_KEY)
        found = None
    if found is None:
        make_home(home, now, owner, rebuilt_from=home_ids)
        return
    earlier = list(dict.fromkeys([found.id, *home_ids]))
    renewed: dict[str, object] = {"id": uuid.uuid4().hex, "created": timestamp(now), "rebuilt_from": earlier}
    renewed |= {"federation": asdict(owner)} if owner else {}
    document = parse_object(home.get(HOME_KEY), source=home.url_of(HOME_KEY)) | renewed
    home.put(HOME_KEY, json.dumps(document, indent=1).encode(), content_type="application/json")
