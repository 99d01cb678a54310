"""sysbatch jobs: once on every node that can run them; unknown before 1.2."""

from __future__ import annotations

import json

import pytest

from tests.conformance.region.conftest import shell_task


@pytest.fixture
def has_sysbatch(us):
    return us.version() != "1.1.2"


def test_it_runs_once_on_the_node(us, federation, new_job, in_states, has_sysbatch):
    job = new_job(Type="sysbatch")
    if not has_sysbatch:
        status, _, text = federation.raw("PUT", "/v1/jobs", body={"Job": job})
        assert (status, text) == (500, '1 error occurred:\n\t* Invalid job type: "sysbatch"\n\n')
        return
    us.register(job, enforce_index=0)
    (alloc,) = federation.wait_for_allocations(job["ID"], in_states("complete"))
    assert (alloc["Name"], alloc["JobType"]) == (f"{job['ID']}.g[0]", "sysbatch")
    (evaluation,) = federation.wait(
        f"/v1/job/{job['ID']}/evaluations", lambda found: all(one["Status"] == "complete" for one in found)
    )
    assert (evaluation["Type"], evaluation["QueuedAllocations"]) == ("sysbatch", {"g": 0})
    stored = federation.wait(f"/v1/job/{job['ID']}", lambda one: one["Status"] == "dead")
    assert stored["TaskGroups"][0]["ReschedulePolicy"] == {
        "Attempts": 0,
        "Delay": 0,
        "DelayFunction": "",
        "Interval": 0,
        "MaxDelay": 0,
        "Unlimited": False,
    }
    # What ran isn't run again for the same job, but for a changed one.
    us.register(job, enforce_index=None)
    us.evaluate(job["ID"])
    federation.wait(
        f"/v1/job/{job['ID']}/evaluations",
        lambda found: len(found) >= 2 and all(one["Status"] == "complete" for one in found),
    )
    assert len(us.allocations(job_id=job["ID"])[0]) == 1
    job["TaskGroups"][0]["Tasks"][0]["Env"] = {"NEW": "1"}
    us.register(job, enforce_index=None)
    both = federation.wait_for_allocations(job["ID"], lambda stubs: len(stubs) == 2 and in_states("complete")(stubs))
    (new,) = (one for one in both if one["ID"] != alloc["ID"])
    assert federation.get(f"/v1/allocation/{new['ID']}")["PreviousAllocation"] == alloc["ID"]


@pytest.mark.parametrize(
    ("fields", "cpu", "expected"),
    [
        ({}, 20, None),
        ({}, 5000, ({"cpu": 1}, None, {"us-east-1": 1}, 0)),
        ({"Constraints": [{"LTarget": "a", "RTarget": "b", "Operand": "="}]}, 20, (None, {"a = b": 1}, None, 1)),
    ],
)
def test_what_has_no_place(federation, new_job, has_sysbatch, fields, cpu, expected):
    if not has_sysbatch:
        pytest.skip("no sysbatch jobs before 1.2")
    job = new_job(Type="sysbatch", tasks=[shell_task("main", "true", Resources={"CPU": cpu, "MemoryMB": 10})], **fields)
    status, _, text = federation.raw("PUT", f"/v1/job/{job['ID']}/plan", body={"Job": job})
    assert status == 200, text
    plan = json.loads(text)
    failed = plan["FailedTGAllocs"]
    names = ("DimensionExhausted", "ConstraintFiltered", "NodesAvailable", "NodesFiltered")
    assert (failed and tuple(failed["g"][name] for name in names)) == expected
    assert plan["Annotations"]["DesiredTGUpdates"]["g"]["Place"] == (0 if "Constraints" in fields else 1)


def test_a_stopped_one_stays_away(us, federation, new_job, in_states, has_sysbatch):
    if not has_sysbatch:
        pytest.skip("no sysbatch jobs before 1.2")
    job = new_job("sleep 300", Type="sysbatch")
    us.register(job, enforce_index=0)
    (alloc,) = federation.wait_for_allocations(job["ID"], in_states("running"))
    federation.raw("PUT", f"/v1/allocation/{alloc['ID']}/stop")
    federation.wait_for_allocations(job["ID"], in_states("complete"))
    stopped = federation.get(f"/v1/allocation/{alloc['ID']}")
    assert stopped["DesiredDescription"] == "alloc not needed as node is tainted"
    assert len(us.allocations(job_id=job["ID"])[0]) == 1
