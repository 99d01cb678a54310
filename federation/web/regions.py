"""What all pages know of the regions: one reading of each for all viewers, each region's last answer kept by itself."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from federation.app import JobRequest
from federation.capacity import RegionCapacity
from federation.deploy.job_diff import JobDiff
from federation.plan import Reason
from federation.web.shared import Known
from federation.web.site import Site
from federation.workflows.job_checks import compared_jobs
from federation.workflows.region_state import ASK_S, RegionState, read_state
from jobs.errors import FedmlError
from regions.model import Region

MAX_AGE_S = 10.0
WAIT_S = 2.0
"""How long a page waits for a region that has not answered yet."""
DIFF_AGE_S = 60.0
COST = f"asks each region 5 questions every {MAX_AGE_S:g} s, however many look"


@dataclass(frozen=True, slots=True)
class RegionNow:
    """A region as it was `at` (seconds since the epoch). `problem` says why nothing newer, or nothing at all, is known."""

    region: Region
    state: RegionState | None = None
    at: float = 0.0
    problem: FedmlError | None = None

    @property
    def name(self) -> str:
        """Its name in fedml.toml."""
        return self.region.name

    @property
    def status(self) -> str:
        """`ready`, `unreachable` (it may have answered earlier), or `asked` before the first answer."""
        if self.problem is not None:
            return "unreachable"
        return "asked" if self.state is None else "ready"

    @property
    def version(self) -> object:
        """Changes when what pages show of it has changed."""
        state = self.state and replace(self.state, answered_in_s=0.0, skew_s=None)
        clock = self.state and self.state.clock
        return (self.name, self.status, str(self.problem or ""), self.at if self.problem else 0.0, state, clock)

    def capacity(self) -> RegionCapacity:
        """What is known of its room without asking its scheduler."""
        state = self.state or RegionState(self.name)
        told = RegionCapacity(self.name, state.version, len(state.ready), exactness="not_asked")
        if self.problem is None:
            return told
        return replace(told, problem=Reason.UNREACHABLE, detail=self.problem.message, hint=self.problem.hint)


def regions_now(site: Site, names: Sequence[str] = ()) -> list[RegionNow]:
    """These regions, or all. Waits for none that doesn't answer soon. Raises UsageError for an unknown one."""
    regions = site.app.chosen_regions(names)
    with ThreadPoolExecutor(max_workers=max(1, len(regions))) as pool:
        return list(pool.map(partial(_now, site), regions))


def _now(site: Site, region: Region) -> RegionNow:
    def read() -> RegionState:
        return read_state(site.app, region.name)

    try:
        known = site.shared.soon(("region", region.name), read, max_age_s=MAX_AGE_S, wait_s=WAIT_S)
    except FedmlError as error:
        return RegionNow(region, problem=error)
    return RegionNow(region) if known is None else RegionNow(region, known.value, known.at, known.problem)


def staleness(regions: Sequence[RegionNow]) -> tuple[float, str]:
    """`Page.as_of` and `Page.problem` for regions that are shown as they were."""
    stale = [now for now in regions if now.state is not None and now.problem is not None]
    return min((now.at for now in stale), default=0.0), "; ".join(str(now.problem) for now in stale)


def project_diff(site: Site, *, wait_s: float = 0.0) -> Known[JobDiff] | None:
    """How the project's job differs in the regions; None where that isn't known yet, or can't be."""

    def read() -> JobDiff:
        return compared_jobs(site.app, JobRequest(), within_s=ASK_S)

    try:
        return site.shared.soon(("job-diff", ""), read, max_age_s=DIFF_AGE_S, wait_s=wait_s)
    except FedmlError:
        return None
