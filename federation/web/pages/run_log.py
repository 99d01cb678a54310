"""The log of a run as a list that people read: who bound, dispatched or changed what, and when. The newest entry first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from starlette.requests import Request

from federation.log import Entry
from federation.run.brain import changes as of
from federation.text import counted
from federation.web.page import Link, Live, Page, PageRoute
from federation.web.pages.run_attempts import seconds_after
from federation.web.query import Query, changed
from federation.web.run_now import LOOK_S, run_meant, run_now
from federation.web.site import Site
from federation.web.table import Cell, Column, Row, Table

ENTRIES_SHOWN = 100
LINES_MAX = 5
"""So many changes of one entry are told one by one; more of a kind are counted."""
COLUMNS = (
    Column("entry", "number"),
    Column("when", "time"),
    Column("after", "number"),
    Column("who"),
    Column("what happened"),
)
KINDS: Mapping[str, str] = {
    "bind": "bound", "ack": "dispatched", "fail": "failed", "trouble": "failing", "measure": "measured",
    "alloc": "adopted", "done": "ended", "retry": "retried", "rebind": "moved", "cancel": "cancelled",
    "halt": "halted", "exclude": "excluded",
}  # fmt: skip
"""Type of a change → the word of its chip."""


def view(site: Site, request: Request) -> Page:
    """Reads the run's log, once for all viewers."""
    query = Query(request)
    run = run_meant(site, request.path_params["run"])
    known = run_now(site, run)
    entries = known.value.story.entries
    kind = query.choice("kind", tuple(KINDS))
    found = [entry for entry in entries if not kind or kind in of.kinds_of(entry.changes)]
    after = query.number("after", 0)
    older = [entry for entry in found if not after or entry.number < after]
    shown = older[::-1][:ENTRIES_SHOWN]
    rows = [
        Row(
            str(entry.number),
            (
                Cell(str(entry.number), entry.number),
                Cell(entry.time, entry.time),
                Cell(seconds_after(entry.time, entries[0].time)),
                Cell(entry.author),
                Cell("; ".join(lines_of(entry.changes))),
            ),
        )
        for entry in shown
    ]
    has_more = len(older) > len(shown)
    table = Table(
        COLUMNS,
        rows,
        total=len(found),
        name="entries",
        next_href=changed(request, {"after": shown[-1].number}) if has_more else "",
        empty="No entry matches." if entries else "Nothing was bound yet.",
    )
    counts = known.value.once("kinds", lambda: _counts(entries))
    return Page(
        "run_log.html",
        "Log",
        {"run": run, "kinds": [(name, KINDS[name], counts[name]) for name in KINDS if counts[name]]},
        section="Runs",
        crumbs=(Link("Runs", "/runs"), Link(f"Run {run[-8:]}", f"/runs/{run}")),
        document=lambda: {"run": run, "entries": [_document(entry) for entry in shown]},
        table=table,
        command=f"fedml runs watch {run}",
        live=Live((len(entries), known.problem is not None), LOOK_S),
        problem=known.problem.message if known.problem is not None else "",
    )


def lines_of(changes: Sequence[Mapping[str, object]]) -> list[str]:
    """What an entry says, in a few short sentences."""
    read = of.parse_entry(changes)
    lines: list[str] = []
    for kind in dict.fromkeys(type(change) for change in read):
        own = [change for change in read if type(change) is kind]
        lines += _many(own) if len(own) > LINES_MAX or kind is of.Bind else map(_one, own)
    return lines


def _many(changes: Sequence[of.Read]) -> Iterator[str]:
    first = changes[0]
    if isinstance(first, of.Bind):
        regions = Counter(change.region for change in changes if isinstance(change, of.Bind))
        yield "bound " + ", ".join(f"{counted(count, 'slot')} to {region}" for region, count in regions.items())
    elif isinstance(first, of.Fail):
        causes = Counter(str(change.cause) for change in changes if isinstance(change, of.Fail))
        yield "failed: " + ", ".join(f"{count:,} {cause}" for cause, count in causes.most_common())
    else:
        yield f"{counted(len(changes), 'slot')} {KINDS.get(getattr(first, 'TYPE', ''), 'changed')}"


def _one(change: of.Read) -> str:
    told = _TOLD.get(type(change))
    return told(change) if told is not None else f"{type(change).__name__.lower()}: {change}"


_TOLD: Mapping[type, Callable[..., str]] = {
    of.Ack: lambda one: f"slot {one.slot}{_nth(one)} dispatched as {one.job_id}",
    of.Fail: lambda one: f"slot {one.slot}{_nth(one)} ended, {one.cause}: {one.reason}",
    of.Trouble: lambda one: (
        f"slot {one.slot}{_nth(one)} " + (f"doesn't go on: {one.detail}" if one.detail else "goes on")
    ),
    of.Measure: lambda one: f"slot {one.slot}{_nth(one)} reached {one.value} at the step of --keep-best",
    of.Done: lambda one: f"slot {one.slot}{_nth(one)} ended well: {one.group}[{one.index}]",
    of.Alloc: lambda one: f"slot {one.slot}{_nth(one)} is allocation {one.alloc_id}",
    of.Cancel: lambda one: f"cancelled{f': {one.reason}' if one.reason else ''}",
    of.Halt: lambda one: f"halted: {one.reason}" + (f"; job put back in {', '.join(one.revert)}" if one.revert else ""),
    of.Exclude: lambda one: f"{one.region} gets nothing more: {one.reason}",
    of.Rebind: lambda one: f"open slots move out of {one.region}, by hand",
    of.Retry: lambda one: f"{counted(len(one.slots), 'slot')} get new attempts",
    of.Unknown: lambda one: f"a change {one.type!r}, which only a newer fedml knows",
    of.Unusable: lambda one: f"a change that can't be used: {one.problem}",
}


def _nth(one: of.Ack | of.Fail) -> str:
    return f" (attempt {one.attempt})" if one.attempt > 1 else ""


def _counts(entries: Sequence[Entry]) -> Counter[str]:
    """How many entries have each kind of change."""
    return Counter(kind for entry in entries for kind in of.kinds_of(entry.changes))


def _document(entry: Entry) -> dict[str, object]:
    return {"entry": entry.number, "time": entry.time, "author": entry.author, "reason": entry.reason,
            "changes": list(entry.changes)}  # fmt: skip


ROUTES = (PageRoute("/runs/{run}/log", view),)
