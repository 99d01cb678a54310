"""`fedml stores`: lists the stores and checks whether each keeps its promises."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from federation.cli.command_app import CommandApp
from federation.cli.options.common import ConfigOption, JsonOption

if TYPE_CHECKING:
    from federation.checks.stores.report import CheckedStore

app = CommandApp(help="List the stores and check them.", no_args_is_help=True)


@app.command("list")
def list_stores(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """List the stores by region and datacenter.

    Marks the home store and shows whether each store answers. Sends one list request to each store and writes nothing.
    Exit codes: 0 if all answer, else 1.

    Example:

      fedml stores list
    """
    from federation.checks.stores import report
    from federation.checks.stores.uses import Answer, by_store, places_of, reach_all
    from federation.cli.session import answer_json, opened
    from federation.ui.console import out, table

    with opened(config) as project:
        uses = places_of(project.config)
    reached = reach_all(list(by_store(uses)))
    if as_json:
        answer_json(report.list_json(uses, reached))
    else:
        out().print(table(report.LIST_COLUMNS, report.list_rows(uses, reached)))
    if any(store.answer is Answer.NO for store in reached.values()):
        raise typer.Exit(1)


@app.command("check")
def check(
    store: Annotated[
        str,
        typer.Argument(
            metavar="[NAME|URL]",
            help="`home`, a region, a datacenter, REGION/DATACENTER, or a store's URL. Default: all stores.",
            show_default=False,
        ),
    ] = "",
    policy: Annotated[
        bool,
        typer.Option(
            "--policy", help="Check nothing. Print the least rights that each role needs, as the vendor's JSON."
        ),
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Check that the stores keep their promises.

    Results and the index rely on them: each permission, create-if-absent and compare-and-swap with writers that race,
    read after write, the order of listings, a large file in parts, the clock. All objects are written below
    doctor/check-…/ and removed.

    Also checks the bucket's settings: lifecycle rules that would delete results, object lock, versioning.

    Exit codes: 0 if all is well, 1 if a promise is broken, a permission is missing or a rule would delete results.

    Examples:

      fedml stores check

      fedml stores check "s3://my-bucket/models?endpoint=http://127.0.0.1:9000"

      fedml stores check home --policy
    """
    from federation.checks.doctor.roles import store_documents
    from federation.checks.stores import report, roles
    from federation.cli.session import answer, answer_block, answer_json, note, opened
    from federation.ui.console import out, table
    from federation.workflows.check_stores import check_store, choose_stores

    stores = choose_stores(store, partial(opened, config))
    if policy:
        if as_json:
            answer_json({"policies": store_documents(stores.uses, stores.home, stores.results)})
        else:
            answer_block(roles.text(list(stores.uses), stores.home, stores.results))
        return
    results: list[CheckedStore] = []
    for place, uses in stores.uses.items():
        note(f"Checking {place.url} …")
        results.append(check_store(place, uses))
        if not as_json:
            answer(report.title(results[-1]))
            out(plain_width=160).print(table(report.CHECK_COLUMNS, report.check_rows(results[-1])))
            answer("")
    if as_json:
        answer_json(report.check_json(results))
    else:
        note(report.verdict(results))
    if not all(result.keeps_its_promises for result in results):
        raise typer.Exit(1)
