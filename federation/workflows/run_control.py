"""Resumes, cancels and changes runs that exist already.

A change is recorded in the run's log first. If another process drives the run, it makes the change. Otherwise the run
continues in this process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from federation.app import App
from federation.errors import RunIsDriven, UsageError
from federation.index.rows import RunRow
from federation.index.validation import LAST_RUN
from federation.log import default_author
from federation.manifest import Manifest
from federation.text import counted
from federation.workflows.drive import RunOutcome
from federation.workflows.run_observers import Observe
from federation.workflows.runs import Runs

Note = Callable[[str], None]
DriveRun = Callable[[Manifest, Callable[[Observe], RunOutcome]], str]
"""Drives a run with its observers and returns the state in which it ended."""
CLOSED = ("done", "cancelled")
"""States of a run that nothing can continue."""


def resume(app: App, run: str, drive: DriveRun, note: Note) -> str:
    """Continues an interrupted run and returns its state at the end. Raises UsageError and RunIsDriven."""
    runs = Runs(app)
    row = runs.find(run)
    if row.state in CLOSED:
        return _already_closed(app, row, note)
    return drive(runs.manifest(row.run), lambda observe: runs.resume(row.run, observe))


def cancel(
    app: App,
    run: str,
    reason: str,
    drive: DriveRun,
    note: Note,
    ended: Callable[[Mapping[str, Any]], None],
    *,
    ask: Callable[[str], bool] | None = None,
) -> str:
    """Ends a run and returns its state. `ended` receives the end of a run that was never dispatched. `ask` is asked
    before anything is done, with what would be stopped; None: that is agreed already. Raises UsageError, also where that
    isn't agreed."""
    runs = Runs(app)
    row = runs.find(run)
    if LAST_RUN.fullmatch(run.strip()) and row.author != default_author():
        raise UsageError(
            f"{run} is run {row.run}, which {row.author} dispatched", hint=f"to cancel it, write its ID: {row.run}"
        )
    if row.state in CLOSED:
        return _already_closed(app, row, note)
    if ask is not None:
        about = f"Run {row.run} of {row.job}: {what_is_open(runs, row.run)}"
        if not ask(about):
            raise UsageError(
                f"{about}. Nothing was cancelled, because nobody agreed",
                hint=f"to cancel it without a question, as where there is no terminal:  fedml runs cancel {run} --yes",
            )
    if runs.cancel_unstarted(row.run, reason):
        note(f"Run {row.run}: cancelled. Nothing of it had been dispatched.")
        ended({"event": "end", "run": row.run, "state": "cancelled", "reason": reason})
        return "cancelled"
    return drive(runs.manifest(row.run), lambda observe: runs.cancel(row.run, reason, observe))


def what_is_open(runs: Runs, run: str) -> str:
    """What a cancel would stop: open slots, and their attempts by region."""
    if runs.is_unstarted(run):
        return "nothing of it was dispatched"
    story = runs.story(run)
    open_in = Counter(attempt.region for slot in story.slots for attempt in slot.attempts if attempt.is_open)
    slots = counted(sum(slot.state == "open" for slot in story.slots), "open slot")
    where = ", ".join(f"{region} {count}" for region, count in sorted(open_in.items()))
    return f"{slots}, {counted(open_in.total(), 'attempt')} to be stopped{f' ({where})' if where else ''}"


def retry(app: App, run: str, slots: Sequence[int], drive: DriveRun, note: Note) -> str:
    """Gives failed slots (default: all) new attempts and returns the run's state at the end. Raises UsageError."""
    runs = Runs(app)
    row = runs.find(run)
    if change := runs.change_since(row.run):
        note(change)
    note(f"Run {row.run}: {counted(len(runs.retry(row.run, slots)), 'failed slot')} tried again")
    return _continue(runs, row.run, drive, note)


def rebind(app: App, run: str, region: str, drive: DriveRun, note: Note) -> str:
    """Moves a region's open attempts to other regions and returns the run's state at the end. Raises UsageError."""
    runs = Runs(app)
    row = runs.find(run)
    note(f"Run {row.run}: {counted(runs.rebind(row.run, region), 'open attempt')} in {region} moved to other regions")
    return _continue(runs, row.run, drive, note)


def _continue(runs: Runs, run: str, drive: DriveRun, note: Note) -> str:
    """Drives the run unless another process drives it; the state "open" then."""
    try:
        return drive(runs.manifest(run), lambda observe: runs.resume(run, observe))
    except RunIsDriven as error:
        note(f"{error}: that process makes the change.  Follow it:  fedml runs watch {run}")
        return "open"


def _already_closed(app: App, row: RunRow, note: Note) -> str:
    """Stops attempts that the run left in regions that did not answer when it ended."""
    note(f"Run {row.run} is {row.state}: there is nothing to continue")
    runs = Runs(app)
    for region, children in runs.stop_stale(row.job, tuple(app.config.regions), parent=runs.parent_of(row.run)).items():
        note(f"{region}: stopped {counted(len(children), 'attempt')} left there when the region could not be reached")
    return row.state
