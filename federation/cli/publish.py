"""`fedml publish PATH`: on the node, the artifact and its record into the datacenter's store."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from federation.cli.options.common import JsonOption


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(name="publish")(publish)


def publish(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH|URL",
            help="A folder or a file; or the URL of what is in a store already.",
            show_default=False,
        ),
    ] = "",
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME=VALUE", help="A metric, beside those of metrics.json; may be repeated."),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            "--ignore", metavar="PATTERN", help="Names or paths to leave out (*.tmp, logs/*); may be repeated."
        ),
    ] = None,
    model_format: Annotated[
        str, typer.Option("--format", metavar="NAME", help="The model's format, for the record (onnx, pickle).")
    ] = "",
    framework: Annotated[
        str, typer.Option("--framework", metavar="NAME", help="What it was trained with (scikit-learn 1.5.2).")
    ] = "",
    data_url: Annotated[
        str, typer.Option("--data-url", metavar="URL", help="The data it was trained on, else as data.json says.")
    ] = "",
    data_sha256: Annotated[str, typer.Option("--data-sha256", metavar="HEX", help="That data's sha256.")] = "",
    parent: Annotated[
        list[str] | None,
        typer.Option(
            "--parent", metavar="ALLOCATION", help="A result that this one was made from, by its id; may be repeated."
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Publish nothing: only look whether this task could. One line of JSON.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Publish what a task made, on the node where it runs: its files and a record, into the datacenter's store.

    Run it in the last task of a job: version, run, region and store come from the task's environment. metrics.json,
    environment.json and data.json in the folder go into the record, and so does the git commit of the code where there is
    one. Run twice by one allocation it gives the same outcome; another artifact of the same allocation is refused. What a
    job wrote to a store itself is recorded where it lies: give its URL, one that ends in a slash for all below.

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
            told=report.told_origin(model_format, framework, data_url, data_sha256, parent or ()),
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
