"""The page of who did what to the index and its runs, when and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from starlette.requests import Request

from federation.index.catalog.history import Revision
from federation.index.catalog.log_search import KINDS, LOOKED_MAX, Searched, is_of_kind
from federation.log import Change
from federation.ui.index_history import change_text, first_changes, revision_json
from federation.web.index_reading import COST, LIVE_PAUSE_S, reading
from federation.web.page import Live, Page, PageRoute
from federation.web.pages.index import command_of
from federation.web.query import Query, changed
from federation.web.site import Site
from federation.web.table import Cell, Column, Row, Table
from federation.web.templates import segment
from federation.workflows.run_reader import Cancelled, cancelled_in
from jobs.errors import FedmlError

ENTRIES_SHOWN = 100
CANCELS_READ = 10
"""Of so many cancelled runs on a page the run log is read, which says who asked for it."""
COLUMNS = (Column("revision", "number"), Column("when", "time"), Column("who"), Column("what"), Column("why"))


def view(site: Site, request: Request) -> Page:
    """Reads the entries that match the address."""
    query = Query(request)
    now = reading(site, query)
    asked = {name: query.text(name) or None for name in ("author", "kind", "job")}
    before = query.number("before", 0) or None
    found = now.index.search_log(before=before, limit=ENTRIES_SHOWN, **asked)
    cancels = _cancels(site, found.entries)
    lines = {entry.number: _lines(entry, cancels) for entry in found.entries}
    table = Table(
        COLUMNS,
        [
            Row(
                str(entry.number),
                (
                    Cell(str(entry.number), entry.number),
                    Cell(entry.time),
                    Cell(entry.author),
                    Cell("; ".join(text for text, _ in lines[entry.number])),
                    Cell(entry.reason),
                ),
            )
            for entry in found.entries
        ],
        name="entries",
    )
    view = {
        "found": found,
        "lines": lines,
        "asked": asked,
        "kinds": list(KINDS),
        "older": changed(request, {"before": found.next}) if found.next else "",
        "limit_said": _limit_said(found),
        "reading": now,
        "is_filtered": any(asked.values()),
    }
    return Page(
        "history.html",
        "History",
        view,
        section="History",
        document=lambda: {
            "revision": now.index.revision,
            "revisions": [revision_json(entry) for entry in found.entries],
        },
        table=table,
        command=command_of(f"fedml index log --limit {ENTRIES_SHOWN}", asked),
        live=None if now.at or before else Live((now.head, now.problem), LIVE_PAUSE_S, COST),
        as_of=now.as_of,
        problem=now.problem,
    )


def _limit_said(found: Searched) -> str:
    if found.next and found.looked >= LOOKED_MAX and len(found.entries) < ENTRIES_SHOWN:
        return f"{found.looked:,} revisions were searched, down to {found.next}."
    return ""


def _lines(entry: Revision, cancels: Mapping[str, Cancelled]) -> list[tuple[str, str]]:
    """(text, address) of each change."""
    shown, more = first_changes(entry)
    lines = [(_text(change, cancels), _href(change)) for change in shown]
    return [*lines, (more, f"/index?where=revision+%3D+{entry.number}")] if more else lines


def _text(change: Change, cancels: Mapping[str, Cancelled]) -> str:
    asked = cancels.get(str(change.get("run", ""))) if is_of_kind(change, "cancel") else None
    return change_text(change) + (f", asked for by {asked.by} at {asked.at[:16].replace('T', ' ')}Z" if asked else "")


def _href(change: Change) -> str:
    """The page of what a change is about; of results and tags the result, of runs the run."""
    alloc_id = change.get("alloc_id") or change.get("previous")
    if isinstance(alloc_id, str) and alloc_id:
        return f"/results/{segment(alloc_id)}"
    run = change.get("run")
    return f"/runs/{segment(run)}" if isinstance(run, str) and run else ""


def _cancels(site: Site, entries: Sequence[Revision]) -> Mapping[str, Cancelled]:
    """Who cancelled these runs, as their logs say. A log that can't be read is left out."""
    runs = [str(change["run"]) for entry in entries for change in entry.changes if is_of_kind(change, "cancel")]
    found = {}
    for run in list(dict.fromkeys(runs))[:CANCELS_READ]:
        with suppress(FedmlError):
            asked = site.shared.get(
                ("who cancelled", run),
                lambda run=run: cancelled_in(site.runs.log_of(run).refresh()),  # type: ignore[misc]
                max_age_s=float("inf"),
            ).value
            if asked is not None:
                found[run] = asked
    return found


ROUTES = (PageRoute("/history", view),)
