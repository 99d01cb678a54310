"""Drives a run from a command: shows its progress, prints its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from federation.app import App
    from federation.manifest import Manifest
    from federation.workflows.drive import RunOutcome
    from federation.workflows.run_control import DriveRun
    from federation.workflows.run_observers import Observe, ObserverOptions


def run_driver(
    app: App,
    options: ObserverOptions | None = None,
    *,
    as_json: bool,
    left: Callable[[Mapping[str, int]], None] = lambda attempts: None,
) -> DriveRun:
    """Returns a function that drives a run to its end with all its outputs and returns its state. That function raises
    Interrupted at Ctrl-C, and whatever else stops the run's coordinator. `left` gets the attempts that may still run in
    regions that did not answer."""
    from federation.workflows.run_observers import ObserverOptions

    return partial(_drive_run, app, options or ObserverOptions(), as_json, left)


def import_driver() -> None:
    """Imports what drives and shows a run: a third of all modules."""
    import federation.ui.run_progress
    import federation.ui.run_view
    import federation.workflows.run_observers
    import federation.workflows.runs  # noqa: F401


def _drive_run(
    app: App,
    options: ObserverOptions,
    as_json: bool,
    left: Callable[[Mapping[str, int]], None],
    manifest: Manifest,
    drive: Callable[[Observe], RunOutcome],
) -> str:
    from federation.cli.session import answer_json_line, note
    from federation.output.terminal import outliving_terminal
    from federation.ui.run_progress import progress_display
    from federation.ui.run_view import outcome_document, show_outcome
    from federation.workflows.run_observers import observers

    display = progress_display(manifest, as_json=as_json, already=partial(_results_in_index, app, manifest.run))
    with outliving_terminal():
        with observers(manifest, app.config, options, display, warn=note) as outputs:
            outcome = drive(outputs.observe)
        document = outcome_document(outcome)
        if as_json:
            answer_json_line(document)
        show_outcome(outcome)
        outputs.ended(document)
        left(outcome.left)
    return outcome.state


def _results_in_index(app: App, run: str) -> int:
    """The results that an earlier coordinator of the run has committed."""
    from jobs.errors import FedmlError

    try:
        return len(app.index.won(run))
    except FedmlError:  # the run waits for the store, and says so
        return 0
