"""The order and the gaps of an event stream, its refusals, and that it ends when told to."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from regions.credentials import SecretRef
from regions.errors import EventGap, PermissionDenied, RegionError, RegionUnreachable, Throttled


def line(index: int, topic: str = "Job") -> bytes:
    event = {"Topic": topic, "Type": "T", "Key": f"k{index}", "Index": index, "Payload": {topic: {"ID": f"k{index}"}}}
    return json.dumps({"Index": index, "Events": [event]}).encode() + b"\n"


def streamed(recorder: Any, client: Any, *lines: bytes, index: int = 0) -> tuple[list[list[int]], RegionError]:
    """What comes out (indexes a line) and the error that ends it."""
    recorder.stream = lambda handler: handler.wfile.write(b"".join(lines))
    got: list[list[int]] = []
    lines_read = client().events(topics=["Job"], index=index, stop=threading.Event())
    with pytest.raises(RegionError) as caught:
        got.extend([event.index for event in events] for events in lines_read)
    return got, caught.value


def test_lines_events_and_heartbeats(recorder, client):
    recorder.stream = lambda handler: handler.wfile.write(b"{}\n" + line(5) + b"{}\n" + line(7, "Allocation"))
    lines = client(namespace="ml").events(topics=["Job", "Allocation:a"], index=0, stop=threading.Event())
    assert next(lines) == []
    (event,) = next(lines)
    assert (event.topic, event.key, event.index, event.payload) == ("Job", "k5", 5, {"ID": "k5"})
    assert next(lines) == []
    assert next(lines)[0].payload == {"ID": "k7"}
    lines.close()
    query = recorder.seen[0].query
    assert query["topic"] == ["Job", "Allocation:a"]
    assert (query["index"], query["region"], query["namespace"]) == (["0"], ["us"], ["ml"])


@pytest.mark.parametrize(
    ("index", "lines", "got", "is_gap"),
    [
        (5, [5, 6, 9], [6, 9], False),  # the buffer still holds 5
        (5, [4, 6, 9], [6, 9], False),  # nothing after 4 yet when it was asked: Nomad repeats its last line
        (5, [6, 7], [], True),  # the buffer begins after 5: what lay between is lost
        (5, [5, 6, 4], [6], True),  # stepped back: another history
        (5, [3, 4], [], True),  # likewise, after a restart with an empty state
        (0, [6, 7], [6, 7], False),  # from 0 all is welcome
        (0, [6, 5], [6], True),
    ],
)
def test_gaps(recorder, client, index, lines, got, is_gap):
    seen, error = streamed(recorder, client, b"{}\n", *map(line, lines), index=index)
    assert [one for one in seen if one] == [[one] for one in got]
    assert isinstance(error, EventGap if is_gap else RegionUnreachable)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"subscription closed by server, client should resubscribe", EventGap),
        (b"event dropped from buffer", EventGap),
        (b"Permission denied", PermissionDenied),
        (b"something else", RegionUnreachable),
    ],
)
def test_a_refusal_inside_the_stream(recorder, client, text, error):
    got, raised = streamed(recorder, client, line(3), text)
    assert got == [[3]]
    assert type(raised) is error
    assert text.decode() in str(raised)


def test_a_refusal_before_the_stream(recorder, client, reply):
    recorder.default = reply(403, "Permission denied")
    with pytest.raises(PermissionDenied):
        next(client().events(topics=["Job"], index=0, stop=threading.Event()))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((403, "Permission denied"), PermissionDenied),
        ((500, "No path to region"), RegionUnreachable),
        ((429, "too many requests"), Throttled),
    ],
)
@pytest.mark.parametrize(("topic", "path"), [("Allocation", "/v1/allocations"), ("Node", "/v1/nodes")])
def test_a_refused_stream_that_says_nothing_has_the_reason_of_a_list(
    recorder, client, reply, topic, path, answer, error
):
    recorder.answers[path] = [reply(*answer)]
    recorder.stream = lambda handler: None  # 200 and the end, as servers answer since 1.11.2
    with pytest.raises(error, match=answer[1]) as caught:
        list(client(deadline_s=0.5).events(topics=[topic], index=0, stop=threading.Event()))
    assert type(caught.value) is error
    assert caught.value.operation == "events"
    assert recorder.seen[-1].query["region"] == ["us"]


def test_a_refused_stream_that_stays_open_and_silent_has_the_reason_of_a_list(recorder, client, reply):
    is_over = threading.Event()
    recorder.answers["/v1/allocations"] = [reply(403, "Permission denied")]

    def silent(handler: Any) -> None:
        handler.wfile.flush()
        is_over.wait(60)

    recorder.stream = silent
    try:
        with pytest.raises(PermissionDenied, match="Permission denied"):
            list(client().events(topics=["Allocation"], index=0, stop=threading.Event()))
    finally:
        is_over.set()


def test_a_stream_that_is_late_and_not_refused_is_waited_for(recorder, client, reply):
    asked = threading.Event()

    def listed(seen: Any) -> Any:
        asked.set()
        return reply(200, [])

    recorder.answers["/v1/allocations"] = listed

    def late(handler: Any) -> None:
        handler.wfile.flush()
        assert asked.wait(60)
        handler.wfile.write(b"{}\n" + line(3))

    recorder.stream = late
    lines = client().events(topics=["Allocation"], index=0, stop=threading.Event())
    assert next(lines) == []
    assert [event.index for event in next(lines)] == [3]
    lines.close()


def test_a_token_that_was_rotated_is_read_anew_when_a_stream_is_refused_without_a_word(
    recorder, client, reply, tmp_path
):
    file = tmp_path / "token"
    file.write_text("old")

    def listed(seen: Any) -> Any:
        return reply(200, []) if seen.headers["x-nomad-token"] == "new" else reply(403, "Permission denied")

    recorder.answers["/v1/allocations"] = listed
    recorder.stream = lambda handler: handler.headers["X-Nomad-Token"] == "new" and handler.wfile.write(b"{}\n")
    region = client(token=SecretRef(file=file))
    file.write_text("old")
    with pytest.raises(PermissionDenied):
        list(region.events(topics=["Allocation"], index=0, stop=threading.Event()))
    file.write_text("new")
    with pytest.raises(RegionUnreachable, match="without a word"):
        list(region.events(topics=["Allocation"], index=0, stop=threading.Event()))
    lines = region.events(topics=["Allocation"], index=0, stop=threading.Event())
    assert next(lines) == []
    lines.close()


def test_it_ends_while_nothing_comes(recorder, client):
    is_over = threading.Event()

    def quiet(handler: Any) -> None:
        handler.wfile.write(b"{}\n")
        handler.wfile.flush()
        is_over.wait(20)

    recorder.stream = quiet
    stop = threading.Event()
    lines = client().events(topics=["Job"], index=0, stop=stop)
    assert next(lines) == []
    threading.Timer(0.05, stop.set).start()
    assert list(lines) == []
    is_over.set()


def test_it_does_not_begin_when_told_to_stop(recorder, client):
    stop = threading.Event()
    stop.set()
    assert list(client().events(topics=["Job"], index=0, stop=stop)) == []
    assert not recorder.seen
