"""Capacity: what a region's dry run says, less what is queued; refusals and silence as values."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from federation.capacity import UNKNOWN_FREE, look, queued_children, snapshot
from federation.errors import RegionNotAllowed
from federation.plan import Reason
from jobs.errors import InvalidSpec
from jobs.spec import shape_of
from regions import model as nomad_model
from regions.errors import NotFound, PermissionDenied, RegionSlow, RegionUnreachable
from regions.model import DryRun, GroupShortfall, Node
from regions.nomad.client import NomadRegion
from regions.nomad.resources import Resources
from tests.emulators.hostile import DRIPPING, hostile_server
from tests.federation.plan.planning import FakeRegion, node


def job(**groups: int) -> dict[str, Any]:
    return {
        "ID": "train",
        "Type": "batch",
        "Datacenters": ["dc1"],
        "Meta": {"fedml_spec": "5ec"},
        "ParameterizedJob": {},
        "TaskGroups": [{"Name": name, "Count": count, "Tasks": []} for name, count in (groups or {"g": 1}).items()],
    }


class Region:
    """A region that places groups in turn until `room` instances are used up, as Nomad's scheduler does."""

    name = "us"

    def __init__(
        self, room: int, *, fits: bool = True, refuses: bool = False, evals: list[dict[str, Any]] | None = None
    ) -> None:
        self.room, self.fits, self.refuses, self.evals = room, fits, refuses, evals or []
        self.asked = 0

    def version(self) -> str:
        return "1.6.3"

    def nodes(self) -> list[Node]:
        return [
            Node("1", "n1", "dc1", True, 1000, 1000, drivers=frozenset({"raw_exec"})),
            Node("2", "n2", "elsewhere", True, 1000, 1000),
        ]

    def job(self, job_id: str) -> dict[str, Any]:
        raise NotFound("no job", region="us")

    def used(self) -> dict[str, Resources]:
        if self.refuses == "all":
            raise PermissionDenied("Permission denied", region="us")
        return {"1": Resources(100, 0)}

    def evaluations(self, job_id: str | None = None, status: str = "") -> list[dict[str, Any]]:
        return self.evals

    def plan_job(self, job: dict[str, Any], *, diff: bool = False) -> DryRun:
        if self.refuses:
            raise PermissionDenied("Permission denied", region="us")
        if diff:
            return DryRun(7, "Edited", {})
        self.asked += 1
        left, shortfalls = self.room if self.fits else 0, {}
        for group in job["TaskGroups"]:
            placed = min(left, group["Count"])
            left -= placed
            if placed < group["Count"]:
                shortfalls[group["Name"]] = GroupShortfall(
                    group["Count"] - placed - 1,
                    nodes_evaluated=1,
                    nodes_exhausted=1 if self.fits else 0,
                    dimension_exhausted={"cpu": 1} if self.fits else {},
                    constraint_filtered={} if self.fits else {"missing drivers": 1},
                )
        return DryRun(7, "", shortfalls)


def test_what_is_queued_is_deducted_once_a_child() -> None:
    evals = [
        {"JobID": "train/dispatch-1", "Status": "blocked"},
        {"JobID": "train/dispatch-1", "Status": "pending"},
        {"JobID": "train/dispatch-2", "Status": "pending"},
        {"JobID": "train/dispatch-3", "Status": "complete"},
        {"JobID": "other/dispatch-4", "Status": "blocked"},
    ]
    region = Region(10, evals=evals)
    assert queued_children(region, "train") == 2
    answer = look(region, job(), shape_of(job()))
    assert (answer.free, answer.queued, answer.nodes, answer.change, answer.job_modify_index) == (8, 2, 1, "Edited", 7)


def test_full_is_not_infeasible() -> None:
    full, unfit = look(Region(0), job(), shape_of(job())), look(Region(0, fits=False), job(), shape_of(job()))
    assert (full.problem, full.detail) == (None, "group g: 1 node is full (cpu on 1)")
    assert (unfit.problem, unfit.detail) == (Reason.INFEASIBLE, "group g: missing drivers (1 node)")


@pytest.mark.parametrize("refuses", [False, True])
def test_what_no_node_is_large_enough_for_is_infeasible_and_not_full(refuses: bool) -> None:
    asked = job()
    asked["TaskGroups"][0]["Tasks"] = [{"Name": "t", "Driver": "raw_exec", "Resources": {"CPU": 10, "MemoryMB": 1001}}]
    answer = look(Region(0, refuses=refuses), asked, shape_of(asked))
    assert (answer.problem, answer.free) == (Reason.INFEASIBLE, 0)
    assert answer.detail == (
        "group g: no node is large enough for 10 MHz and 1,001 MB (they have up to 1,000 MHz and 1,000 MB)"
    )
    asked["TaskGroups"][0]["Tasks"][0]["Resources"]["MemoryMB"] = 1000
    assert look(Region(0, refuses=refuses), asked, shape_of(asked)).problem is None


@pytest.mark.parametrize("unknown_mb", [0, -256])  # total less reserved
def test_a_node_of_unknown_size_may_be_large_enough(unknown_mb: int) -> None:
    asked = job()
    asked["TaskGroups"][0]["Tasks"] = [{"Name": "t", "Driver": "raw_exec", "Resources": {"CPU": 10, "MemoryMB": 1001}}]
    region = FakeRegion("us", 0, node_list=[node(), node(id="2", memory_mb=unknown_mb)])
    assert look(region, asked, shape_of(asked)).problem is None


def test_a_token_that_may_not_plan_gets_an_estimate_and_one_that_sees_nothing_a_few_slots_at_a_time() -> None:
    asked = job()
    asked["TaskGroups"][0]["Tasks"] = [{"Name": "t", "Driver": "raw_exec", "Resources": {"CPU": 200, "MemoryMB": 10}}]
    answer = look(Region(100, refuses=True), asked, shape_of(asked))
    assert (answer.free, answer.exactness, answer.problem, answer.change) == (4, "estimated", None, "Added")
    answer = look(Region(100, refuses="all"), asked, shape_of(asked))
    assert (answer.free, answer.exactness) == (UNKNOWN_FREE, "unknown")


def test_silence_and_bad_rendering_are_values() -> None:
    class Silent(Region):
        name = "eu"

        def version(self) -> str:
            raise RegionUnreachable("no answer", region="eu")

    both = snapshot([Region(5), Silent(5)], {"us": InvalidSpec("no datacenter"), "eu": job()}, shape_of(job()))
    assert both.regions["us"].problem is Reason.INFEASIBLE
    assert both.regions["eu"].problem is Reason.UNREACHABLE
    assert "no answer" in both.regions["eu"].detail


def test_regions_are_asked_at_once() -> None:
    together = threading.Barrier(3, timeout=60)

    class Meeting(Region):
        def __init__(self, name: str) -> None:
            super().__init__(5)
            self.name = name

        def version(self) -> str:
            together.wait()
            return "1.6.3"

    regions = [Meeting(name) for name in ("us", "eu", "ap")]
    answer = snapshot(regions, {region.name: job() for region in regions}, shape_of(job()))
    assert [one.free for one in answer.regions.values()] == [5, 5, 5]


@pytest.mark.parametrize("is_left", [True, False])
def test_a_slow_region_is_waited_for_or_not_as_the_caller_says(is_left: bool) -> None:
    answers = threading.Event()
    asked: list[tuple[list[str], list[str]]] = []

    class Slow(Region):
        name = "eu"

        def nodes(self) -> list[Node]:
            assert answers.wait(60)
            return super().nodes()

    def goes_on(late: Sequence[str], there: Sequence[str]) -> bool:
        asked.append((list(late), list(there)))
        if not is_left:
            answers.set()
        return is_left

    jobs = {"us": job(), "eu": job()}
    try:
        found = snapshot([Region(5), Slow(5)], jobs, shape_of(job()), goes_on=goes_on, slow_after_s=1.0)
    finally:
        answers.set()
    assert asked == [(["eu"], ["us"])]
    assert list(found.regions) == ["us", "eu"]
    assert found.regions["us"].free == 5
    assert found.late == (("eu",) if is_left else ())
    assert found.regions["eu"].problem == (Reason.UNREACHABLE if is_left else None)
    assert found.regions["eu"].detail == ("no answer within 1 s" if is_left else "")


def test_a_region_that_answers_and_then_is_late_is_slow_and_not_unreachable() -> None:
    over = threading.Event()

    class Busy(Region):
        name = "eu"

        def plan_job(self, job: dict[str, Any], *, diff: bool = False) -> DryRun:
            assert over.wait(60)
            return super().plan_job(job, diff=diff)

    jobs = {"us": job(), "eu": job()}
    try:
        found = snapshot([Region(5), Busy(5)], jobs, shape_of(job()), goes_on=lambda *_: True, slow_after_s=1.0)
    finally:
        over.set()
    assert found.late == ("eu",)
    assert (found.regions["eu"].problem, found.regions["eu"].detail) == (
        Reason.SLOW,
        "its servers need more than 1 s",
    )


def test_a_scheduler_that_does_not_answer_in_time_gets_a_few_slots_at_a_time() -> None:
    class Busy(Region):
        def plan_job(self, job: dict[str, Any], *, diff: bool = False) -> DryRun:
            raise RegionSlow("no answer in time", region="us")

    answer = look(Busy(5), job(), shape_of(job()), diff=False)
    assert (answer.free, answer.exactness, answer.problem) == (UNKNOWN_FREE, "unknown", None)
    assert "no answer to a dry run in time" in answer.detail
    assert look(Busy(5), job(), shape_of(job())).problem is Reason.SLOW


def test_a_region_that_says_nothing_in_time_is_unreachable() -> None:
    class Paused(Region):
        def nodes(self) -> list[Node]:
            raise RegionSlow("no answer in time", region="us")

    assert look(Paused(5), job(), shape_of(job())).problem is Reason.UNREACHABLE


def test_queued_slots_are_asked_for_beside_those_that_are_wanted() -> None:
    evals = [{"JobID": f"train/dispatch-{number}", "Status": "blocked"} for number in range(90)]
    answer = look(Region(500, evals=evals), job(), shape_of(job()), wanted=60)
    assert (answer.free, answer.exactness, answer.free_text) == (60, "at_least", "60+")


def test_what_a_region_raises_unexpectedly_is_not_lost() -> None:
    class Broken(Region):
        def version(self) -> str:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        snapshot([Broken(5)], {"us": job()}, shape_of(job()))


def test_room_that_only_preemption_would_win_is_said() -> None:
    full = look(FakeRegion("us", 0, evicting=2000), job(), shape_of(job()))
    assert (full.free, full.problem, full.detail) == (0, None, "room only by preemption (--allow-preemption counts it)")


def test_what_no_node_offers_is_named() -> None:
    asked = job()
    asked["TaskGroups"][0]["Tasks"] = [
        {"Name": "t", "Driver": "docker", "Resources": {"Devices": [{"Name": "nvidia/gpu", "Count": 1}]}}
    ]
    asked["TaskGroups"][0]["Volumes"] = {"data": {"Type": "host", "Source": "datasets"}}
    assert look(Region(0, fits=False), asked, shape_of(asked)).detail == (
        "no node has driver docker (they have raw_exec); no node has host volume datasets (they have none); "
        "no node has device nvidia/gpu (they have none)"
    )


@pytest.mark.parametrize(
    ("pool", "counted"),
    [
        ("ml", ["ml"]),
        ("", ["default", ""]),
        (None, ["default", ""]),
        ("default", ["default", ""]),
        ("all", ["ml", "default", ""]),
        ("unknown", []),
    ],
)
def test_only_nodes_of_the_job_s_pool_count(pool: str | None, counted: list[str]) -> None:
    nodes = [node(id=pool, node_pool=pool) for pool in ("ml", "default", "")]  # "": a server before pools
    asked = {**job(), "NodePool": pool}
    answer = look(FakeRegion("us", 5, node_list=nodes), asked, shape_of(job()))
    assert (answer.nodes, [one.node_pool for one in answer.fitting]) == (len(counted), counted)


def test_a_region_that_the_job_may_not_run_in_is_not_asked() -> None:
    region = FakeRegion("us", 5)
    answer = look(region, RegionNotAllowed("only eu"), shape_of(job()))
    assert (answer.problem, answer.detail, region.asked) == (Reason.NOT_ALLOWED, "only eu", 0)


def test_a_region_that_drips_costs_its_own_deadline_and_the_others_are_shown() -> None:
    with hostile_server(DRIPPING["drips the body"]) as server:
        where = nomad_model.Region(name="eu", addresses=(server.address,), datacenters={}, nomad_region="eu")
        dripping = NomadRegion(where).within(5.0)
        answers = snapshot([Region(10), dripping], {"us": job(), "eu": job()}, shape_of(job())).regions
    assert (answers["us"].free, answers["us"].problem) == (10, None)
    assert answers["eu"].problem == Reason.UNREACHABLE
    assert "bytes in" in answers["eu"].detail
    assert "and didn't finish" in answers["eu"].detail
