"""Lists the runs that a person asks for (`fedml runs list`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches

from federation.errors import UsageError
from federation.index.reader import Reader
from federation.index.rows import OPEN, RUN_STATES_CLOSED, RunRow
from federation.index.validation import refuse_no_text
from federation.run.driver import Driver
from federation.text import counted
from federation.workflows.run_reader import RunReader
from jobs.frozen import field, frozen

UNDRIVEN = "undriven"
"""How an open run is listed that no process drives."""
STATES = (OPEN, UNDRIVEN, *RUN_STATES_CLOSED)


@frozen
class RunList:
    """Runs, newest first. `remark` tells why there are none, or that there are more. `undriven` has those of the open ones
    that no process drives. `total` counts all that match, `states` all that match but for their state."""

    rows: Sequence[RunRow]
    remark: str = ""
    undriven: Mapping[str, Driver] = field(factory=dict)
    total: int = 0
    states: Mapping[str, int] = field(factory=dict)

    @property
    def next_after(self) -> str:
        """The run after which older ones follow; "" where there are none."""
        return self.rows[-1].run if self.remark and self.rows else ""


def list_runs(
    runs: RunReader,
    index: Reader,
    *,
    job: str | None = None,
    version: str | None = None,
    name: str | None = None,
    state: str | None = None,
    author: str | None = None,
    region: str | None = None,
    after: str | None = None,
    limit: int | None = None,
) -> RunList:
    """The newest `limit` runs that match all that is given, of those older than the run `after`. An author is meant by
    `name@host` or by the name alone, a region by any run that may use it. Raises UsageError for a state that runs can't have,
    and for an unknown run `after`."""
    for text in (job, version, name, author, region, after):
        refuse_no_text(text or "")
    if state is not None and state not in STATES:
        raise UsageError(f"--state {state}: a run is {', '.join(STATES[:-1])} or {STATES[-1]}")
    every = index.runs()
    rows = [
        row
        for row in every
        if job in (None, row.job)
        and version in (None, row.version)
        and name in (None, row.name)
        and author in (None, row.author, row.author.partition("@")[0])
    ]
    if region is not None:
        regions = runs.regions(rows)
        rows = [row for row in rows if region in regions[row.run]]
    states = Counter(row.state for row in rows)
    rows = [row for row in rows if state in (None, row.state, UNDRIVEN if row.state == OPEN else None)]
    if state == UNDRIVEN:
        undriven = runs.undriven(rows)
        rows = [row for row in rows if row.run in undriven]
    total = len(rows)
    if after:
        last = next((row.revision for row in every if row.run == after), None)
        if last is None:
            raise UsageError(f"there is no run {after}", hint="begin with the newest ones")
        rows = [row for row in rows if row.revision < last]
    if state != UNDRIVEN:
        undriven = runs.undriven(rows[:limit])
    if not rows:
        why = "" if after and total else _why_none(every, job=job, author=author, version=version, name=name)
        return RunList((), why, {}, total, states)
    more = len(rows) - limit if limit is not None else 0
    remark = f"{counted(more, 'older run')} not shown (--limit {limit})" if more > 0 else ""
    return RunList(rows[:limit], remark, undriven, total, states)


def _why_none(
    every: Sequence[RunRow], *, job: str | None, author: str | None, version: str | None, name: str | None
) -> str:
    if not every:
        return "No runs yet:  fedml dispatch"
    for what, asked, known in (
        ("job", job, {row.job for row in every}),
        ("version", version, {row.version for row in every if job in (None, row.job)}),
        ("name", name, {row.name for row in every if row.name}),
        ("author", author, {who for row in every for who in (row.author, row.author.partition("@")[0])}),
    ):
        if asked is not None and asked not in known:
            return f"The index has no run of {what} {asked!r}{_nearest(asked, known)}"
    return "No run matches all of these options"


def _nearest(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, sorted(known), n=1)
    return f": did you mean {near[0]!r}?" if near else f". There are: {', '.join(sorted(known)[:5])}"
