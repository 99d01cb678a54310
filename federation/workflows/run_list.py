"""Lists the runs that a person asks for (`fedml runs list`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
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
    that no process drives."""

    rows: Sequence[RunRow]
    remark: str = ""
    undriven: Mapping[str, Driver] = field(default_factory=dict)


def list_runs(
    runs: RunReader,
    index: Reader,
    *,
    job: str | None = None,
    state: str | None = None,
    author: str | None = None,
    limit: int | None = None,
) -> RunList:
    """The newest `limit` runs that match all that is given. An author is meant by `name@host` or by the name alone. Raises
    UsageError for a state that runs can't have."""
    for text in (job, author):
        refuse_no_text(text or "")
    if state is not None and state not in STATES:
        raise UsageError(f"--state {state}: a run is {', '.join(STATES[:-1])} or {STATES[-1]}")
    every = index.runs()
    rows = [
        row
        for row in every
        if job in (None, row.job)
        and state in (None, row.state, UNDRIVEN if row.state == OPEN else None)
        and author in (None, row.author, row.author.partition("@")[0])
    ]
    undriven = runs.undriven(rows if state == UNDRIVEN else rows[:limit])
    if state == UNDRIVEN:
        rows = [row for row in rows if row.run in undriven]
    if not rows:
        return RunList((), _why_none(every, job, author))
    more = len(rows) - limit if limit is not None else 0
    remark = f"{counted(more, 'older run')} not shown (--limit {limit})" if more > 0 else ""
    return RunList(rows[:limit], remark, undriven)


def _why_none(every: Sequence[RunRow], job: str | None, author: str | None) -> str:
    if not every:
        return "No runs yet:  fedml dispatch"
    for what, name, known in (
        ("job", job, {row.job for row in every}),
        ("author", author, {name for row in every for name in (row.author, row.author.partition("@")[0])}),
    ):
        if name is not None and name not in known:
            return f"The index has no run of {what} {name!r}{_nearest(name, known)}"
    return "No run matches all of these options"


def _nearest(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, sorted(known), n=1)
    return f": did you mean {near[0]!r}?" if near else f". There are: {', '.join(sorted(known)[:5])}"
