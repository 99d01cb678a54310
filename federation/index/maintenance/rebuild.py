"""Writes the log of an index anew after it was lost, from what survives of it and what lies in the stores.

What is remembered (`federation.index.maintenance.recovery`) is entered again in its own order. What only the stores know
follows: runs from their manifests, and for each key the first by (attempt, the store's time, allocation) wins. Every entry
says that it was rebuilt. The home gets a new id, so that no catalog of the lost log is taken for one of this."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from federation.claims import difference
from federation.errors import IndexCorrupt, UsageError
from federation.index.catalog.changes import usable
from federation.index.catalog.checkpoint import checkpoint_key, checkpoints
from federation.index.home import HOME_KEY, LOG_PREFIX, make_home, read_home
from federation.index.maintenance.collect import Refuse, believe_all, collect
from federation.index.maintenance.log_reader import read_chain, read_entries
from federation.index.maintenance.log_summary import LogSummary
from federation.index.maintenance.rebuild_plan import ReadManifest, RebuildPlan, Replay
from federation.index.maintenance.recovery import LOST_PREFIX, facts_of, is_rebuilt, remember, set_aside, stores_of
from federation.index.stores import OpenStore
from federation.log import Entry, Log, timestamp, utc_now
from federation.result import ResultRecord
from jobs.errors import ForeignTextError
from jobs.foreign import Members, parse_object
from regions.storage.errors import IntegrityError, NotFound
from regions.storage.store import Store


def plan_rebuild(
    home: Store,
    cache_dir: Path,
    open_store: OpenStore,
    names: Sequence[str],
    read_manifest: ReadManifest,
    refuse: Refuse = believe_all,
    *,
    salvage: bool = False,
) -> RebuildPlan:
    """Look at all that survives, and decide. Writes nothing. `names` are the stores to look into; `refuse`
    says why a record that nothing remembers isn't believed (`federation.workflows.evidence`).

    Raises UsageError where the log isn't lost, or is damaged and `salvage` wasn't asked for.
    """
    there = read_entries(home, LOG_PREFIX)
    has_log = next(iter(home.list(LOG_PREFIX)), None) is not None
    goes_on = has_log and _is_unfinished(there)
    is_salvage = has_log and not goes_on
    if is_salvage:
        _refuse_whole(home, salvage=salvage)
    memory, sources = remember(home, cache_dir, _home_ids(home, goes_on=goes_on), with_log=not goes_on)
    remembered = facts_of(memory.values())

    def refuse_new(record: ResultRecord, found_in: str) -> str:
        facts = remembered.get(record.alloc_id)
        return refuse(record, found_in) if facts is None else difference(record, facts)

    found = collect(open_store, [*names, *stores_of(memory.values())], refuse_new)
    plan = RebuildPlan(found, sources=sources, is_salvage=is_salvage, goes_on=goes_on)
    Replay(home, plan, memory, there if goes_on else {}, read_manifest).run()
    return plan


def apply_rebuild(home: Store, plan: RebuildPlan, *, author: str, clock: Callable[[], datetime] = utc_now) -> int:
    """Write it, and give the revision. After a crash `rebuild` goes on where it was. Raises LogConflict when somebody else
    writes to the index meanwhile."""
    if plan.is_salvage:
        set_aside(home, clock().strftime("%Y%m%dT%H%M%SZ"))
    if not plan.goes_on:
        _renew_home(home, clock())
    log = Log(home, LOG_PREFIX, author=author, clock=clock)
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


def _refuse_whole(home: Store, *, salvage: bool) -> None:
    chain = read_chain(home)
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


def _home_ids(home: Store, *, goes_on: bool) -> list[str]:
    """Under which ids the home may have a catalog here: its own (unless that is of this very rebuild), and earlier ones."""
    try:
        found = read_home(home)
        where = home.url_of(HOME_KEY)
        document = parse_object(home.get(HOME_KEY), source=where) if found else {}
        earlier = Members(document, source=where).items("rebuilt_from", ())
    except (IndexCorrupt, IntegrityError, NotFound, ForeignTextError):
        return []
    own = [found.id] if found and not goes_on else []
    return own + [text for text in earlier if isinstance(text, str)]


def _renew_home(home: Store, now: datetime) -> None:
    """A new id for the home: what was read of the lost log is worth nothing against the new one."""
    try:
        found = read_home(home)
    except (IndexCorrupt, IntegrityError):
        home.delete(HOME_KEY)
        found = None
    if found is None:
        make_home(home, now)
        return
    renewed = {"id": uuid.uuid4().hex, "created": timestamp(now), "rebuilt_from": _home_ids(home, goes_on=False)}
    document = parse_object(home.get(HOME_KEY), source=home.url_of(HOME_KEY)) | renewed
    home.put(HOME_KEY, json.dumps(document, indent=1).encode(), content_type="application/json")
