"""Lists the runs that a person asks for (`fedml runs list`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches

from federation.errors import UsageError
from federation.index.reader import Reader
from federation.index.rows import OPEN, RUN_STATES_CLOSED, RunRow
from federation.index.validation import refuse_no_text
from federation.run.driver import Driver
from federation.text import counted
from federation.workflows.run_reader import RunReader

UNDRIVEN = "undriven"
"""How an open run is listed that no process drives."""
STATES = (OPEN, UNDRIVEN, *RUN_STATES_CLOSED)


@dataclass(frozen=True, slots=True)
class RunList:
    """Runs, newest first. `remark` tells why there are none, or that there are more. `undriven` has those of the open ones
    that no process drives. `total` counts all that match, `states` all that match but for their state."""

    rows: Sequence[RunRow]
    remark: str = ""
    undriven: Mapping[str, Driver] = field(default_factory=dict)
    total: int = 0
    states: Mapping[str, int] = field(default_factory=dict)

    @property
    def next_after(self) -> str:
        """The run after which older ones follow; "" where there are none."""
        return self.rows[-1].run if self.remark and self.rows else ""


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs are wanted; None: any. An author is meant by `name@host` or by the name alone, a region by any run that may
    use it."""

    job: str | None = None
    version: str | None = None
    name: str | None = None
    author: str | None = None
    region: str | None = None

    def of(self, runs: RunReader, rows: Sequence[RunRow]) -> list[RunRow]:
        """Those of the runs that match. Only a region needs their manifests."""
        found = [
            row
            for row in rows
            if self.job in (None, row.job)
            and self.version in (None, row.version)
            and self.name in (None, row.name)
            and self.author in (None, row.author, row.author.partition("@")[0])
        ]
        if self.region is None:
            return found
        regions = runs.regions(found)
        return [row for row in found if self.region in regions[row.run]]


ALL = RunFilter()


def list_runs(
    runs: RunReader,
    index: Reader,
    wanted: RunFilter = ALL,
    *,
    state: str | None = None,
    after: str | None = None,
    limit: int | None = None,
) -> RunList:
    """The newest `limit` runs that are wanted, of those older than the run `after`. Raises UsageError for a state that runs
    can't have, and for an unknown run `after`."""
    for text in (*asdict(wanted).values(), after):
        refuse_no_text(text or "")
    if state is not None and state not in STATES:
        raise UsageError(f"--state {state}: a run is {', '.join(STATES[:-1])} or {STATES[-1]}")
    every = index.runs()
    rows = wanted.of(runs, every)
    states = Counter(row.state for row in rows)
    rows = [row for row in rows if state in (None, row.state, UNDRIVEN if row.state == OPEN else None)]
    if state == UNDRIVEN:
        undriven = runs.undriven(rows)
        rows = [row for row in rows if row.run in undriven]
    total, rows = len(rows), _older(rows, every, after)
    if state != UNDRIVEN:
        undriven = runs.undriven(rows[:limit])
    if not rows:
        return RunList((), "" if after and total else _why_none(every, wanted), {}, total, states)
    more = len(rows) - limit if limit is not None else 0
    remark = f"{counted(more, 'older run')} not shown (--limit {limit})" if more > 0 else ""
    return RunList(rows[:limit], remark, undriven, total, states)


def _older(rows: list[RunRow], every: Sequence[RunRow], after: str | None) -> list[RunRow]:
    if not after:
        return rows
    last = next((row.revision for row in every if row.run == after), None)
    if last is None:
        raise UsageError(f"there is no run {after}", hint="begin with the newest ones")
    return [row for row in rows if row.revision < last]


def _why_none(every: Sequence[RunRow], wanted: RunFilter) -> str:
    if not every:
        return "No runs yet:  fedml dispatch"
    for what, asked, known in (
        ("job", wanted.job, {row.job for row in every}),
        ("version", wanted.version, {row.version for row in every if wanted.job in (None, row.job)}),
        ("name", wanted.name, {row.name for row in every if row.name}),
        ("author", wanted.author, {who for row in every for who in (row.author, row.author.partition("@")[0])}),
    ):
        if asked is not None and asked not in known:
            return f"The index has no run of {what} {asked!r}{_nearest(asked, known)}"
    return "No run matches all of these options"


def _nearest(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, sorted(known), n=1)
    return f": did you mean {near[0]!r}?" if near else f". There are: {', '.join(sorted(known)[:5])}"
