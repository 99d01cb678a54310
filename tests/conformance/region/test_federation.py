"""Two regions, one asked for the other."""

from __future__ import annotations

import dataclasses
import threading

import pytest

from regions.errors import NotFound, RegionUnreachable
from regions.nomad.client import NomadRegion


@pytest.fixture
def eu_through_us(federation):
    """Region `eu`, reached at an address of `us`."""
    region = dataclasses.replace(federation.regions["eu"].region, addresses=(federation.addresses["us"],))
    client = NomadRegion(region, deadline_s=60)
    yield client
    client.close()


def test_each_server_knows_all_regions(federation):
    for name, region in federation.regions.items():
        assert region.federation_regions() == ["eu", "us"]
        assert federation.get("/v1/agent/self", via=name)["config"]["Region"] == name


def test_agent_self_is_not_forwarded(federation):
    assert federation.get("/v1/agent/self", region="eu")["config"]["Region"] == "us"


def test_reads_are_forwarded(federation, us, eu_through_us):
    assert eu_through_us.version() == federation.regions["eu"].version()
    assert eu_through_us.leader() == federation.regions["eu"].leader() != us.leader()
    assert [node.name for node in eu_through_us.nodes()] == ["eu-1"]
    assert eu_through_us.agent_time() is not None


def test_a_job_of_one_region_is_none_of_the_other(us, eu_through_us, new_job):
    job = new_job(region="eu", ParameterizedJob={})
    eu_through_us.register(job, enforce_index=0)
    assert eu_through_us.job(job["ID"])["Region"] == "eu"
    with pytest.raises(NotFound):
        us.job(job["ID"])


def test_the_whole_way_of_a_child_through_another_region(federation, eu_through_us, new_job):
    job = new_job(
        "echo hello from $NOMAD_REGION; echo data > $NOMAD_ALLOC_DIR/data/f", region="eu", ParameterizedJob={}
    )
    assert eu_through_us.plan_job(job | {"ParameterizedJob": None}).shortfalls == {}
    eu_through_us.register(job, enforce_index=0)
    stop, states = threading.Event(), []
    stream = eu_through_us.events(topics=["Allocation"], index=0, stop=stop)
    assert next(stream) == []
    child = eu_through_us.dispatch(job["ID"], meta={}).job_id
    for events in stream:
        for event in events:
            if event.payload["JobID"] == child:
                states.append(event.payload["ClientStatus"])
                if states[-1] in ("complete", "failed"):
                    stop.set()
    assert states[0] == "pending"
    assert states[-1] == "complete"
    ((alloc,), _) = eu_through_us.allocations(job_id=child)
    assert alloc.node_name == "eu-1"
    assert eu_through_us.logs(alloc.id, "main") == b"hello from eu\n"
    assert eu_through_us.read_file(alloc.id, "alloc/data/f") == b"data\n"
    eu_through_us.stop_job(child, purge=True)
    with pytest.raises(NotFound):
        federation.regions["eu"].job(child)


def test_a_blocking_query_is_forwarded(federation, eu_through_us, new_job):
    job = new_job(region="eu", ParameterizedJob={})
    index = eu_through_us.register(job, enforce_index=0).job_modify_index
    answers = []
    path = f"/v1/job/{job['ID']}"
    ask = threading.Thread(
        target=lambda: answers.append(federation.raw("GET", path, region="eu", index=index, wait="300s"))
    )
    ask.start()
    eu_through_us.register(job | {"Priority": 60}, enforce_index=index)
    ask.join(timeout=150)
    assert '"Priority":60' in answers[0][2]


def test_a_region_that_nobody_knows(federation):
    region = dataclasses.replace(federation.regions["us"].region, name="mars", nomad_region="mars")
    client = NomadRegion(region, deadline_s=2)
    with pytest.raises(RegionUnreachable, match="No path to region"):
        client.jobs()
    with pytest.raises(RegionUnreachable, match="No path to region"):
        next(client.events(topics=["Job"], index=0, stop=threading.Event()))
    with pytest.raises(RegionUnreachable, match="no living server of Nomad region 'mars'") as caught:
        client.version()
    assert "eu, us" in caught.value.hint
    assert federation.raw("GET", "/v1/jobs", region="mars")[::2] == (500, "No path to region")
    client.close()
