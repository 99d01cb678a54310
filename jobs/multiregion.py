"""Reads a job's `multiregion` block and makes each region's job from it. Pure.

Nomad's open-source servers refuse the block. fedml follows it and removes it. The rules are those of Nomad's job
specification (docs/job-specification/multiregion): a group with `count = 0` gets the region's count (any other count
stays), `datacenters` and `node_pool` replace the job's, and `meta` is merged over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal, get_args

from jobs.errors import InvalidSpec
from jobs.frozen import field, frozen

OnFailure = Literal["", "fail_all", "fail_local"]
"""What else fails with a region: "" those after it in order, `fail_all` all others, `fail_local` none."""


@frozen
class Strategy:
    """Rollout strategy: at most `max_parallel` regions at a time (0: all at once), in order."""

    max_parallel: int = 0
    on_failure: OnFailure = ""


EACH_FOR_ITSELF = Strategy(on_failure="fail_local")
"""Strategy of a job without the block: all regions at once, and a failure affects only its own region."""


@frozen
class RegionBlock:
    """One `region` of the block."""

    name: str
    count: int = 1
    datacenters: tuple[str, ...] = ()
    node_pool: str = ""
    meta: Mapping[str, str] = field(factory=dict)


@frozen
class Multiregion:
    """The block: its regions in the order of the rollout."""

    regions: tuple[RegionBlock, ...]
    strategy: Strategy

    def find(self, *names: str) -> RegionBlock | None:
        """Returns the region with one of these names."""
        return next((region for region in self.regions if region.name in names), None)


def multiregion_of(job: Mapping[str, Any]) -> Multiregion | None:
    """Reads the job's block. None where it has none or no regions, which Nomad treats alike. Raises InvalidSpec."""
    block = job.get("Multiregion") or {}
    regions = tuple(_region(one) for one in block.get("Regions") or ())
    if not regions:
        return None
    names = [region.name for region in regions]
    for name in names:
        if names.count(name) > 1:
            raise InvalidSpec(f"multiregion: region {name!r} is listed twice", hint="list each region once")
    return Multiregion(regions, strategy_of(block.get("Strategy") or {}))


def strategy_of(block: Mapping[str, Any]) -> Strategy:
    """Reads the `strategy` block. Raises InvalidSpec."""
    max_parallel = int(block.get("MaxParallel") or 0)
    if max_parallel < 0:
        raise InvalidSpec(f"multiregion: max_parallel = {max_parallel}", hint="0 (all at once), or how many at a time")
    return Strategy(max_parallel, checked_on_failure(str(block.get("OnFailure") or "")))


def checked_on_failure(text: str) -> OnFailure:
    """Checks that the text is one of the three. Raises InvalidSpec."""
    for known in get_args(OnFailure):
        if text == known:
            return text  # type: ignore[return-value]
    near = get_close_matches(text, get_args(OnFailure), n=1)
    raise InvalidSpec(
        f"on_failure = {text!r} is not a valid way to handle a region's failure",
        hint=f"did you mean {near[0]!r}?"
        if near and near[0]
        else 'it is "fail_all", "fail_local" or "" (the region and those after it)',
    )


def for_region(job: Mapping[str, Any], region: RegionBlock) -> dict[str, Any]:
    """Makes the region's job without the block. Doesn't change the given job."""
    own = {name: value for name, value in job.items() if name != "Multiregion"}
    if region.datacenters:
        own["Datacenters"] = list(region.datacenters)
    if region.node_pool:
        own["NodePool"] = region.node_pool
    if region.meta:
        own["Meta"] = {**(job.get("Meta") or {}), **region.meta}
    own["TaskGroups"] = [
        {**group, "Count": region.count} if group.get("Count") == 0 else group for group in job.get("TaskGroups") or ()
    ]
    return own


def _region(block: Mapping[str, Any]) -> RegionBlock:
    name = str(block.get("Name") or "")
    if not name:
        raise InvalidSpec("multiregion: a region has no name", hint='write  region "us" { … }')
    count = block.get("Count")
    if count is not None and int(count) < 0:
        raise InvalidSpec(f"multiregion: region {name!r} has count = {count}", hint="a count is 0 or more")
    return RegionBlock(
        name=name,
        count=1 if count is None else int(count),
        datacenters=tuple(map(str, block.get("Datacenters") or ())),
        node_pool=str(block.get("NodePool") or ""),
        meta={str(key): str(value) for key, value in (block.get("Meta") or {}).items()},
    )
