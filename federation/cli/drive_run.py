"""Drives a run from a command: shows its progress, prints its end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from federation.app import App
    from federation.manifest import Manifest
    from federation.workflows.drive import RunOutcome
    from federation.workflows.run_control import DriveRun
    from federation.workflows.run_observers import Observe, ObserverOptions


def run_driver(app: App, options: ObserverOptions | None = None, *, as_json: bool) -> DriveRun:
    """Returns a function that drives a run to its end with all its outputs and returns its state. That function raises
    Interrupted at Ctrl-C, and whatever else stops the run's coordinator."""
    from federation.workflows.run_observers import ObserverOptions

    return partial(_drive_run, app, options or ObserverOptions(), as_json)


def _drive_run(
    app: App,
    options: ObserverOptions,
    as_json: bool,
    manifest: Manifest,
    drive: Callable[[Observe], RunOutcome],
) -> str:
    from federation.cli.session import answer_json_line, note
    from federation.terminal import outliving_terminal
    from federation.ui.run_progress import progress_display
    from federation.ui.run_view import outcome_document, show_outcome
    from federation.workflows.run_observers import observers

    display = progress_display(manifest, as_json=as_json)
    with outliving_terminal():
        with observers(manifest, app.config, options, display, warn=note) as outputs:
            outcome = drive(outputs.observe)
        document = outcome_document(outcome)
        if as_json:
            answer_json_line(document)
        show_outcome(outcome)
        outputs.ended(document)
    return outcome.state
