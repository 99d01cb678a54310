"""Dry runs of the scheduler: what has room, what hasn't and why, and that nothing is left behind."""

from __future__ import annotations

import pytest

from federation.capacity.probe import free_slots
from jobs.spec import shape_of
from regions.errors import NotFound


@pytest.fixture(autouse=True)
def _empty_node(federation):
    """Wait until nothing of earlier tests holds room."""
    ended = ("complete", "failed", "lost")
    federation.wait("/v1/allocations", lambda stubs: all(stub["ClientStatus"] in ended for stub in stubs))


@pytest.mark.parametrize(
    ("resources", "room", "dimension"),
    [({"CPU": 100, "MemoryMB": 10}, 40, "cpu"), ({"CPU": 10, "MemoryMB": 100}, 20, "memory")],
)
def test_a_thousand_small_tasks_fill_the_node(us, new_job, task, resources, room, dimension):
    job = new_job(count=1000, tasks=[task("main", "true", Resources=resources)])
    dry_run = us.plan_job(job)
    (shortfall,) = dry_run.shortfalls.values()
    assert 1000 - (shortfall.coalesced + 1) == room
    assert shortfall.dimension_exhausted == {dimension: 1}
    assert (shortfall.nodes_evaluated, shortfall.nodes_exhausted, shortfall.nodes_filtered) == (1, 1, 0)
    assert shortfall.nodes_available == {"us-east-1": 1}
    assert set(dry_run.shortfalls) == {"g"}
    assert dry_run.job_modify_index == 0
    with pytest.raises(NotFound):
        us.job(job["ID"])
    assert us.allocations(job_id=job["ID"])[0] == []


@pytest.mark.parametrize(("count", "slots"), [(1, 40), (3, 13), (51, 0), (501, 0)])
def test_free_slots_are_found_within_the_count_that_servers_allow_a_job(us, new_job, task, count, slots):
    """Since 1.11 the servers refuse 100 slots of 501 allocations: 50,000 is their limit."""
    job = new_job(
        count=count, tasks=[task("main", "true", Resources={"CPU": 100, "MemoryMB": 10})], ParameterizedJob={}
    )
    found = free_slots(us, job, shape_of(job))
    assert (found.slots, found.is_least) == (slots, False)


def test_what_has_room(us, new_job):
    dry_run = us.plan_job(new_job(count=3))
    assert dry_run.shortfalls == {}
    assert dry_run.preempted == 0


def test_a_prestart_and_a_main_task_share_their_maximum(us, new_job, task):
    prestart = task(
        "get", "true", Resources={"CPU": 400, "MemoryMB": 10}, Lifecycle={"Hook": "prestart", "Sidecar": False}
    )
    main = task("main", "true", Resources={"CPU": 200, "MemoryMB": 10})
    (shortfall,) = us.plan_job(new_job(count=1000, tasks=[prestart, main])).shortfalls.values()
    assert 1000 - (shortfall.coalesced + 1) == 10


def test_a_parameterized_parent_is_planned_as_if_it_ran(us, new_job, task):
    job = new_job(count=1000, tasks=[task("main", "true", Resources={"CPU": 100, "MemoryMB": 10})], ParameterizedJob={})
    us.register(job, enforce_index=0)
    (shortfall,) = us.plan_job(job).shortfalls.values()
    assert 1000 - (shortfall.coalesced + 1) == 40
    assert us.allocations(job_id=job["ID"])[0] == []


def test_a_driver_that_no_node_offers(us, new_job, task):
    job = new_job(tasks=[task("main", "true", Driver="docker", Config={"image": "busybox"})])
    (shortfall,) = us.plan_job(job).shortfalls.values()
    assert shortfall.constraint_filtered == {"missing drivers": 1}
    assert (shortfall.coalesced, shortfall.nodes_filtered) == (0, 1)


def test_a_datacenter_that_does_not_exist(us, new_job):
    (shortfall,) = us.plan_job(new_job(Datacenters=["nowhere"])).shortfalls.values()
    assert shortfall.nodes_evaluated == 0
    assert not shortfall.nodes_available.get("us-east-1")


def test_a_constraint_that_no_node_meets(us, new_job):
    constraint = {"LTarget": "${node.datacenter}", "RTarget": "mars", "Operand": "="}
    (shortfall,) = us.plan_job(new_job(Constraints=[constraint])).shortfalls.values()
    assert shortfall.constraint_filtered == {"${node.datacenter} = mars": 1}


def test_the_probe_sees_what_runs(us, federation, new_job, task, in_states):
    running = new_job(tasks=[task("main", "sleep 300", Resources={"CPU": 2000, "MemoryMB": 10})])
    us.register(running, enforce_index=None)
    federation.wait_for_allocations(running["ID"], in_states("running"))
    probe = new_job(count=1000, tasks=[task("main", "true", Resources={"CPU": 500, "MemoryMB": 10})])
    (shortfall,) = us.plan_job(probe).shortfalls.values()
    assert 1000 - (shortfall.coalesced + 1) == 4

    us.stop_job(running["ID"])
    federation.wait_for_allocations(running["ID"], in_states("complete", "failed"))
    (shortfall,) = us.plan_job(probe).shortfalls.values()
    assert 1000 - (shortfall.coalesced + 1) == 8


def test_a_diff(us, new_job):
    job = new_job(ParameterizedJob={}, Meta={"a": "1"})
    assert us.plan_job(job, diff=True).diff_type == "Added"
    index = us.register(job, enforce_index=None).job_modify_index
    same = us.plan_job(job, diff=True)
    assert (same.diff_type, same.job_modify_index) == ("None", index)
    edited = us.plan_job(job | {"Meta": {"a": "2"}}, diff=True)
    assert edited.diff_type == "Edited"
    (field,) = edited.diff["Fields"]
    assert (field["Name"], field["Old"], field["New"], field["Type"]) == ("Meta[a]", "1", "2", "Edited")
    assert us.job(job["ID"])["Meta"] == {"a": "1"}
