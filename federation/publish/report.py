"""Carries `fedml publish` out and prints what it did, for the command line and for the archive for nodes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from federation.errors import UsageError
from federation.output.json_document import versioned
from federation.output.streams import is_quiet, write_json, write_line, write_note
from federation.publish.provenance import checked_parent, data_origin
from federation.publish.publish import PublishOutcome, publish
from federation.text import counted, size_text

if TYPE_CHECKING:
    from federation.publish.options import Given
    from federation.result import MetricValue
    from regions.storage.store import Progress

_FILES_SHOWN = 10


def carry_out(
    given: Given,
    *,
    archive: Sequence[str] = (),
    transfer: Callable[[str], AbstractContextManager[Progress | None]] = lambda _: nullcontext(),
) -> int:
    """Publishes, or checks whether this task could, prints the outcome and returns the exit code.

    `archive` are the URL schemes that an archive serves. `transfer` shows the progress of what its text names. Raises
    FedmlError.
    """
    if given.check:
        from federation.check import is_healthy
        from federation.publish.check import check_from_inside, to_line

        checks = check_from_inside(os.environ, archive=archive)
        write_line(to_line(checks))
        return 0 if is_healthy(checks) else 1
    if not given.path:
        raise UsageError("nothing is named to publish", hint="give a folder, a file or a URL (--check needs none)")
    with transfer("publishing") as progress:
        outcome = publish(
            given.path,
            metrics=typed_metrics(given.metric),
            origin=given_origin(given.format, given.framework, given.data_url, given.data_sha256, given.parent),
            ignore=given.ignore,
            progress=progress,
        )
    if not is_quiet():
        for note in outcome.notes:
            write_note(f"Note: {note}")
    if given.json:
        write_json(json.dumps(versioned(as_json(outcome)), indent=2, ensure_ascii=False))
    else:
        for line in as_lines(outcome):
            write_line(line)
    return 0


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
