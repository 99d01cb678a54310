"""Nodes made ineligible, and drained: what a batch job's allocations do, what the node tells."""

from __future__ import annotations

import json

import pytest

from regions.local.nomad_version import UNDATED

SECOND = 10**9


@pytest.fixture
def node(federation):
    """The region's only node, given back ready and eligible."""
    (stub,) = federation.get("/v1/nodes")
    yield f"/v1/node/{stub['ID']}"
    federation.raw("PUT", f"/v1/node/{stub['ID']}/drain", body={"DrainSpec": None, "MarkEligible": True})
    federation.wait(f"/v1/node/{stub['ID']}", lambda one: one["SchedulingEligibility"] == "eligible")


def _put(federation, path, body):
    status, headers, text = federation.raw("PUT", path, body=body)
    assert status == 200, text
    reply = json.loads(text)
    assert headers["X-Nomad-Index"] == str(reply["Index"])
    return reply


def _told(node):
    return [event["Message"] for event in node["Events"]]


def _is_blocked(evals):
    return any(one["Status"] == "blocked" for one in evals)


def test_an_ineligible_node_gets_nothing_new(us, federation, node, new_job, in_states):
    reply = _put(federation, f"{node}/eligibility", {"Eligibility": "ineligible"})
    assert (reply["EvalCreateIndex"], reply["EvalIDs"], reply["NodeModifyIndex"]) == (0, None, 0)
    assert reply["Index"] > 0
    now = federation.get(node)
    assert now["SchedulingEligibility"] == "ineligible"
    assert now["Events"][-1]["Message"] == "Node marked as ineligible for scheduling"
    assert now["Events"][-1]["Subsystem"] == "Cluster"
    assert _put(federation, f"{node}/eligibility", {"Eligibility": "ineligible"})["Index"] == 0
    job = new_job()
    us.register(job, enforce_index=0)
    federation.wait(f"/v1/job/{job['ID']}/evaluations", _is_blocked)
    _put(federation, f"{node}/eligibility", {"Eligibility": "eligible"})
    federation.wait_for_allocations(job["ID"], in_states("complete"))
    assert federation.get(node)["Events"][-1]["Message"] == "Node marked as eligible for scheduling"


@pytest.mark.parametrize("state", ["running", "complete"])
def test_a_node_that_is_eligible_again_has_its_jobs_evaluated(us, federation, node, new_job, in_states, state):
    job = new_job("sleep 300" if state == "running" else "true")
    us.register(job, enforce_index=0)
    federation.wait_for_allocations(job["ID"], in_states(state))
    _put(federation, f"{node}/eligibility", {"Eligibility": "ineligible"})
    reply = _put(federation, f"{node}/eligibility", {"Eligibility": "eligible"})
    evals = federation.wait(
        f"/v1/job/{job['ID']}/evaluations", lambda found: all(one["Status"] == "complete" for one in found)
    )
    mine = [one for one in evals if one["TriggeredBy"] == "node-update"]
    if state == "complete" and federation.answers_as >= UNDATED:  # what has ended needs none
        assert mine == []
        return
    assert reply["EvalCreateIndex"] > 0
    (mine,) = mine
    assert mine["ID"] in reply["EvalIDs"]
    assert (mine["NodeID"], "JobModifyIndex" in mine) == (node.rpartition("/")[2], False)


@pytest.mark.parametrize("word", ["maybe", ""])
def test_what_is_no_eligibility(federation, node, word):
    answer = federation.raw("PUT", f"{node}/eligibility", body={"Eligibility": word})
    assert answer[::2] == (500, f'invalid scheduling eligibility "{word}"')


@pytest.mark.parametrize("what", ["eligibility", "drain"])
def test_a_node_that_nobody_knows(federation, what):
    body = {"Eligibility": "eligible", "DrainSpec": {"Deadline": SECOND}}
    path = f"/v1/node/11111111-2222-3333-4444-555555555555/{what}"
    assert federation.raw("PUT", path, body=body)[::2] == (500, "node not found")


def test_batch_work_goes_on_until_it_ends_on_a_draining_node(us, federation, node, new_job, in_states):
    job = new_job("sleep 300")
    us.register(job, enforce_index=0)
    federation.wait_for_allocations(job["ID"], in_states("running"))
    reply = _put(federation, f"{node}/drain", {"DrainSpec": {"Deadline": 3600 * SECOND}, "Meta": {"why": "test"}})
    assert reply["NodeModifyIndex"] == reply["Index"]
    draining = federation.get(node)
    assert (draining["Drain"], draining["SchedulingEligibility"]) == (True, "ineligible")
    assert set(draining["DrainStrategy"]) == {"Deadline", "ForceDeadline", "IgnoreSystemJobs", "StartedAt"}
    assert draining["DrainStrategy"]["Deadline"] == 3600 * SECOND
    assert set(draining["LastDrain"]) == {"AccessorID", "Meta", "StartedAt", "Status", "UpdatedAt"}
    assert (draining["LastDrain"]["Status"], draining["LastDrain"]["Meta"]) == ("draining", {"why": "test"})
    assert draining["Events"][-1]["Message"] == "Node drain strategy set"
    assert federation.get("/v1/nodes")[0]["Drain"] is True
    words = "can not set node's scheduling eligibility to eligible while it is draining"
    assert federation.raw("PUT", f"{node}/eligibility", body={"Eligibility": "eligible"})[::2] == (500, words)

    waiting = new_job()
    us.register(waiting, enforce_index=0)
    federation.wait(f"/v1/job/{waiting['ID']}/evaluations", _is_blocked)
    (same,) = us.allocations(job_id=job["ID"])[0]
    assert (same.desired_status, same.client_status) == ("run", "running")
    us.stop_job(job["ID"])
    federation.wait_for_allocations(job["ID"], in_states("complete"))
    drained = federation.wait(node, lambda one: not one["Drain"])
    assert (drained["DrainStrategy"], drained["SchedulingEligibility"]) == (None, "ineligible")
    assert (drained["LastDrain"]["Status"], drained["LastDrain"]["Meta"]) == ("complete", {"why": "test"})
    assert _told(drained)[-2:] == ["Node drain strategy set", "Node drain complete"]
    assert drained["Events"][-1]["Details"] is None


def test_the_deadline_moves_what_still_runs(us, federation, node, new_job, in_states):
    job = new_job("sleep 300")
    us.register(job, enforce_index=0)
    (alloc,) = federation.wait_for_allocations(job["ID"], in_states("running"))
    _put(federation, f"{node}/drain", {"DrainSpec": {"Deadline": -1}})
    federation.wait_for_allocations(job["ID"], in_states("complete"))
    stopped = federation.get(f"/v1/allocation/{alloc['ID']}")
    assert (stopped["DesiredStatus"], stopped["DesiredDescription"]) == ("stop", "alloc is being migrated")
    assert stopped["DesiredTransition"]["Migrate"] is True
    # Killed tasks haven't failed: to a batch job its work is done, and what waited for room for it is completed.
    # Later versions don't look for room: what a drain stops isn't placed again.
    is_replaced = federation.answers_as < UNDATED
    assert stopped["DesiredTransition"].get("MigrateDisablePlacement") is (None if is_replaced else True)
    evals = federation.wait(
        f"/v1/job/{job['ID']}/evaluations", lambda found: all(one["Status"] == "complete" for one in found)
    )
    expected = {"job-register": 0, "node-drain": int(is_replaced)} | ({"queued-allocs": 0} if is_replaced else {})
    assert {one["TriggeredBy"]: one["QueuedAllocations"]["g"] for one in evals} == expected
    drained = federation.wait(node, lambda one: not one["Drain"])
    assert drained["Events"][-1]["Message"] == "Node drain complete"
    # A busy real Nomad may see that the node is empty before it sees that the deadline is over.
    may_miss = federation.engine != "embedded"
    assert drained["Events"][-1]["Details"] in ({"deadline_reached": "true"}, None if may_miss else {})
    _put(federation, f"{node}/eligibility", {"Eligibility": "eligible"})
    assert [one.id for one in us.allocations(job_id=job["ID"])[0]] == [alloc["ID"]]


def test_a_drain_is_cancelled(us, federation, node, new_job, in_states):
    job = new_job("sleep 300")
    us.register(job, enforce_index=0)
    federation.wait_for_allocations(job["ID"], in_states("running"))
    _put(federation, f"{node}/drain", {"DrainSpec": {"Deadline": 0}})
    _put(federation, f"{node}/drain", {"DrainSpec": {"Deadline": 3600 * SECOND, "IgnoreSystemJobs": True}})
    assert federation.get(node)["DrainStrategy"]["IgnoreSystemJobs"] is True
    _put(federation, f"{node}/drain", {"DrainSpec": None, "MarkEligible": True})
    now = federation.get(node)
    assert (now["Drain"], now["DrainStrategy"], now["SchedulingEligibility"]) == (False, None, "eligible")
    assert now["LastDrain"]["Status"] == "canceled"
    assert _told(now)[-3:] == ["Node drain strategy set", "Node drain strategy updated", "Node drain disabled"]
    (alloc,) = us.allocations(job_id=job["ID"])[0]
    assert alloc.client_status == "running"
