"""Each trap of python-nomad 2.1.0 bites first, bare, and then doesn't through our client.

The bare half also tells when a new python-nomad no longer needs the wrapping.
"""

from __future__ import annotations

import queue
import threading
from typing import Any

import nomad  # noqa: TID253 - the bare library is what is shown
import pytest

from regions.credentials import SecretRef
from regions.errors import RegionUnreachable

SECRET = "7c1e9a52-0d7b-4c0e-9d55-a5ec4e77e001"
AMBIENT = {
    "NOMAD_TOKEN": "ambient-token",
    "NOMAD_REGION": "ambient-region",
    "NOMAD_NAMESPACE": "ambient-namespace",
}


def bare(recorder: Any, **settings: Any) -> nomad.Nomad:
    return nomad.Nomad(address=recorder.address, timeout=30, **settings)


def test_the_shells_variables_collapse_every_region_into_one(recorder, new_recorder, client, monkeypatch):
    elsewhere = new_recorder()
    for name, value in (AMBIENT | {"NOMAD_ADDR": elsewhere.address}).items():
        monkeypatch.setenv(name, value)

    port = int(recorder.address.rsplit(":", 1)[1])
    nomad.Nomad(host="127.0.0.1", port=port, timeout=30).jobs.get_jobs()
    assert not recorder.seen
    assert elsewhere.seen[0].headers["x-nomad-token"] == "ambient-token"
    assert elsewhere.seen[0].query == {"region": ["ambient-region"], "namespace": ["ambient-namespace"]}
    elsewhere.seen.clear()

    client().job("train")
    assert not elsewhere.seen
    assert "x-nomad-token" not in recorder.seen[0].headers
    assert recorder.seen[0].query == {"region": ["us"], "namespace": ["default"]}


def test_the_idempotency_token_goes_where_nomad_looks(recorder, client):
    bare(recorder).job.dispatch_job("train", idempotency_token="run-0-1")
    assert "idempotency_token" not in recorder.seen[0].query
    recorder.default = type(recorder.default)(body={"DispatchedJobID": "train/dispatch-1-a", "EvalID": None})

    dispatched = client().dispatch("train", meta={"a": "1"}, idempotency_token="run-0-1")
    sent = recorder.calls("/v1/job/train/dispatch")[-1]
    assert sent.query["idempotency_token"] == ["run-0-1"]
    assert sent.body == {"Meta": {"a": "1"}, "Payload": None}
    assert (dispatched.job_id, dispatched.eval_id) == ("train/dispatch-1-a", "")


def test_pages_and_the_lists_index_are_not_lost(recorder, client, reply):
    def stub(n: int) -> dict[str, Any]:
        return {
            "ID": f"{n}",
            "Name": f"j.g[{n}]",
            "JobID": "j",
            "TaskGroup": "g",
            "ClientStatus": "running",
            "DesiredStatus": "run",
        }

    def pages(seen: Any) -> Any:
        if seen.query.get("next_token") == ["second"]:
            return reply(body=[stub(1)], headers={"X-Nomad-Index": "19"})
        return reply(body=[stub(0)], headers={"X-Nomad-Index": "17", "X-Nomad-NextToken": "second"})

    recorder.answers["/v1/allocations"] = pages
    assert len(bare(recorder).allocations.get_allocations()) == 1

    allocations, index = client().allocations()
    assert [one.index for one in allocations] == [0, 1]
    assert index == 17  # what the first page is complete up to


def test_ids_are_quoted(recorder, client):
    bare(recorder).job.get_job("train/dispatch-1-a?stale")
    assert recorder.seen[0].path == "/v1/job/train/dispatch-1-a"

    client().job("train/dispatch-1-a?stale")
    assert recorder.seen[1].path == "/v1/job/train%2Fdispatch-1-a%3Fstale"


def test_the_namespace_is_sent_with_evaluations_and_events(recorder, client, reply):
    recorder.default = reply(body=[])
    bare(recorder, namespace="ml").evaluations.get_evaluations()
    assert "namespace" not in recorder.seen[0].query

    client(namespace="ml").evaluations()
    assert recorder.seen[1].query["namespace"] == ["ml"]
    recorder.stream = lambda handler: handler.wfile.write(b"{}\n")
    assert next(client(namespace="ml").events(topics=["Job"], index=0, stop=threading.Event())) == []
    assert recorder.seen[2].query["namespace"] == ["ml"]


def test_the_token_stays_out_of_repr(recorder, client, tmp_path):
    assert SECRET in repr(bare(recorder, token=SECRET).job)
    path = tmp_path / "token"
    path.write_text(SECRET + "\n")

    ours = client(token=SecretRef(file=path))
    ours.job("train")
    assert recorder.seen[0].headers["x-nomad-token"] == SECRET
    assert SECRET not in repr(ours) + repr(vars(ours)) + repr(ours.region)


def test_one_connection_serves_all_endpoints_of_a_thread(recorder, client, reply):
    recorder.default = reply(body=[])
    unpooled = bare(recorder)
    unpooled.jobs.get_jobs()
    unpooled.nodes.get_nodes()
    unpooled.evaluations.get_evaluations()
    assert recorder.connections == 3

    ours = client()
    ours.jobs()
    ours.nodes()
    ours.evaluations()
    assert recorder.connections == 4
    for session in {
        id(one.session): one.session for one in (unpooled.jobs, unpooled.nodes, unpooled.evaluations)
    }.values():
        session.close()


def test_a_silent_event_stream_is_our_error_and_not_a_strangers(recorder, new_recorder, client):
    gone = new_recorder()
    gone.close()
    streams = nomad.Nomad(address=gone.address).event.stream
    with pytest.raises(nomad.api.exceptions.TimeoutNomadException) as caught:
        streams.request(method="get", stream=True, timeout=1)
    assert not isinstance(caught.value, nomad.api.exceptions.BaseNomadException)

    with pytest.raises(RegionUnreachable, match="connection refused"):
        next(client(addresses=(gone.address,)).events(topics=["Job"], index=0, stop=threading.Event()))


def test_the_end_of_an_event_stream_is_told(recorder, client):
    # python-nomad's thread takes a refused line for an exception that nobody catches, and the queue stays silent.
    recorder.stream = lambda handler: handler.wfile.write(b"{}\nPermission denied")
    events: queue.Queue[Any] = queue.Queue()
    died = threading.Event()
    was_hook, threading.excepthook = threading.excepthook, lambda args: died.set()
    try:
        thread, _, _ = bare(recorder).event.stream.get_stream(event_queue=events)
        thread.start()
        thread.join(timeout=60)
    finally:
        threading.excepthook = was_hook
    assert died.is_set()
    assert events.empty()

    lines = client().events(topics=["Job"], index=0, stop=threading.Event())
    assert next(lines) == []
    with pytest.raises(Exception, match="Permission denied"):
        next(lines)


def test_a_redirect_is_an_answer_and_takes_the_token_nowhere(recorder, new_recorder, client, reply, tmp_path):
    elsewhere = new_recorder()
    recorder.default = reply(status=307, headers={"Location": elsewhere.address + "/v1/job/x"})
    bare(recorder, token=SECRET).job.request("x", method="put", json={})
    assert elsewhere.seen[0].headers["x-nomad-token"] == SECRET
    elsewhere.seen.clear()
    (tmp_path / "token").write_text(SECRET)

    with pytest.raises(Exception, match="HTTP 307 from something that isn't Nomad"):
        client(token=SecretRef(file=tmp_path / "token")).stop_job("x")
    assert not elsewhere.seen
