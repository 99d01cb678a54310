"""`fedml publish PATH`: on the node, the artifact and its record into the datacenter's store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from federation.cli.options import JsonOption

if TYPE_CHECKING:
    from federation.publish import PublishOutcome
    from federation.result import MetricValue

_FILES_SHOWN = 10


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(name="publish")(publish)


def publish(
    path: Annotated[
        str, typer.Argument(metavar="PATH|URL", help="A folder or a file; or the URL of what is in a store already.")
    ],
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
    """
    from federation.cli.session import answer, answer_json, note
    from federation.provenance import told_data
    from federation.publish import publish as publish_artifact

    origin = {"format": model_format, "framework": framework, **told_data(data_url, data_sha256)}
    outcome = publish_artifact(
        path,
        metrics=_metrics(metric or []),
        told={name: value for name, value in origin.items() if value},
        ignore=ignore or [],
    )
    for line in outcome.notes:
        note(f"Note: {line}")
    if as_json:
        answer_json(
            {
                "was_there": outcome.was_there,
                "store_url": outcome.store_url,
                "record_url": outcome.record_url,
                "artifact_url": outcome.artifact_url,
                "record": outcome.record.to_dict(),
            }
        )
        return
    for line in told(outcome):
        answer(line)


def told(outcome: PublishOutcome) -> list[str]:
    """What was published where, in lines: at most ten files, then their sum."""
    record = outcome.record
    done = "Recorded where it lies:" if record.prefix is not None else "Published"
    if outcome.was_there:
        done = "Already published, nothing sent:"
    lines = [
        f"{done} {record.job} version {record.version}, slot {record.key.slot}, allocation {record.alloc_id[:8]}",
        *(f"  {file.path}  {_size(file.size_bytes)}" for file in record.files[:_FILES_SHOWN]),
    ]
    if len(record.files) > _FILES_SHOWN:
        lines.append(f"  … and {len(record.files) - _FILES_SHOWN} more")
    count = f"{len(record.files)} file{'s' if len(record.files) != 1 else ''}"
    return [
        *lines,
        f"  {count}, {_size(record.size_bytes)} in {outcome.artifact_url}/",
        f"  record {outcome.record_url}",
    ]


def _size(size_bytes: int) -> str:
    size = float(size_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _metrics(given: list[str]) -> dict[str, MetricValue]:
    from federation.errors import UsageError

    metrics: dict[str, MetricValue] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--metric {text!r} is not NAME=VALUE", hint="write --metric auc=0.71")
        metrics[name.strip()] = _typed(value.strip())
    return metrics


def _typed(text: str) -> MetricValue:
    if text in ("true", "false"):
        return text == "true"
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
