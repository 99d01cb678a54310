"""`fedml plan`: how dispatches would spread now, where results would land, what would change, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from federation.cli.options.common import ConfigOption, JsonOption
from federation.cli.options.groups import JobOptions, grouped
from federation.cli.options.planning import PlacingOptions, SlotOptions


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("plan")(grouped(plan))


def plan(
    slots: SlotOptions,
    placing: PlacingOptions,
    job: JobOptions,
    explain: Annotated[
        int | None,
        typer.Option("--explain", metavar="SLOT", help="Only this slot: its parameters, its place, and why."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Keep the plan for `fedml dispatch --plan FILE`.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show how dispatches would spread over the regions by their real free capacity, and what would change.

    Asks every region's own scheduler by dry run; writes and reserves nothing. Exit code 0: nothing would change; 1: a
    region's registered job would change, a slot has no place, or a deadline or cost can't be kept; 255: error.

    Examples:

      fedml plan

      fedml plan -n 200 --regions us,eu

      fedml plan --sweep lr=0.1,0.01 --sweep depth=3,5 --policy cheapest --out plan.json
    """
    from federation.cli.session import answer, answer_json, note, opened
    from federation.errors import UsageError
    from federation.ui.plan_view import explain as explained
    from federation.ui.plan_view import plan_document, show_plan
    from federation.workflows.plan import preview
    from federation.workflows.saved_plan import keep_plan

    request = slots.request(job.request(), placing.placing())
    with opened(config) as app:
        made = preview(app, request)
        made.require_an_answer()
        document = plan_document(made, app.config)
        if explain is not None:
            if not 0 <= explain < made.plan.slots:
                raise UsageError(f"--explain {explain}: the slots are 0 to {made.plan.slots - 1}")
            for line in explained(made, explain):
                answer(line)
        elif as_json:
            answer_json(document)
        else:
            show_plan(made, app.config)
        for one in made.unanswered:
            note(f"Warning: region {one.region} is left out: {one.detail}")
        if to is not None:
            keep_plan(to, app, made, document, slots.sources())
            note(f"Kept in {to}; go by it:  fedml dispatch --plan {to}")
    raise typer.Exit(1 if made.changes or not made.plan.is_complete or made.plan.problems else 0)
