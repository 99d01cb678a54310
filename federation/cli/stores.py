"""`fedml stores`: which store serves which datacenter, and whether each keeps its promises."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from federation.cli.options.common import ConfigOption, JsonOption

if TYPE_CHECKING:
    from federation.checks.stores.report import CheckedStore
    from regions.model import StoreConfig

app = typer.Typer(help="The stores by datacenter, and whether they keep their promises.", no_args_is_help=True)


@app.command("list")
def list_stores(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """List the stores by region and datacenter, the home store marked, and whether each answers.

    One listing is asked of each; nothing is written. Exit code 1 when one doesn't answer.

    Example:

      fedml stores list
    """
    from federation.checks.stores import report
    from federation.checks.stores.uses import Answer, by_store, places_of, reach_all
    from federation.cli.session import answer_json, opened
    from federation.ui.console import out, table

    with opened(config) as project:
        places = places_of(project.config)
    reached = reach_all(list(by_store(places)))
    if as_json:
        answer_json(report.list_json(places, reached))
    else:
        out().print(table(report.LIST_COLUMNS, report.list_rows(places, reached)))
    if any(one.answer is Answer.NO for one in reached.values()):
        raise typer.Exit(1)


@app.command("check")
def check(
    store: Annotated[
        str,
        typer.Argument(
            metavar="[NAME|URL]",
            help="`home`, a region, a datacenter, REGION/DATACENTER, or a store's URL. Else: all of the federation.",
            show_default=False,
        ),
    ] = "",
    policy: Annotated[
        bool, typer.Option("--policy", help="Only print the least rights of each role, in the vendor's JSON.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Check on the store itself that it keeps every promise that results and the index rest on.

    Permissions one by one, create-if-absent and compare-and-swap under races, read after write, the order of listings, a
    large file by parts, the clock; all of it under doctor/check-…/, which is removed. Then the bucket's own settings:
    lifecycle rules that would delete results, object lock, versioning. A server that lets every writer win, or that
    ignores a stale etag, is found out here. Exit code 1 when a promise is broken, a permission missing or a rule harmful.

    Examples:

      fedml stores check

      fedml stores check "s3://my-bucket/models?endpoint=http://127.0.0.1:9000"

      fedml stores check home --policy
    """
    from federation.checks.stores import report, roles
    from federation.cli.session import answer, answer_block, answer_json, note
    from federation.ui.console import out, table

    stores, home = _chosen(store, config)
    if policy:
        if as_json:
            answer_json({"policies": roles.documents(list(stores), home)})
        else:
            answer_block(roles.text(list(stores), home))
        return
    found: list[CheckedStore] = []
    for place, used_by in stores.items():
        note(f"Checking {place.url} …")
        found.append(_checked(place, used_by))
        if not as_json:
            answer(report.title(found[-1]))
            out(plain_width=160).print(table(report.CHECK_COLUMNS, report.check_rows(found[-1])))
            answer("")
    if as_json:
        answer_json(report.check_json(found))
    else:
        note(report.verdict(found))
    if not all(checked.keeps_its_promises for checked in found):
        raise typer.Exit(1)


def _chosen(name: str, config: Path | None) -> tuple[dict[StoreConfig, list[str]], StoreConfig | None]:
    """The stores to look at, with what uses them, and the home store. A URL needs no fedml.toml; where there is one
    that has this store, it is looked at as the file says (credentials, endpoint)."""
    from federation.checks.stores.uses import by_store, chosen, places_of
    from federation.cli.session import opened
    from federation.errors import ConfigError, UsageError
    from regions.storage import parse_store_url

    try:
        with opened(config) as project:
            home = project.config.home
            return by_store(chosen(places_of(project.config), name)), home
    except (ConfigError, UsageError):
        if "://" not in name:
            raise
        return {parse_store_url(name): []}, None


def _checked(config: StoreConfig, used_by: list[str]) -> CheckedStore:
    from federation.check import Check, Outcome
    from federation.checks.stores.promises import check_promises
    from federation.checks.stores.report import CheckedStore
    from federation.checks.stores.uses import DEV_DOWN
    from jobs.errors import FedmlError
    from regions.storage import open_store, store_url

    url = store_url(config)
    try:
        if config.endpoint and config.endpoint.startswith("dev:"):
            raise FedmlError(DEV_DOWN)
        checks = check_promises(open_store(config), url)
    except FedmlError as error:
        checks = [Check(url, "open", Outcome.FAILED, error.message, error.hint)]
    return CheckedStore(url, tuple(used_by), tuple(checks))
