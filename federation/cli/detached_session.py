"""`fedml dispatch --detach`: an opened run is handed to coordinator jobs, and a person is told how to follow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from federation.app import App
    from regions.nomad.client import NomadRegion


def coordinator_hosts(app: App, names: Sequence[str]) -> list[NomadRegion]:
    """The regions that get a coordinator, which have all that one needs. Raises UsageError."""
    from federation.workflows.detach import check

    hosts = [app.client(region.name) for region in app.chosen_regions(names or list(app.config.regions)[:1])]
    check(app.config, hosts)
    return hosts


def detached(app: App, hosts: Sequence[NomadRegion], run: str, *, as_json: bool) -> None:
    """Start the coordinators, and say who drives the run. Raises the first error when none could be started."""
    from dataclasses import asdict

    from federation.cli.session import answer_json_line, note
    from federation.workflows.detach import is_taken_up, start

    started = start(app.config, hosts, run)
    for one in started:
        note(f"{one.region:<10} coordinator {one.job_id}")
    is_driven = is_taken_up(app.home, run)
    if as_json:
        coordinators = [asdict(one) for one in started]
        answer_json_line({"event": "detached", "run": run, "coordinators": coordinators, "is_driven": is_driven})
    if not is_driven:
        first = started[0]
        note(f"None has taken the run up yet. Why:  nomad job status -region {first.region} {first.job_id}")
        note(f"It can be driven from here:  fedml runs resume {run}")
    note(f"Follow it:  fedml runs watch {run}")
