"""A region that drips, floods or speaks nonsense: each call ends by its deadline or its limit of bytes, and says which."""

from __future__ import annotations

import json
import re
import threading
import tracemalloc
from collections.abc import Callable

import pytest

from regions.call_limits import CallLimits
from regions.errors import NotFound, RegionError, RegionSlow, RegionUnreachable, UnexpectedAnswer
from regions.model import Region
from regions.nomad import event_stream
from regions.nomad.client import NomadRegion
from tests.emulators.hostile import BROKEN, DRIPPING, ENDLESS, HEAD, Way, answer, drip_handshake, hostile_server
from tests.emulators.wire_proxy import Mode, wire_proxy

DEADLINE_S = 0.6


def region(*addresses: str) -> NomadRegion:
    return NomadRegion(
        Region(name="us", addresses=addresses, datacenters={}, nomad_region="us"), timeout_s=10, deadline_s=30
    )


def refused(call: Callable[[], object]) -> RegionError:
    with pytest.raises(RegionError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("way", DRIPPING)
def test_an_answer_that_is_not_complete_at_the_deadline_is_none(way: str) -> None:
    with hostile_server(DRIPPING[way]) as server:
        error = refused(region(server.address).within(DEADLINE_S).jobs)
    assert type(error) is RegionSlow
    assert re.search(r"no answer in time \(|answered [\d,]+ bytes in .* s and didn't finish", str(error))


def test_a_dry_run_that_takes_too_long_is_not_asked_for_again() -> None:
    with hostile_server(DRIPPING["never answers"]) as server:
        error = refused(lambda: region(server.address, server.address).within(DEADLINE_S).plan_job({"ID": "train"}))
    assert type(error) is RegionSlow
    assert len(server.requests) == 1


def test_the_message_tells_how_much_came_and_in_which_time() -> None:
    dripping, silent = CallLimits(0.0), CallLimits(0.0)
    dripping.received(1312)
    assert re.fullmatch(r"answered 1,312 bytes in \d+\.\d s and didn't finish", str(dripping.overdue()))
    assert re.fullmatch(r"no answer in time \(\d+\.\d s\)", str(silent.overdue()))


@pytest.mark.parametrize("way", ["drips headers", "drips the body"])
def test_a_write_that_was_sent_and_not_answered_whole_may_have_been_done(way: str) -> None:
    with hostile_server(DRIPPING[way]) as server:
        error = refused(lambda: region(server.address).within(DEADLINE_S).register({"ID": "train"}, enforce_index=0))
    assert type(error) is RegionUnreachable
    assert "whether it took effect is unknown" in str(error)
    assert len(server.requests) == 1


def test_one_dripping_address_does_not_use_up_the_time_of_the_others() -> None:
    with hostile_server(DRIPPING["drips the body"]) as slow, hostile_server(answer(b"[]")) as good:
        assert region(slow.address, good.address).within(6.0).jobs() == []


def test_a_server_that_drips_its_tls_handshake_has_the_call_s_time_only() -> None:
    with hostile_server(drip_handshake, is_patient=False) as server:
        error = refused(region(server.address.replace("http:", "https:")).within(DEADLINE_S).jobs)
    assert type(error) is RegionUnreachable
    assert "no answer in time" in str(error)


@pytest.mark.parametrize("way", ENDLESS)
def test_an_answer_larger_than_any_of_nomads_is_refused_in_bounded_memory(way: str) -> None:
    with hostile_server(ENDLESS[way]) as server:
        tracemalloc.start()
        try:
            error = refused(region(server.address).jobs)
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert type(error) is UnexpectedAnswer
    assert "the answer has more than 64 MiB" in str(error)
    assert peak_bytes < 256 << 20


@pytest.mark.parametrize("way", BROKEN)
def test_what_is_not_http_is_an_error_of_the_region(way: str) -> None:
    """A slow machine may need longer for one try: then it gets more."""
    with hostile_server(BROKEN[way]) as server:
        errors = (refused(region(server.address).within(deadline_s).jobs) for deadline_s in (DEADLINE_S, 5.0, 30.0))
        error = next((one for one in errors if type(one) is not RegionSlow), None)
    assert type(error) in (RegionUnreachable, UnexpectedAnswer)


def test_of_an_endless_refusal_only_the_beginning_is_read() -> None:
    def way(server, connection):  # type: ignore[no-untyped-def]
        server.send(connection, b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\njob not found ")
        server.flood(connection, b"x" * 65536)

    with hostile_server(way) as server:
        error = refused(lambda: region(server.address).job("train"))
    assert type(error) is NotFound


def test_a_redirect_is_never_followed() -> None:
    with hostile_server(answer(b"[]")) as stranger:
        to_stranger = answer(b"", status="307 Temporary Redirect", headers=f"Location: {stranger.address}/v1/jobs\r\n")
        with hostile_server(to_stranger) as server:
            error = refused(region(server.address).jobs)
    assert type(error) is UnexpectedAnswer
    assert stranger.requests == []


def test_a_log_has_at_most_the_bytes_that_were_asked_for() -> None:
    with hostile_server(ENDLESS["endless body"]) as server:
        error = refused(lambda: region(server.address).logs("a", "main", tail_bytes=1000))
    assert type(error) is UnexpectedAnswer
    assert server.sent_bytes < 64 << 20


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("404 Not Found", "state for allocation 1b6dd9b5-5a0e-4a5c-8f4d-1c9a1d3f2f10 not found on client"),
        ("404 Not Found", 'task "train.v1" not started yet. No logs available'),
        ("400 Bad Request", 'unknown task name "train"'),
        ("400 Bad Request", 'file "alloc/data" is a directory'),
        ("500 Internal Server Error", 'log entry for task "train.v1" and log type "stdout" not found'),
        ("404 Not Found", 'Unknown allocation "1b6dd9b5"'),
        ("404 Not Found", "No path to node"),
        ("500 Internal Server Error", 'Unknown node "1b6dd9b5"'),
        ("500 Internal Server Error", "rpc error: alloc lookup failed: index error: UUID must be 36 characters"),
        ("500 Internal Server Error", "Node does not support RPC; requires 0.8 or later"),
    ],
)
def test_what_a_node_no_longer_has_is_not_found_at_once(status: str, text: str) -> None:
    with hostile_server(answer(text.encode(), status=status)) as server:
        error = refused(lambda: region(server.address).logs("a", "train"))
    assert type(error) is NotFound
    assert len(server.requests) == 1


# ── the event stream ──────────────────────────────────────────────────────────────────────────────────────────────────


def stream_error(way: Way, silence_s: float = DEADLINE_S) -> tuple[int, RegionError]:
    """How many lines came, and what ended the stream."""
    got = 0
    with hostile_server(way) as server:
        lines = region(server.address).events(topics=["Job"], index=0, stop=threading.Event(), silence_s=silence_s)
        try:
            for _ in lines:
                got += 1
        except RegionError as error:
            return got, error
    raise AssertionError("the stream ended without an error")


@pytest.mark.parametrize("way", [way for way in DRIPPING if way != "drips a packed body"])
def test_a_stream_without_a_whole_line_is_silent(way: str) -> None:
    got, error = stream_error(DRIPPING[way])
    assert got == 0
    assert isinstance(error, RegionUnreachable)


def test_blank_lines_are_no_sign_of_life_and_heartbeats_are() -> None:
    def way(server, connection):  # type: ignore[no-untyped-def]
        server.send(connection, HEAD + b"\r\n")
        for _ in range(5):
            server.send(connection, b"{}\n")
            server.is_over.wait(0.3)
        server.drip(connection, b"\n")

    got, error = stream_error(way, silence_s=3.0)
    assert got == 5
    assert "and didn't finish" in str(error)


def test_a_line_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "LINE_BYTES_MAX", 1 << 20)

    def way(server, connection):  # type: ignore[no-untyped-def]
        server.send(connection, HEAD + b"\r\n{")
        server.flood(connection, b" " * 65536)

    got, error = stream_error(way, silence_s=60)
    assert got == 0
    assert type(error) is UnexpectedAnswer
    assert "a line of the stream has more than 1 MiB" in str(error)


def test_a_long_line_in_many_pieces_is_read_whole() -> None:
    payload = {"Job": {"ID": "k", "Meta": {"text": "x" * 3_000_000}}}
    event = {"Topic": "Job", "Type": "T", "Key": "k", "Index": 7, "Payload": payload}
    with hostile_server(answer(json.dumps({"Index": 7, "Events": [event]}).encode() + b"\n{}\n")) as server:
        lines = region(server.address).events(topics=["Job"], index=0, stop=threading.Event())
        (got,) = next(lines)
        assert got.payload["Meta"]["text"] == "x" * 3_000_000
        assert next(lines) == []
        lines.close()


# ── a network between us and an honest region ─────────────────────────────────────────────────────────────────────────

NETWORK: list[Mode] = ["drip", "cut", "one_way", "max_bytes"]


@pytest.mark.parametrize("mode", NETWORK)
def test_a_region_behind_a_bad_network_is_unreachable_until_it_is_mended(mode: Mode) -> None:
    jobs = [{"ID": f"job-{number}"} for number in range(100)]
    with hostile_server(answer(json.dumps(jobs).encode())) as server, wire_proxy(server.address) as proxy:
        client = region(f"http://{proxy.address}")
        assert client.jobs() == jobs
        proxy.mode(mode, limit_bytes=10)
        assert isinstance(refused(client.within(DEADLINE_S).jobs), RegionUnreachable)
        proxy.mode()
        assert client.jobs() == jobs


@pytest.mark.parametrize("mode", ["delay", "rate"])
def test_a_region_that_is_slow_and_answers_whole_in_time_is_read(mode: Mode) -> None:
    jobs = [{"ID": f"job-{number}"} for number in range(100)]
    with hostile_server(answer(json.dumps(jobs).encode())) as server, wire_proxy(server.address) as proxy:
        proxy.mode(mode, pause_s=0.01, limit_bytes=500)
        assert region(f"http://{proxy.address}").jobs() == jobs
