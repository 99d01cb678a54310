"""`fedml plan`: how dispatches would spread now, where results would land, what would change, and why."""

from __future__ import annotations

import typer

from federation.cli.options import (
    ConfigOption,
    JobOption,
    JsonOption,
    RegionsOption,
    SlotsOption,
    VarFileOption,
    VarOption,
    VersionOption,
    names,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("plan")(plan)


def plan(
    slots: SlotsOption = None,
    version: VersionOption = None,
    regions: RegionsOption = "",
    job: JobOption = "",
    var: VarOption = None,
    var_file: VarFileOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show how dispatches would spread over the regions by their real free capacity, and what would change.

    Asks every region's own scheduler by dry run; writes and reserves nothing. Exit code 0: nothing would change; 1: a
    region's registered job would change, or a slot has no place; 255: error.

    Examples:

      fedml plan

      fedml plan -n 200 --regions us,eu

      fedml plan -n 20 -var count=2 --json
    """
    from federation.app import JobRequest
    from federation.cli.session import answer_json, note, opened
    from federation.ui.plan_view import plan_document, show_plan

    request = JobRequest(job, tuple(var or ()), tuple(var_file or ()), names(regions))
    with opened(config) as app:
        preview = app.preview(request, slots=slots, version=version)
        preview.require_an_answer()
        if as_json:
            answer_json(plan_document(preview, app.config))
        else:
            show_plan(preview, app.config)
        for one in preview.unanswered:
            note(f"Warning: region {one.region} is left out: {one.detail}")
    raise typer.Exit(1 if preview.changes or not preview.plan.is_complete else 0)
