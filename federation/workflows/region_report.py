"""Reports what a person wants to know of one region: addresses, leader, nodes, room, queue.

`regions_now` has asked the region before. A region that did not answer then is not asked again. What a token may not read is
reported as unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from federation import capacity
from federation.app import App, JobRequest
from federation.capacity import SLOTS_MAX, RegionCapacity
from federation.index.rows import RunRow
from federation.plan import Reason
from federation.workflows.plan import NO_ANSWER, preview
from federation.workflows.region_state import RegionState, read_state, runs_of
from federation.workflows.request import RunRequest
from jobs.errors import FedmlError
from jobs.frozen import frozen
from regions.model import Region


@frozen
class RegionReport:
    """One region's answers. `job` is the job whose free slots `capacity` has; `runs` are those that have children there."""

    region: Region
    capacity: RegionCapacity
    job: str
    state: RegionState
    runs: Mapping[str, RunRow]


@frozen
class RegionsNow:
    """What the regions have, for the job `job`; "" with its `problem` where the project has no job that can be used."""

    capacities: Mapping[str, RegionCapacity]
    job: str
    problem: FedmlError | None = None

    @property
    def is_any_there(self) -> bool:
        """Whether at least one region answered and refused nothing."""
        return any(one.problem not in NO_ANSWER for one in self.capacities.values())


def regions_now(app: App, request: JobRequest) -> RegionsNow:
    """Asks the chosen regions for their room for the job. Without a job that can be used, asks what needs none. Raises
    UsageError for unknown regions, and what is wrong with a job that `request` names."""
    regions = app.chosen_regions(request.regions)
    try:
        made = preview(app, RunRequest(request), looks_for=SLOTS_MAX)
    except FedmlError as error:
        if request.job:
            raise
        return RegionsNow(capacity.without_job([app.client(region.name) for region in regions]).regions, "", error)
    return RegionsNow(made.snapshot.regions, made.prepared.shape.id)


def report(app: App, now: RegionsNow, name: str) -> RegionReport:
    """Asks the region. Raises nothing for what it refuses or where it is silent: that is in the report."""
    found = now.capacities[name]
    runs: dict[str, RunRow] = {}
    if found.problem is Reason.UNREACHABLE:
        state = RegionState(name, unknown=(f"leader: {found.detail}",))
    else:
        try:
            state = read_state(app, name)
        except FedmlError as error:
            state = RegionState(name, unknown=(f"leader: {error.message}",))
        with suppress(FedmlError):  # whose a run is, is a convenience here
            runs = runs_of(app, [state])
    return RegionReport(app.config.regions[name], found, now.job, state, runs)
