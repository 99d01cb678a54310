"""Free slots by dry runs: as many as are wanted, in steps, within what servers allow and in the time that they take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from federation.capacity.probe import FIRST_SLOTS, SLOTS_MAX, FreeSlots, free_slots
from jobs.spec import shape_of
from regions.errors import InvalidJob, PermissionDenied, RegionSlow
from regions.model import DryRun, GroupShortfall


def job(**groups: int) -> dict[str, Any]:
    return {
        "ID": "train",
        "Type": "batch",
        "Datacenters": ["dc1"],
        "ParameterizedJob": {},
        "TaskGroups": [{"Name": name, "Count": count, "Tasks": []} for name, count in groups.items()],
    }


class Scheduler:
    """Places groups in turn until `room` instances are used up, as Nomad's does. Beyond `room` it evicts so many others. A dry
    run takes `s_a_square` times the square of its instances, and one of more than `most_in_time` isn't answered."""

    name = "us"

    def __init__(
        self, room: int, *, evicting: int = 0, max_count: int = 0, s_a_square: float = 0.0, most_in_time: int = 10**9
    ) -> None:
        self.room, self.evicting, self.max_count = room, evicting, max_count
        self.s_a_square, self.most_in_time = s_a_square, most_in_time
        self.now_s = 0.0
        self.asked: list[int] = []
        self.refused = 0

    def clock(self) -> float:
        return self.now_s

    def plan_job(self, job: Mapping[str, Any], *, diff: bool = False) -> DryRun:
        counts = {group["Name"]: int(group["Count"]) for group in job["TaskGroups"]}
        total = sum(counts.values())
        if self.max_count and total > self.max_count:
            self.refused += 1
            text = f"total count was greater than configured job_max_count: {total} > {self.max_count}"
            raise InvalidJob(f"plan job x: 1 error occurred: * {text}", region="us", operation="plan")
        if total > self.most_in_time:
            raise RegionSlow("no answer in time", region="us", operation="plan")
        self.asked.append(total)
        self.now_s += self.s_a_square * total**2
        left, shortfalls = self.room + self.evicting, {}
        for name, count in counts.items():
            placed = min(left, count)
            left -= placed
            if placed < count:
                shortfalls[name] = GroupShortfall(count - placed - 1, nodes_evaluated=1, nodes_exhausted=1)
        used = self.room + self.evicting - left
        return DryRun(7, "", shortfalls, preempted=max(0, used - self.room))


def ask(region: Scheduler, asked: dict[str, Any], wanted: int = SLOTS_MAX, **how: Any) -> FreeSlots:
    return free_slots(region, asked, shape_of(asked), wanted=wanted, clock=region.clock, **how)


@pytest.mark.parametrize(
    ("room", "count", "slots", "asked"),
    [
        (0, 1, 0, [100]),
        (1, 2, 0, [200]),
        (99, 1, 99, [100]),
        (259, 1, 259, [100, 300]),
        (259, 2, 129, [200, 600]),
        (700, 1, 700, [100, 300, 900]),
        (950, 1, 950, [100, 300, 900, 1000]),
    ],
)
def test_one_group_tells_its_room_by_the_first_dry_run_that_does_not_fit(
    room: int, count: int, slots: int, asked: list[int]
) -> None:
    region = Scheduler(room)
    found = ask(region, job(g=count))
    assert (found.slots, found.is_least) == (slots, False)
    assert region.asked == asked


@pytest.mark.parametrize(
    ("wanted", "slots", "asked"),
    [
        (1, FIRST_SLOTS, [100]),
        (100, 100, [100]),
        (250, 250, [100, 250]),
        (5000, SLOTS_MAX, [100, 300, 900, 1000]),
    ],
)
def test_no_more_is_asked_for_than_is_wanted(wanted: int, slots: int, asked: list[int]) -> None:
    region = Scheduler(100_000)
    assert ask(region, job(g=1), wanted) == FreeSlots(slots, {}, is_least=True)
    assert region.asked == asked


@pytest.mark.parametrize("room", [0, 2, 3, 10, 299, 300, 1000, 2999])
def test_several_groups_are_bisected_for_whole_slots(room: int) -> None:
    region = Scheduler(room)
    assert ask(region, job(a=1, b=2)).slots == room // 3
    assert len(region.asked) <= 14


def test_room_won_by_preemption_is_found_by_bisection_and_left_out() -> None:
    assert ask(Scheduler(37, evicting=10), job(g=1)).slots == 37
    assert ask(Scheduler(37, evicting=10), job(g=1), allow_preemption=True).slots == 47
    assert ask(Scheduler(0, evicting=5000), job(g=1)) == FreeSlots(0, {})


SIZED = {"CPU": 20, "MemoryMB": 10, "Devices": [{"Name": "gpu", "Count": 2}], "Cores": 0}


def sized_job(**fields: Any) -> dict[str, Any]:
    """A job of one group whose one task has a size."""
    group = {"Name": "g", "Count": 1, "Tasks": [{"Name": "t", "Resources": SIZED}], "EphemeralDisk": {"SizeMB": 30}}
    return {**job(), "TaskGroups": [{**group, **fields}]}


class SizedScheduler(Scheduler):
    """Counts an instance as often as it is larger than a slot."""

    def plan_job(self, job: Mapping[str, Any], *, diff: bool = False) -> DryRun:
        (group,) = job["TaskGroups"]
        times = group["Tasks"][0]["Resources"]["CPU"] // SIZED["CPU"]
        self.larger = (times, group)
        fits = self.room // times
        self.asked.append(int(group["Count"]))
        short = max(0, group["Count"] - fits)
        return DryRun(7, "", {"g": GroupShortfall(short - 1, nodes_exhausted=1)} if short else {})


@pytest.mark.parametrize(
    ("room", "wanted", "found", "asked"),
    [
        (10**6, 1000, (1000, True), [100, 100]),
        (10**6, 250, (250, True), [100, 100]),
        (10**6, 100, (100, True), [100]),
        (700, 1000, (700, False), [100, 100, 300, 900]),
        (70, 1000, (70, False), [100]),
    ],
)
def test_many_slots_are_asked_for_by_few_large_instances(
    room: int, wanted: int, found: tuple[int, bool], asked: list[int]
) -> None:
    region = SizedScheduler(room)
    answer = ask(region, sized_job(), wanted)
    assert ((answer.slots, answer.is_least), region.asked) == (found, asked)


def test_a_large_instance_takes_what_its_slots_take_together() -> None:
    region = SizedScheduler(10**6)
    ask(region, sized_job(), 500)
    times, group = region.larger
    assert times == 5
    resources = {**SIZED, "CPU": 100, "MemoryMB": 50, "Devices": [{"Name": "gpu", "Count": 10}]}
    assert (group["Tasks"][0]["Resources"], group["EphemeralDisk"]) == (resources, {"SizeMB": 150})


@pytest.mark.parametrize(
    "fields",
    [
        {"Networks": [{"ReservedPorts": [{"Value": 80}]}]},
        {"Volumes": {"data": {"Type": "csi"}}},
        {"Constraints": [{"Operand": "distinct_hosts"}]},
        {"Tasks": [{"Name": "t", "Resources": SIZED, "Constraints": [{"Operand": "distinct_property"}]}]},
        {"Tasks": [{"Name": "t", "Resources": {**SIZED, "Networks": [{"MBits": 10}]}}]},
    ],
)
def test_slots_that_more_than_their_size_limits_are_asked_for_one_by_one(fields: dict[str, Any]) -> None:
    region = SizedScheduler(10**6)
    assert ask(region, sized_job(**fields), 1000).slots == 1000
    assert region.asked == [100, 300, 900, 1000]


# ── what servers allow a job ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("max_count", "count", "room", "found"),
    [
        (50_000, 51, 10**6, (980, True)),  # the default, and a slot of 51 allocations
        (500, 1, 10**6, (500, True)),
        (500, 1, 200, (200, False)),
        (50, 1, 10**6, (50, True)),
        (50, 1, 20, (20, False)),
        (1, 1, 10**6, (1, True)),
        (7, 3, 10**6, (2, True)),
    ],
)
def test_the_most_that_servers_allow_is_learnt_from_the_refusal(
    max_count: int, count: int, room: int, found: tuple[int, bool]
) -> None:
    region = Scheduler(room, max_count=max_count)
    answer = ask(region, job(g=count))
    assert (answer.slots, answer.is_least) == found
    assert region.refused == 1 or room < 300


def test_several_groups_within_what_servers_allow() -> None:
    region = Scheduler(31, max_count=60)
    assert ask(region, job(a=1, b=2)).slots == 10
    assert region.refused == 1


def test_a_job_of_which_servers_allow_no_slot_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidJob) as caught:
        ask(Scheduler(100, max_count=5), job(a=4, b=2))
    assert caught.value.message == "region us: a slot has 6 allocations, and the servers allow a job 5 (job_max_count)"
    assert "job_max_count" in caught.value.hint


def test_other_refusals_are_not_about_the_count() -> None:
    class Strict(Scheduler):
        def plan_job(self, job: Mapping[str, Any], *, diff: bool = False) -> DryRun:
            raise InvalidJob(f'1 error occurred: * job "{job["ID"]}" is in nonexistent node pool "x"', region="us")

    class Closed(Scheduler):
        """Validates before it looks at permissions, as servers do."""

        def plan_job(self, job: Mapping[str, Any], *, diff: bool = False) -> DryRun:
            super().plan_job(job)
            raise PermissionDenied("Permission denied", region="us")

    with pytest.raises(InvalidJob, match='job "train" is in nonexistent node pool "x"'):
        ask(Strict(1), job(g=1))
    with pytest.raises(PermissionDenied):
        ask(Closed(1, max_count=20), job(g=1))


# ── slow servers ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("first_s", "asked"),
    [
        (0.02, [100, 300, 900, 1000]),
        (0.4, [100, 300]),  # 3.6 s for 300
        (1.0, [100, 223]),  # 5 s for 223
        (4.0, [100]),
    ],
)
def test_a_larger_dry_run_that_would_take_long_is_not_asked_for(first_s: float, asked: list[int]) -> None:
    region = Scheduler(10**6, s_a_square=first_s / 100**2)
    assert ask(region, job(g=1)) == FreeSlots(asked[-1], {}, is_least=True)
    assert region.asked == asked


def test_what_was_answered_counts_where_a_larger_dry_run_is_not_answered() -> None:
    region = Scheduler(10**6, most_in_time=200)
    assert ask(region, job(g=1)) == FreeSlots(100, {}, is_least=True)
    with pytest.raises(RegionSlow):
        ask(Scheduler(10**6, most_in_time=50), job(g=1))
