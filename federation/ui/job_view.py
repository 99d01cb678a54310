"""Prints a JobDiff and a Deployment, and builds their `--json` documents (docs/reference/json.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from federation.deploy.job_diff import JobDiff, RegionJob
from federation.deploy.outcome import Deployment
from federation.ui.console import Part, ScreenedConsole, out, table
from federation.ui.diff_lines import diff_lines
from jobs.nomad_json.drift import ABSENT_VERSION, Difference, Standing

AGAINST_THE_FILE = {"None": "same", "Added": "would be registered", "Edited": "differs", "": "-"}


def show_job_diff(diff: JobDiff) -> None:
    """Prints each region's job, then its differences from the file and from the first region."""
    console = out()
    columns = ("region", "version", "spec", "job", "against the file" if diff.spec_hash else "problem")
    console.print(table(columns, [region_row(region, diff) for region in diff.regions], numbers=("version",)))
    for region in diff.regions:
        _show_section(console, ((region.region, "bold"), ": registered => file"), file_difference_lines(region))
    for name, differences in diff.between.items():
        _show_section(console, ((diff.first, "bold"), " => ", (name, "bold")), map(str, differences))
    if diff.is_same and not diff.problems:
        console.print("No drift." if diff.spec_hash else "The regions' jobs are the same.")


def region_row(region: RegionJob, diff: JobDiff) -> Sequence[object]:
    """Region, version, spec, standing, and how it is against the file (or the problem)."""
    if region.problem:
        return region.region, "?", _spec(region, diff), "unknown", str(region.problem.message)
    version = "-" if region.version == ABSENT_VERSION else region.version
    return region.region, version, _spec(region, diff), str(region.standing), AGAINST_THE_FILE[region.change]


def file_difference_lines(region: RegionJob) -> list[str]:
    """How the registered job differs from the file, for people."""
    if region.diff and region.change == "Edited":
        return list(diff_lines(region.diff))
    return [str(difference) for difference in region.differences]


def _show_section(console: ScreenedConsole, heading: Iterable[Part], lines: Iterable[str]) -> None:
    """Prints a heading and its lines, or nothing when there are none."""
    if lines := list(lines):
        console.print()
        console.print_line(*heading)
        for line in lines:
            console.print_line(f"  {line}")


def job_diff_document(diff: JobDiff) -> dict[str, Any]:
    """The `--json` document of a comparison."""
    return {
        "job": diff.job_id,
        "spec_hash": diff.spec_hash or None,
        "is_same": diff.is_same and not diff.problems,
        "regions": [
            {
                "region": region.region,
                "standing": None if region.problem else region.standing.name.lower(),
                "job_version": _version(region.version),
                "spec_hash": region.spec_hash or None,
                "change": region.change or None,
                "diff": region.diff,
                "differences": _sides(region.differences, "registered", "file"),
                "problem": str(region.problem) if region.problem else None,
            }
            for region in diff.regions
        ],
        "between": {name: _sides(differences, diff.first, name) for name, differences in diff.between.items()},
    }


def _sides(differences: Iterable[Difference], left: str, right: str) -> list[dict[str, Any]]:
    return [{"path": difference.path, left: difference.left, right: difference.right} for difference in differences]


def _version(version: int) -> int | None:
    return None if version == ABSENT_VERSION else version


def show_deployment(deployment: Deployment) -> None:
    """Prints each region's job version, and what failed."""
    rows = [
        (
            region.region,
            region.action,
            "-" if region.version == ABSENT_VERSION else region.version,
            region.job_modify_index or "-",
            region.error or "",
        )
        for region in deployment.regions
    ]
    out().print(table(("region", "action", "version", "index", "problem"), rows, numbers=("version", "index")))


def deployment_document(deployment: Deployment) -> dict[str, Any]:
    """The `--json` document of a deployment."""
    return {
        "job": deployment.job_id,
        "spec_hash": deployment.spec_hash,
        "regions": [
            {
                "region": region.region,
                "action": region.action,
                "job_version": _version(region.version),
                "job_modify_index": region.job_modify_index,
                "error": str(region.error) if region.error else None,
            }
            for region in deployment.regions
        ],
    }


def _spec(region: RegionJob, diff: JobDiff) -> str:
    if region.standing is Standing.ABSENT:
        return "-"
    is_file = bool(diff.spec_hash) and region.spec_hash == diff.spec_hash
    return f"{region.spec_hash[:12] or 'none'}{' (the file)' if is_file else ''}"
