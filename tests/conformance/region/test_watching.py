"""The event stream and blocking queries."""

from __future__ import annotations

import contextlib
import threading

import pytest

from regions.errors import EventGap, RegionUnreachable
from regions.local.nomad_version import DISPATCH_AT_ONCE
from regions.nomad.decode import allocation_from_json

TOPICS = ("Job", "Evaluation", "Allocation")


BEATS_S = 40.0
"""Servers send a heartbeat each 30 seconds, older ones each 10."""


def watch(region, job_id, *, index=0):
    """The events of a child until its allocation is complete, as (line, event). A stream from 0 begins with what leaves the
    buffer next: on a busy machine servers drop it while it is read, and newer ones don't say so."""
    if index == 0:
        with contextlib.suppress(EventGap, RegionUnreachable):
            return _watch(region, job_id, index)
    return _watch(region, job_id, index)


def _watch(region, job_id, index):
    stop, found = threading.Event(), []
    for number, events in enumerate(region.events(topics=TOPICS, index=index, stop=stop, silence_s=BEATS_S)):
        for event in events:
            if job_id in (event.key, event.payload.get("JobID"), event.payload.get("ID")):
                found.append((number, event))
                if event.topic == "Allocation" and event.payload["ClientStatus"] == "complete":
                    stop.set()
    return found


@pytest.fixture
def child(us, new_job):
    job = new_job(ParameterizedJob={})
    us.register(job, enforce_index=0)
    return us.dispatch(job["ID"], meta={}).job_id


def test_the_order_of_events(us, federation, child):
    found = watch(us, child)
    first = found[0][1]
    assert (first.topic, first.type, first.key, first.namespace) == ("Job", "JobRegistered", child, "default")
    kinds = [(event.topic, event.type) for _, event in found]
    # Since they are written together, a child's evaluation comes with its registration.
    is_at_once = federation.answers_as >= DISPATCH_AT_ONCE
    evaluated = ("Evaluation", "JobRegistered" if is_at_once else "EvaluationUpdated")
    assert kinds[:2] == [("Job", "JobRegistered"), evaluated]
    assert (found[0][1].index == found[1][1].index) is is_at_once
    assert kinds.index(evaluated) < kinds.index(("Allocation", "PlanResult"))
    assert kinds.index(("Allocation", "PlanResult")) < kinds.index(("Allocation", "AllocationUpdated"))
    indexes = [event.index for _, event in found]
    assert indexes == sorted(indexes)
    payload = [event.payload for _, event in found if event.topic == "Allocation"][-1]
    alloc = allocation_from_json(payload)
    assert (alloc.job_id, alloc.client_status, alloc.index) == (child, "complete", 0)
    assert (alloc.tasks["main"].state, alloc.tasks["main"].exit_code) == ("dead", 0)
    assert payload.get("Job") is None


def test_a_registration_tells_of_the_job_and_then_of_its_evaluation(us, new_job):
    job = new_job()
    us.register(job, enforce_index=0)
    told = [(event.topic, event.type) for _, event in watch(us, job["ID"])]
    assert told[:2] == [("Job", "JobRegistered"), ("Evaluation", "JobRegistered")]


def test_the_first_line_is_a_heartbeat(us, new_job):
    stream = us.events(topics=TOPICS, index=0, stop=threading.Event())
    assert next(stream) == []
    stream.close()


def test_resuming_by_index(us, child):
    found = watch(us, child)
    indexes = [event.index for _, event in found]
    resumed = watch(us, child, index=indexes[0])
    assert [event.index for _, event in resumed] == [index for index in indexes if index > indexes[0]]


def test_an_index_ahead_of_all_waits(us, child):
    last = watch(us, child)[-1][1].index
    stop = threading.Event()
    stream = us.events(topics=TOPICS, index=last + 1000, stop=stop)
    assert next(stream) == []  # no error, no old events
    stop.set()
    assert list(stream) == []


def test_what_left_the_buffer_is_a_gap(us, new_job):
    job = new_job(ParameterizedJob={})
    us.register(job, enforce_index=None)
    for priority in range(1, 100):
        us.register(job | {"Priority": priority}, enforce_index=None)
        us.register(job | {"Priority": priority + 1}, enforce_index=None)
    stream = us.events(topics=TOPICS, index=1, stop=threading.Event())
    with pytest.raises(EventGap):
        for _ in stream:
            pass


def test_topics_and_keys(us, federation, new_job, child):
    other = new_job(ParameterizedJob={})
    us.register(other, enforce_index=None)
    stop = threading.Event()
    for events in us.events(topics=[f"Job:{other['ID']}"], index=0, stop=stop):
        for event in events:
            assert (event.topic, event.key) == ("Job", other["ID"])
            assert event.payload["ID"] == other["ID"]
            stop.set()
    assert stop.is_set()


@pytest.mark.parametrize("topic", ["Evaluation", "Allocation"])
def test_filter_keys(us, child, topic):
    """Evaluations and allocations are found by their job's ID too."""
    watch(us, child)
    found = []
    stop = threading.Event()
    for events in us.events(topics=[f"{topic}:{child}"], index=0, stop=stop):
        found += events
        if events and events[-1].payload.get("ClientStatus", events[-1].payload.get("Status")) == "complete":
            stop.set()
    assert {(event.topic, event.payload["JobID"]) for event in found} == {(topic, child)}


def test_a_topic_with_two_keys(federation):
    status, _, text = federation.raw("GET", "/v1/event/stream", topic="Job:a:b")
    assert status == 400
    assert "Invalid key value pair for topic, topic: Job:a:b" in text


def test_a_blocking_query_returns_at_a_change(us, federation, new_job):
    job = new_job(ParameterizedJob={})
    us.register(job, enforce_index=None)
    _, headers, _ = federation.raw("GET", f"/v1/job/{job['ID']}")
    index = int(headers["X-Nomad-Index"])
    answers = []
    ask = threading.Thread(
        target=lambda: answers.append(federation.raw("GET", f"/v1/job/{job['ID']}", index=index, wait="300s"))
    )
    ask.start()
    changed = us.register(job | {"Priority": 60}, enforce_index=None).job_modify_index
    ask.join(timeout=150)
    ((status, headers, text),) = answers
    assert status == 200
    assert '"Priority":60' in text
    assert int(headers["X-Nomad-Index"]) >= changed


def test_a_blocking_query_returns_when_its_time_is_over(federation):
    _, headers, _ = federation.raw("GET", "/v1/nodes")
    index = int(headers["X-Nomad-Index"])
    _, headers, _ = federation.raw("GET", "/v1/nodes", index=index, wait="100ms")
    assert int(headers["X-Nomad-Index"]) >= index
    assert headers["X-Nomad-KnownLeader"] == "true"
    assert headers["X-Nomad-LastContact"] is not None
