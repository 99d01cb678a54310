"""Formats a `PublishOutcome` and parses the options of `fedml publish`. The archive for nodes uses the same functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from federation.check import is_healthy
from federation.errors import UsageError
from federation.publish.check import check_from_inside, to_line
from federation.publish.provenance import checked_parent, data_origin
from federation.publish.publish import PublishOutcome
from federation.result import MetricValue
from federation.text import counted, size_text

_FILES_SHOWN = 10


def as_lines(outcome: PublishOutcome) -> list[str]:
    """What was published, as lines: at most ten files, then their sum."""
    record = outcome.record
    done = "Recorded where it is:" if record.prefix is not None else "Published"
    if outcome.was_there:
        done = "Already published, nothing sent:"
    lines = [
        f"{done} {record.job} version {record.version}, slot {record.key.slot}, allocation {record.alloc_id[:8]}",
        *(f"  {file.path}  {size_text(file.size_bytes)}" for file in record.files[:_FILES_SHOWN]),
    ]
    if len(record.files) > _FILES_SHOWN:
        lines.append(f"  … and {len(record.files) - _FILES_SHOWN} more")
    return [
        *lines,
        f"  {counted(len(record.files), 'file')}, {size_text(record.size_bytes)} in {outcome.artifact_url}/",
        f"  record {outcome.record_url}",
    ]


def as_json(outcome: PublishOutcome) -> dict[str, Any]:
    """The `--json` document."""
    return {
        "was_there": outcome.was_there,
        "store_url": outcome.store_url,
        "record_url": outcome.record_url,
        "artifact_url": outcome.artifact_url,
        "record": outcome.record.to_dict(),
    }


def named(source: str) -> str:
    """The path or URL to publish. Raises UsageError when it is empty."""
    if not source:
        raise UsageError("nothing is named to publish", hint="give a folder, a file or a URL (--check needs none)")
    return source


def checked(environ: Mapping[str, str], archive: Sequence[str] = ()) -> tuple[str, bool]:
    """What `--check` prints, and whether all checks passed. `archive` are the URL schemes that an archive serves."""
    checks = check_from_inside(environ, archive=archive)
    return to_line(checks), is_healthy(checks)


def typed_metrics(given: Sequence[str]) -> dict[str, MetricValue]:
    """Parses `auc=0.71` as a number, `passed=true` as true, the rest as texts. Raises UsageError for other forms."""
    metrics: dict[str, MetricValue] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--metric {text!r} is not NAME=VALUE", hint="write --metric auc=0.71")
        metrics[name.strip()] = _typed(value.strip())
    return metrics


def given_origin(
    model_format: str, framework: str, data_url: str, data_sha256: str, parents: Sequence[str] = ()
) -> dict[str, str]:
    """A model's origin from the given options. `parents` are allocation IDs. Raises PublishError for an invalid hash,
    UsageError for an invalid ID."""
    origin = {"format": model_format, "framework": framework, **data_origin(data_url, data_sha256)}
    origin["parents"] = ",".join(map(checked_parent, parents))
    return {name: value for name, value in origin.items() if value}


def _typed(text: str) -> MetricValue:
    if text in ("true", "false"):
        return text == "true"
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
