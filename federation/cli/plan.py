"""`fedml plan`: shows how a dispatch would spread now, where its results would go, what would change, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from federation.cli.options.common import ConfigOption, JsonOption
from federation.cli.options.groups import JobOptions
from federation.cli.options.planning import FailedOfOption, PlacingOptions, SlotOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from federation.app import App
    from federation.workflows.plan import Preview


def register(app: typer.Typer) -> None:
    """Adds the command to the group."""
    app.command("plan")(plan)


def plan(
    slots: SlotOptions,
    placing: PlacingOptions,
    job: JobOptions,
    explain: Annotated[
        int | None,
        typer.Option("--explain", metavar="SLOT", help="Show only this slot: its parameters, its region, and why."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Save the plan to this file, for `fedml dispatch --plan FILE`."),
    ] = None,
    failed_of: FailedOfOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show how a dispatch would spread over the regions.

    Asks the scheduler of every region for its free capacity by a dry run. Also shows which registered jobs would
    change. Writes and reserves nothing.

    Exit codes: 0 if nothing would change, 1 if a region's registered job would change, a slot has no place, or a
    deadline or cost can't be kept, 255 for errors.

    Examples:

      fedml plan

      fedml plan -n 200 --regions us,eu

      fedml plan --sweep lr=0.1,0.01 --sweep depth=3,5 --policy cheapest --out plan.json

      fedml plan --failed-of 9c41d07e
    """
    from federation.cli.session import answer, note, opened
    from federation.errors import UsageError
    from federation.ui.plan_view import explain as explained
    from federation.ui.plan_view import plan_document
    from federation.workflows.failed_slots import request_of_failed
    from federation.workflows.plan import preview
    from federation.workflows.saved_plan import keep_plan

    request = slots.request(job.request(), placing.placing())
    with opened(config) as app:
        if failed_of:
            request, said = request_of_failed(app, failed_of, request)
            note(said)
        made = preview(app, request, goes_on=_waits)
        made.require_an_answer()
        if explain is not None:
            if not 0 <= explain < made.plan.slots:
                raise UsageError(f"--explain {explain} is not a valid slot: the slots are 0 to {made.plan.slots - 1}")
            for line in explained(made, explain):
                answer(line)
            tell_unanswered(made)
        else:
            show_preview(made, app, as_json=as_json)
        if to is not None:
            keep_plan(to, app, made, plan_document(made, app.config), slots.sources())
            note(f"Saved in {to}. Dispatch it:  fedml dispatch --plan {to}")
    raise typer.Exit(1 if made.changes or not made.plan.is_complete or made.plan.problems else 0)


def _waits(late: Sequence[str], there: Sequence[str]) -> bool:
    """Says which regions haven't answered yet. A plan waits for them: it is of all regions."""
    from federation.cli.session import note

    for name in late:
        note(f"{name:<10} no answer yet: waiting for it")
    return False


def show_preview(made: Preview, app: App, *, as_json: bool) -> None:
    """Prints a plan, and which regions it leaves out."""
    from federation.cli.session import answer_json
    from federation.ui.plan_view import plan_document, show_plan

    if as_json:
        answer_json(plan_document(made, app.config))
    else:
        show_plan(made, app.config)
    tell_unanswered(made)


def tell_unanswered(made: Preview) -> None:
    """Warns of the regions that a plan leaves out."""
    from federation.cli.session import note

    for region in made.unanswered:
        note(f"Warning: region {region.region} is left out: {region.detail}")
