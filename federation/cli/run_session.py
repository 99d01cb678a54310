"""A run and what drives it enter; it is driven, shown, and told to whoever follows it; its exit code leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from federation.config.model import Config
    from federation.manifest import Manifest
    from federation.run.brain.commands import Tell
    from federation.ui.followers import Following
    from federation.workflows.drive import RunOutcome


def driven(
    manifest: Manifest,
    config: Config,
    also: Following,
    drive: Callable[[Callable[[Tell], None]], RunOutcome],
    *,
    as_json: bool,
) -> int:
    """Drive the run to its end with all its followers. Raises Interrupted at Ctrl-C, and what ends the driving."""
    from federation.cli.session import answer_json_line, note
    from federation.ui.followers import following
    from federation.ui.run_view import exit_code, outcome_document, show_outcome

    with following(manifest, config, also, as_json=as_json, warn=note) as followers:
        outcome = drive(followers.observe)
    document = outcome_document(outcome)
    if as_json:
        answer_json_line(document)
    show_outcome(outcome)
    followers.ended(document)
    return exit_code(outcome.state)
