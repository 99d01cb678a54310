"""The attempts of a run as a table: filtered, counted, sorted and paged by one predicate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from starlette.requests import Request

from federation.errors import UsageError
from federation.run.attempt_times import seconds
from federation.run.timeline import Span
from federation.text import in_words
from federation.ui.slot_failures import params_text
from federation.web.query import Query, changed
from federation.web.run_now import RunNow
from federation.web.table import Cell, Column, Row, Table, part_after

ROWS_SHOWN = 100
CHIPS_MAX = 12
STATES = ("done", "running", "waiting", "failed", "lost", "cancelled")
COLUMNS = (
    Column("slot", "number", "slot"),
    Column("attempt", "number"),
    Column("parameters"),
    Column("state", "state"),
    Column("region", "text", "region"),
    Column("node"),
    Column("waited", "number", "waited", "from its binding until its first task began"),
    Column("computed", "number", "computed"),
    Column("why it ended"),
)
SORTS: Mapping[str, Callable[[Span], object]] = {
    "slot": lambda span: (span.slot, span.attempt),
    "region": lambda span: (span.region, span.slot, span.attempt),
    "waited": lambda span: (span.waited_s, span.slot, span.attempt),
    "computed": lambda span: (span.computed_s, span.slot, span.attempt),
}


@dataclass(frozen=True)
class Wanted:
    """Which attempts the address asks for. Empty: all. `slots` are the first and the last of a range."""

    state: str = ""
    cause: str = ""
    region: str = ""
    slots: tuple[int, int] | None = None

    def holds(self, now: RunNow, span: Span, *, but: str = "") -> bool:
        """Whether the attempt is wanted; `but` names a filter that isn't looked at."""
        return (
            (but == "state" or self.state in ("", state_of(now, span)))
            and (but == "cause" or self.cause in ("", span.cause))
            and (but == "region" or self.region in ("", span.region))
            and (self.slots is None or self.slots[0] <= span.slot <= self.slots[1])
        )


def wanted_of(query: Query, slots: int) -> Wanted:
    """What the address asks for. Raises UsageError for a range of slots that the run hasn't."""
    found = query.text("slots")
    given: tuple[int, int] | None = None
    if found:
        first, _, last = found.partition("-")
        if not first.isdecimal() or not (last or first).isdecimal() or len(found) > 21:
            raise UsageError(f"slots={found!r} in the address is not a range", hint="write it like 100-199")
        given = int(first), min(int(last or first), slots - 1)
        if not 0 <= given[0] <= given[1]:
            raise UsageError(f"slots={found!r} in the address: the run has slots 0 to {slots - 1}")
    return Wanted(query.choice("state", STATES), query.text("cause"), query.text("region"), given)


def state_of(now: RunNow, span: Span) -> str:
    """How the attempt stands: by its outcome; an open one as its slot does."""
    if span.outcome == "stopped":
        return "cancelled"
    if span.outcome != "open":
        return span.outcome
    last = now.story.slots[span.slot].last
    return now.states[span.slot] if last is not None and last.number == span.attempt else "cancelled"


def href_of(run: str, slot: int, attempt: int) -> str:
    """The page of an attempt."""
    return f"/runs/{run}/slots/{slot}/{attempt}"


def seconds_after(time: str, begun: str) -> str:
    """How long after a moment another one was, to a tenth of a second; empty where that isn't known."""
    try:
        return f"{seconds(time) - seconds(begun):+.1f} s"
    except ValueError:
        return ""


def attempts_table(now: RunNow, request: Request, wanted: Wanted) -> Table:
    """The attempts that are wanted, 100 of them. Raises UsageError."""
    query = Query(request)
    sort = query.text("sort") or "slot"
    name, _, order = sort.partition(":")
    if name not in SORTS or order not in ("", "desc"):
        raise UsageError(f"sort={sort!r} in the address: attempts are sorted by {', '.join(SORTS)}")
    found = now.once(("attempts", wanted, sort), lambda: _sorted(now, wanted, name, is_down=order == "desc"))
    shown, last = part_after(found, _key, query.text("after"), ROWS_SHOWN)
    nodes = now.once("nodes", lambda: {(row.slot, row.attempt): row.node for row in now.story.results})
    return Table(
        COLUMNS,
        [_row(now, span, nodes.get((span.slot, span.attempt), span.node)) for span in shown],
        total=len(found),
        sort=sort if query.text("sort") else "",
        next_href=changed(request, {"after": last}) + "#attempts-table" if last else "",
        empty="No attempt matches." if now.timeline.spans else "No slot is bound to a region yet.",
        name="attempts",
    )


def chips(now: RunNow, wanted: Wanted) -> Mapping[str, Sequence[tuple[str, int]]]:
    """For each filter its values with how many attempts each would show."""

    def count() -> Mapping[str, Sequence[tuple[str, int]]]:
        counts: dict[str, Counter[str]] = {"state": Counter(), "cause": Counter(), "region": Counter()}
        values: Mapping[str, Callable[[Span], str]] = {
            "state": lambda span: state_of(now, span),
            "cause": lambda span: span.cause,
            "region": lambda span: span.region,
        }
        for name, own in counts.items():
            own.update(values[name](span) for span in now.timeline.spans if wanted.holds(now, span, but=name))
        return {name: [pair for pair in own.most_common(CHIPS_MAX) if pair[0]] for name, own in counts.items()}

    return now.once(("chips", wanted), count)


def _sorted(now: RunNow, wanted: Wanted, name: str, *, is_down: bool) -> Sequence[Span]:
    spans = now.timeline.spans
    found = spans if wanted == Wanted() else [span for span in spans if wanted.holds(now, span)]
    if name == "slot" and not is_down:
        return found
    return sorted(found, key=SORTS[name], reverse=is_down)  # type: ignore[arg-type]


def _key(span: Span) -> str:
    return f"{span.slot}.{span.attempt}"


def _row(now: RunNow, span: Span, node: str) -> Row:
    state = state_of(now, span)
    has_begun = span.started_s is not None
    waited, computed = span.waited_s, span.computed_s
    slot = now.story.slots[span.slot]
    attempt = next(islice((one for one in slot.attempts if one.number == span.attempt), 1), None)
    why = span.reason or (attempt.failing if attempt is not None and attempt.is_open else "")
    return Row(
        _key(span),
        (
            Cell(str(span.slot), span.slot),
            Cell(str(span.attempt), span.attempt),
            Cell(params_text(now.story.parameters(span.slot))),
            Cell(state, state=state),
            Cell(span.region),
            Cell(node),
            Cell(in_words(waited) if has_begun or waited else "", round(waited, 3)),
            Cell(in_words(computed) if computed else "", round(computed, 3)),
            Cell(why),
        ),
        href=href_of(now.row.run, span.slot, span.attempt),
    )
