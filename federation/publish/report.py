"""A `PublishOutcome` enters, what a person or a program reads leaves; and the texts of a command line enter, typed values
leave. Shared by `fedml publish` and the archive for nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from federation.check import is_healthy
from federation.errors import UsageError
from federation.publish.check import check_from_inside, to_line
from federation.publish.provenance import told_data, told_parent
from federation.publish.publish import PublishOutcome
from federation.result import MetricValue
from federation.text import size_text

_FILES_SHOWN = 10


def as_lines(outcome: PublishOutcome) -> list[str]:
    """What was published where: at most ten files, then their sum."""
    record = outcome.record
    done = "Recorded where it lies:" if record.prefix is not None else "Published"
    if outcome.was_there:
        done = "Already published, nothing sent:"
    lines = [
        f"{done} {record.job} version {record.version}, slot {record.key.slot}, allocation {record.alloc_id[:8]}",
        *(f"  {file.path}  {size_text(file.size_bytes)}" for file in record.files[:_FILES_SHOWN]),
    ]
    if len(record.files) > _FILES_SHOWN:
        lines.append(f"  … and {len(record.files) - _FILES_SHOWN} more")
    count = f"{len(record.files)} file{'s' if len(record.files) != 1 else ''}"
    return [
        *lines,
        f"  {count}, {size_text(record.size_bytes)} in {outcome.artifact_url}/",
        f"  record {outcome.record_url}",
    ]


def as_json(outcome: PublishOutcome) -> dict[str, Any]:
    """For `--json`."""
    return {
        "was_there": outcome.was_there,
        "store_url": outcome.store_url,
        "record_url": outcome.record_url,
        "artifact_url": outcome.artifact_url,
        "record": outcome.record.to_dict(),
    }


def named(source: str) -> str:
    """What is to be published. Raises UsageError when nothing was named."""
    if not source:
        raise UsageError("nothing is named to publish", hint="give a folder, a file or a URL; --check needs none")
    return source


def checked(environ: Mapping[str, str], archive: Sequence[str] = ()) -> tuple[str, bool]:
    """What `--check` prints, and whether all is well. `archive`: the URL schemes that it serves, if it is one."""
    checks = check_from_inside(environ, archive=archive)
    return to_line(checks), is_healthy(checks)


def typed_metrics(given: Sequence[str]) -> dict[str, MetricValue]:
    """`auc=0.71` as a number, `passed=true` as true, the rest as texts. Raises UsageError for what is no NAME=VALUE."""
    metrics: dict[str, MetricValue] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--metric {text!r} is not NAME=VALUE", hint="write --metric auc=0.71")
        metrics[name.strip()] = _typed(value.strip())
    return metrics


def told_origin(
    model_format: str, framework: str, data_url: str, data_sha256: str, parents: Sequence[str] = ()
) -> dict[str, str]:
    """What the options tell of a model's origin, those that are given; `parents` are allocation ids. Raises PublishError
    for a hash, UsageError for an id that is none."""
    told = {"format": model_format, "framework": framework, **told_data(data_url, data_sha256)}
    told["parents"] = ",".join(map(told_parent, parents))
    return {name: value for name, value in told.items() if value}


def _typed(text: str) -> MetricValue:
    if text in ("true", "false"):
        return text == "true"
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
