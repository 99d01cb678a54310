"""Asks one region's scheduler how many slots of a job it would place now, in steps and for no more than are needed.

The dry run (`PUT /v1/job/:id/plan`) of the job, not parameterized, with N instances tells how many would be placed:
N − (CoalescedFailures + 1) where a group falls short. A large dry run costs the servers much: one for 1,000 slots on one
node takes seconds, one for 100 a tenth of one. So the first one asks for a few slots, and the next for more only where all
of them fit, more are wanted, and the servers were quick. Where nothing but the size of slots limits how many fit, that one asks
for as few instances, each as large as several slots: it takes no longer. Room that Nomad would make by evicting other work
isn't counted, unless that is allowed.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from federation.text import counted
from jobs.frozen import frozen
from jobs.render import may_be_enlarged, probe
from jobs.spec import JobShape, group_counts
from regions.errors import InvalidJob, RegionSlow
from regions.model import DryRun, GroupShortfall

SLOTS_MAX: Final = 1000
"""The most slots that a dry run asks for. When those are used, the next one finds what is beyond."""
FIRST_SLOTS: Final = 100
"""The slots that the first dry run asks for, however few are wanted: regions are compared by their room."""
STEPS: Final = (1.5, 3.0)
"""How many times more slots the next dry run asks for: at least, at most."""
LARGE_SLOTS: Final = 10
"""The most slots that an instance of a dry run stands for."""
PATIENCE_S: Final = 5.0
"""A dry run that is likely to take longer isn't asked for. The time grows with the square of the slots."""
_COUNT_LIMIT: Final = re.compile(r"configured job_max_count: \d+ > (\d+)")


class DryRunner(Protocol):
    """The part of a region client that is asked."""

    @property
    def name(self) -> str: ...
    def plan_job(self, job: dict[str, Any], *, diff: bool = False) -> DryRun: ...


@frozen
class FreeSlots:
    """How many whole slots fit now, the queue not deducted, and what prevents more."""

    slots: int
    shortage: Mapping[str, GroupShortfall]
    """By group; empty where no more were asked for, or where there is room only by preemption."""
    is_least: bool = False
    """There may be room for more: nobody asked."""


def free_slots(
    client: DryRunner,
    rendered: Mapping[str, Any],
    shape: JobShape,
    *,
    wanted: int = SLOTS_MAX,
    allow_preemption: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> FreeSlots:
    """Asks for up to `wanted` slots. Raises InvalidJob for a job that the servers don't take, and RegionSlow where they don't
    answer the first dry run in time.

    One group takes four dry runs of a quick server. Where several groups fall short (the first could use all the room), or
    where room would be won by preemption, the number is bisected: at most ten more.
    """
    asking = _Asking(client, rendered, shape, allow_preemption, clock)
    low, step, most = 0, FIRST_SLOTS, min(max(wanted, FIRST_SLOTS), SLOTS_MAX)
    try:
        while (answer := asking.ask(step)) is None or asking.is_whole(answer):
            if answer is not None:
                low = step
            most = min(most, asking.slots_allowed)
            if low >= most or (low and asking.step < STEPS[0]):
                return FreeSlots(low, {}, is_least=True)
            if low == FIRST_SLOTS and (large := asking.fit_as_large(low, most)):
                return FreeSlots(large, {}, is_least=True)
            step = min(int(low * asking.step) or most, most)
        exact = asking.placed_of_one_group(answer, step)
        return FreeSlots(asking.bisected(low, step) if exact is None else exact, asking.shortage)
    except RegionSlow:
        if not low:
            raise
        return FreeSlots(low, {}, is_least=True)


class _Asking:
    """Dry runs of one job in one region."""

    def __init__(
        self,
        client: DryRunner,
        rendered: Mapping[str, Any],
        shape: JobShape,
        allow_preemption: bool,
        clock: Callable[[], float],
    ) -> None:
        # Of this region: a multiregion block may give groups that publish nothing its own counts.
        self.counts = group_counts(rendered)
        self.shortage: dict[str, GroupShortfall] = {}
        self.slots_allowed = SLOTS_MAX
        """By the servers' `job_max_count`, as far as it is known."""
        self.step = STEPS[1]
        """How many times more slots can be asked for within `PATIENCE_S`, judged by the last dry run."""
        self._client = client
        self._rendered = rendered
        self._id = f"fedml-probe-{hashlib.sha256(shape.id.encode()).hexdigest()[:8]}"
        self._job_id = shape.id
        self._allow_preemption = allow_preemption
        self._clock = clock

    def ask(self, slots: int) -> DryRun | None:
        """The dry run of so many slots; None where they are more than the servers allow, which is known from then on. Raises
        InvalidJob where not even one is allowed."""
        instances = {group: count * slots for group, count in self.counts.items()}
        begun_s = self._clock()
        try:
            answer = self._client.plan_job(probe(self._rendered, instances, probe_id=self._id))
        except InvalidJob as error:
            found = _COUNT_LIMIT.search(error.message)
            if found is None:
                raise self._about_the_job(error) from None
            self._learn_limit(int(found[1]), slots, error)
            return None
        took_s = max(self._clock() - begun_s, 1e-6)
        self.step = min(STEPS[1], (PATIENCE_S / took_s) ** 0.5)
        self.shortage.update(answer.shortfalls)
        return answer

    def fit_as_large(self, instances: int, slots: int) -> int:
        """Finds out by so many instances whether so many slots fit, each instance being as large as several slots. Returns 0
        where that isn't known."""
        times = min(LARGE_SLOTS, -(-slots // instances))
        if self.step < STEPS[0] or not may_be_enlarged(self._rendered):
            return 0
        counts = {group: count * instances for group, count in self.counts.items()}
        try:
            answer = self._client.plan_job(probe(self._rendered, counts, probe_id=self._id, times=times))
        except (InvalidJob, RegionSlow):  # larger than a job may be
            return 0
        return min(slots, times * instances) if self.is_whole(answer) else 0

    def _about_the_job(self, error: InvalidJob) -> InvalidJob:
        """The refusal with the job's own ID in place of the dry run's."""
        text = error.message.removeprefix(f"region {error.region}: ").replace(self._id, self._job_id)
        return InvalidJob(text, region=error.region, operation=error.operation, hint=error.hint)

    def _learn_limit(self, limit: int, asked: int, error: InvalidJob) -> None:
        one = sum(self.counts.values())
        allowed = limit // max(one, 1)
        if not 0 < allowed < asked:
            raise InvalidJob(
                f"a slot has {counted(one, 'allocation')}, and the servers allow a job {limit} (job_max_count)",
                region=self._client.name,
                operation="plan",
                hint="lower the groups' counts, or raise job_max_count in the servers' configuration",
            ) from error
        self.slots_allowed = allowed

    def is_whole(self, answer: DryRun) -> bool:
        """Whether all that was asked for would be placed, without evictions unless these are allowed."""
        return not answer.shortfalls and (self._allow_preemption or not answer.preempted)

    def placed_of_one_group(self, answer: DryRun, asked: int) -> int | None:
        """The slots that fit, from the answer alone; None where it doesn't tell."""
        if len(self.counts) != 1 or (answer.preempted and not self._allow_preemption):
            return None
        ((group, count),) = self.counts.items()
        placed = count * asked - (answer.shortfalls[group].coalesced + 1)
        return placed // max(count, 1)

    def bisected(self, low: int, high: int) -> int:
        """The most slots that fit, between `low`, which do, and `high`, which don't."""
        while high - low > 1:
            middle = (low + high) // 2
            answer = self.ask(middle)
            if answer is not None and self.is_whole(answer):
                low = middle
            else:
                high = middle
        return low


def could_ever(shortage: Mapping[str, GroupShortfall]) -> bool:
    """Whether some node fits but is full now. A group that no node could ever hold makes the region infeasible."""
    return all(group.nodes_exhausted > 0 for group in shortage.values())


def shortage_text(shortage: Mapping[str, GroupShortfall]) -> str:
    """What prevents more slots, in Nomad's own counters."""
    parts: list[str] = []
    for name, group in shortage.items():
        if group.nodes_exhausted:
            what = ", ".join(f"{dimension} on {count}" for dimension, count in group.dimension_exhausted.items())
            full = f"{counted(group.nodes_exhausted, 'node')} {'is' if group.nodes_exhausted == 1 else 'are'} full"
            parts.append(f"group {name}: {full}{f' ({what})' if what else ''}")
        elif group.constraint_filtered:
            filtered = group.constraint_filtered.items()
            what = ", ".join(f"{reason} ({counted(count, 'node')})" for reason, count in filtered)
            parts.append(f"group {name}: {what}")
        elif not group.nodes_evaluated:
            parts.append(f"group {name}: no ready node in its datacenters and node pool")
        else:
            parts.append(f"group {name}: {counted(group.nodes_filtered, 'node')} filtered")
    return "; ".join(parts)
