"""A JobDiff or a Deployment enters, what a person (or `--json`) reads of it leaves."""

from __future__ import annotations

from typing import Any

from federation.deploy.job_diff import JobDiff, RegionJob
from federation.deploy.rollout import Deployment
from federation.ui.console import out, table
from federation.ui.diff_lines import diff_lines
from jobs.nomad_json.drift import ABSENT_VERSION, Standing

AGAINST_THE_FILE = {"None": "same", "Added": "would be registered", "Edited": "differs", "": "-"}


def show_job_diff(found: JobDiff) -> None:
    """Print what stands where, then each region's differences."""
    console = out()
    rows = [
        (
            one.region,
            "?" if one.problem else "-" if one.version == ABSENT_VERSION else one.version,
            _spec(one, found),
            "unknown" if one.problem else str(one.standing),
            str(one.problem.message) if one.problem else AGAINST_THE_FILE[one.change],
        )
        for one in found.regions
    ]
    columns = ("region", "version", "spec", "job", "against the file" if found.spec_hash else "problem")
    console.print(table(columns, rows, numbers=("version",)))
    for one in found.regions:
        lines = list(diff_lines(one.diff)) if one.diff and one.change == "Edited" else [str(d) for d in one.differences]
        if lines:
            console.print()
            console.print_line((one.region, "bold"), ": registered => file")
            for line in lines:
                console.print_line(f"  {line}")
    for name, differing in found.between.items():
        console.print()
        console.print_line((found.first, "bold"), " => ", (name, "bold"))
        for difference in differing:
            console.print_line(f"  {difference}")
    if found.is_same and not found.problems:
        console.print("No drift." if found.spec_hash else "The regions' jobs are the same.")


def job_diff_document(found: JobDiff) -> dict[str, Any]:
    """The comparison as `--json` prints it (docs/reference/json.md)."""
    return {
        "job": found.job_id,
        "spec_hash": found.spec_hash or None,
        "is_same": found.is_same and not found.problems,
        "regions": [
            {
                "region": one.region,
                "standing": None if one.problem else one.standing.name.lower(),
                "version": None if one.version == ABSENT_VERSION else one.version,
                "spec_hash": one.spec_hash or None,
                "change": one.change or None,
                "diff": one.diff,
                "differences": [
                    {"path": difference.path, "registered": difference.left, "file": difference.right}
                    for difference in one.differences
                ],
                "problem": str(one.problem) if one.problem else None,
            }
            for one in found.regions
        ],
        "between": {
            name: [
                {"path": difference.path, found.first: difference.left, name: difference.right}
                for difference in differing
            ]
            for name, differing in found.between.items()
        },
    }


def show_deployment(deployment: Deployment) -> None:
    """Print which version stands where, and what went wrong."""
    rows = [
        (
            one.region,
            one.action,
            "-" if one.version == ABSENT_VERSION else one.version,
            one.job_modify_index or "-",
            one.error or "",
        )
        for one in deployment.regions
    ]
    out().print(table(("region", "action", "version", "index", "problem"), rows, numbers=("version", "index")))


def deployment_document(deployment: Deployment) -> dict[str, Any]:
    """The deployment as `--json` prints it (docs/reference/json.md)."""
    return {
        "job": deployment.job_id,
        "spec_hash": deployment.spec_hash,
        "regions": [
            {
                "region": one.region,
                "action": one.action,
                "version": None if one.version == ABSENT_VERSION else one.version,
                "job_modify_index": one.job_modify_index,
                "error": str(one.error) if one.error else None,
            }
            for one in deployment.regions
        ],
    }


def _spec(one: RegionJob, found: JobDiff) -> str:
    if one.standing is Standing.ABSENT:
        return "-"
    is_file = bool(found.spec_hash) and one.spec_hash == found.spec_hash
    return f"{one.spec_hash[:12] or 'none'}{' (the file)' if is_file else ''}"
