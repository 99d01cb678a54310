"""A job's JSON with a `multiregion` block enters, what the block says of each region leaves, and the job of one region.

Nomad's open-source servers refuse the block; fedml does what it says and takes it off. The rules are those of Nomad's
job specification (docs/job-specification/multiregion): a group that says `count = 0` gets the region's count (any other
count stays), `datacenters` and `node_pool` replace the job's, `meta` is merged over it. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal, get_args

from jobs.errors import InvalidSpec

OnFailure = Literal["", "fail_all", "fail_local"]
"""What a region's failure means for the others: "" those after it in order fail with it, `fail_all` all do,
`fail_local` none."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a job is rolled out: at most `max_parallel` regions at a time (0: all at once), in order."""

    max_parallel: int = 0
    on_failure: OnFailure = ""


EACH_FOR_ITSELF = Strategy(on_failure="fail_local")
"""The strategy of a job without the block: all regions at once, and one's failure is its own."""


@dataclass(frozen=True, slots=True)
class RegionBlock:
    """One `region` of the block."""

    name: str
    count: int = 1
    datacenters: tuple[str, ...] = ()
    node_pool: str = ""
    meta: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Multiregion:
    """The block: its regions in the order of the rollout."""

    regions: tuple[RegionBlock, ...]
    strategy: Strategy

    def find(self, *names: str) -> RegionBlock | None:
        """The region of one of these names."""
        return next((one for one in self.regions if one.name in names), None)


def multiregion_of(job: Mapping[str, Any]) -> Multiregion | None:
    """The job's block; None where it has none, or one without regions, which for Nomad is none. Raises InvalidSpec."""
    block = job.get("Multiregion") or {}
    regions = tuple(_region(one) for one in block.get("Regions") or ())
    if not regions:
        return None
    names = [one.name for one in regions]
    for name in names:
        if names.count(name) > 1:
            raise InvalidSpec(
                f"multiregion: region {name!r} stands there twice", hint="each region may stand there once"
            )
    return Multiregion(regions, strategy_of(block.get("Strategy") or {}))


def strategy_of(block: Mapping[str, Any]) -> Strategy:
    """The `strategy` block. Raises InvalidSpec."""
    max_parallel = int(block.get("MaxParallel") or 0)
    if max_parallel < 0:
        raise InvalidSpec(f"multiregion: max_parallel = {max_parallel}", hint="0 (all at once), or how many at a time")
    return Strategy(max_parallel, checked_on_failure(str(block.get("OnFailure") or "")))


def checked_on_failure(text: str) -> OnFailure:
    """The text as one of the three. Raises InvalidSpec."""
    for known in get_args(OnFailure):
        if text == known:
            return text  # type: ignore[return-value]
    near = get_close_matches(text, get_args(OnFailure), n=1)
    raise InvalidSpec(
        f"on_failure = {text!r} is no way to handle a region's failure",
        hint=f"did you mean {near[0]!r}?"
        if near and near[0]
        else 'it is "fail_all", "fail_local" or "" (the region and those after it)',
    )


def for_region(job: Mapping[str, Any], region: RegionBlock) -> dict[str, Any]:
    """The job as that region is to have it, without the block. The job given stays as it is."""
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
