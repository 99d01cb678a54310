"""`fedml publish`: writes a task's files and their record into the datacenter's store. Runs on the node."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from federation.cli.options.common import JsonOption
from federation.publish.options import CHECK, LISTS, PATH, TEXTS, Given


def register(app: typer.Typer) -> None:
    """Adds the command to the group."""
    app.command(name="publish")(publish)


def _option(name: str) -> Any:
    value, meaning = (TEXTS | LISTS)[name]
    return typer.Option(name, metavar=value, help=meaning)


def publish(
    path: Annotated[str, typer.Argument(metavar=PATH[0], help=PATH[1], show_default=False)] = "",
    metric: Annotated[list[str] | None, _option("--metric")] = None,
    ignore: Annotated[list[str] | None, _option("--ignore")] = None,
    model_format: Annotated[str, _option("--format")] = "",
    framework: Annotated[str, _option("--framework")] = "",
    data_url: Annotated[str, _option("--data-url")] = "",
    data_sha256: Annotated[str, _option("--data-sha256")] = "",
    parent: Annotated[list[str] | None, _option("--parent")] = None,
    check: Annotated[bool, typer.Option("--check", help=CHECK)] = False,
    as_json: JsonOption = False,
) -> None:
    """Publish a task's files and their record.

    Run it in the last task of a job, on the node. It writes into the datacenter's store. Version, run, region and store
    come from the task's environment.

    The record also holds metrics.json, environment.json and data.json of the folder, and the git commit of the code if
    there is one. A second call in the same allocation has the same outcome. A different artifact of the same allocation
    is refused.

    If the job wrote its results to a store itself, give their URL. They are recorded where they are. A URL that ends in
    a slash means all objects below it.

    Examples:

      fedml publish "$NOMAD_ALLOC_DIR/model"

      fedml publish model.bin --metric auc=0.71 --metric passed=true

      fedml publish s3://models/sales/model.json --format xgboost-json

      fedml publish tuned --parent "$NOMAD_META_parent"
    """
    from federation.publish.report import carry_out
    from federation.ui.transfer import transfer

    given = Given(
        path=path,
        format=model_format,
        framework=framework,
        data_url=data_url,
        data_sha256=data_sha256,
        metric=metric or (),
        ignore=ignore or (),
        parent=parent or (),
        check=check,
        json=as_json,
    )
    raise typer.Exit(carry_out(given, transfer=transfer))
