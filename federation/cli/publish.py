"""`fedml publish`: writes a task's files and their record into the datacenter's store. Runs on the node."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from federation.cli.options.common import JsonOption


def register(app: typer.Typer) -> None:
    """Adds the command to the group."""
    app.command(name="publish")(publish)


def publish(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH|URL", help="A folder, a file, or the URL of objects in a store.", show_default=False
        ),
    ] = "",
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric", metavar="NAME=VALUE", help="Record this metric too, besides those of metrics.json. Repeatable."
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            "--ignore", metavar="PATTERN", help="Leave out files with this name or path (*.tmp, logs/*). Repeatable."
        ),
    ] = None,
    model_format: Annotated[
        str, typer.Option("--format", metavar="NAME", help="Record the model's format (onnx, pickle).")
    ] = "",
    framework: Annotated[
        str, typer.Option("--framework", metavar="NAME", help="Record the framework (scikit-learn 1.5.2).")
    ] = "",
    data_url: Annotated[
        str,
        typer.Option("--data-url", metavar="URL", help="Record the training data's URL. Default: as data.json says."),
    ] = "",
    data_sha256: Annotated[
        str,
        typer.Option(
            "--data-sha256", metavar="HEX", help="Record the training data's sha256. Default: as data.json says."
        ),
    ] = "",
    parent: Annotated[
        list[str] | None,
        typer.Option(
            "--parent",
            metavar="ALLOCATION",
            help="Record that this result was made from the one with this allocation ID. Repeatable.",
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Publish nothing. Check whether this task could, and print one line of JSON."),
    ] = False,
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
    from federation.cli.session import answer, answer_json, note
    from federation.publish import report
    from federation.publish.publish import publish as publish_artifact
    from federation.ui.transfer import transfer

    if check:
        line, is_healthy = report.checked(os.environ)
        answer(line)
        raise typer.Exit(0 if is_healthy else 1)
    with transfer("publishing") as progress:
        outcome = publish_artifact(
            report.named(path),
            metrics=report.typed_metrics(metric or []),
            origin=report.given_origin(model_format, framework, data_url, data_sha256, parent or ()),
            ignore=ignore or [],
            progress=progress,
        )
    for line in outcome.notes:
        note(f"Note: {line}")
    if as_json:
        answer_json(report.as_json(outcome))
        return
    for line in report.as_lines(outcome):
        answer(line)
