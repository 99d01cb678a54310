"""What a deployment did in each region, as values and in words."""

from __future__ import annotations

from jobs.errors import FedmlError
from jobs.frozen import frozen
from jobs.nomad_json.drift import ABSENT_VERSION

CHANGED = ("registered", "updated")


@frozen
class Deployed:
    """One region's outcome.

    `action` is registered, updated, unchanged, reverted (to what stood there before), skipped (another region had failed)
    or failed (then `error` says why). `version` is Nomad's number of the version that stands there, -1 for none.
    """

    region: str
    action: str
    job_modify_index: int = 0
    error: FedmlError | None = None
    version: int = ABSENT_VERSION
    version_before: int = ABSENT_VERSION


@frozen
class Deployment:
    """The outcomes of all regions, in the order of the rollout."""

    job_id: str
    spec_hash: str
    regions: tuple[Deployed, ...]

    @property
    def failed(self) -> tuple[Deployed, ...]:
        """Those that did not get the job, for a reason of their own."""
        return tuple(one for one in self.regions if one.error is not None)

    @property
    def deployed_over(self) -> dict[str, int]:
        """Region → the version that stood there before, of those that it changed (-1: none)."""
        return {one.region: one.version_before for one in self.regions if one.action in CHANGED}


def standing_now(done: Deployed, job_id: str) -> str:
    """Says how a revert ended."""
    if done.error is not None:
        return f"the job {job_id} could not be put back: {done.error}"
    if done.version == ABSENT_VERSION:
        return f"the job {job_id} was removed: there was none before"
    return f"the job {job_id} is as it was before, as version {done.version}"


def summary(deployment: Deployment) -> list[str]:
    """Says in a line a region which version runs where, after a deployment failed."""
    lines = []
    for one in deployment.regions:
        stands = "no job" if one.version == ABSENT_VERSION else f"version {one.version}"
        match one.action:
            case "failed":
                lines.append(f"{one.region}: failed: {one.error}")
            case "reverted":
                lines.append(f"{one.region}: reverted, {stands} stands there as before")
            case "skipped":
                lines.append(f"{one.region}: left as it was")
            case _:
                lines.append(f"{one.region}: {one.action}, {stands}")
    return lines
