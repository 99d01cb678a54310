"""How long a request is tried, and how large files are cut: with the clock and the pauses in the test's hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from regions.storage import retry
from regions.storage.errors import Unavailable
from regions.storage.object_metadata import Noted, read_fields
from regions.storage.parts import send_parts
from regions.storage.retry import CONFLICT_TRIES, Patience, RequestConflict, Retries, seconds_of

AT_ONCE = 4


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What was slept; the clock goes on by it, and no jitter shortens it."""
    found: list[float] = []
    monkeypatch.setattr(retry.time, "sleep", found.append)
    monkeypatch.setattr(retry.time, "monotonic", lambda: sum(found))
    monkeypatch.setattr(retry.random, "uniform", lambda low, high: high)
    return found


def tried(patience: Patience, failure: Unavailable) -> int:
    """How many tries there were."""
    retries = Retries(patience)
    for tries in range(1, 100):
        try:
            retries.wait(failure)
        except Unavailable:
            return tries
    raise AssertionError("it is tried for ever")


def test_pauses_double_up_to_a_limit_and_tries_are_bounded(pauses: list[float]) -> None:
    assert tried(Patience(tries=6, first_wait_s=1, longest_wait_s=5), Unavailable("down")) == 6
    assert pauses == [1, 2, 4, 5, 5]


def test_no_try_starts_after_the_deadline(pauses: list[float]) -> None:
    assert tried(Patience(tries=50, deadline_s=10, first_wait_s=1, longest_wait_s=4), Unavailable("down")) == 4
    assert sum(pauses) <= 10


def test_the_stores_wish_counts_unless_it_is_past_the_deadline(pauses: list[float]) -> None:
    busy = Unavailable("busy")
    busy.retry_after_s = 20
    assert tried(Patience(tries=6, deadline_s=50), busy) == 3
    assert pauses == [20, 20]


def test_what_does_not_pass_is_not_tried_again(pauses: list[float]) -> None:
    failure = Unavailable("something else answers there")
    failure.is_passing = False
    assert tried(Patience(), failure) == 1
    assert pauses == []


def test_a_conflict_is_tried_at_once_and_more_often(pauses: list[float]) -> None:
    assert tried(Patience(), RequestConflict("two at once")) == CONFLICT_TRIES
    assert max(pauses) < 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, 0), ("", 0), ("7", 7), (" 120 ", 120), ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("-1", 0)],
)
def test_a_wish_is_read_in_seconds(header: str | None, seconds: float) -> None:
    assert seconds_of(header) == seconds


def test_a_wish_may_be_a_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry.time, "time", lambda: 1_445_412_470.0)
    assert seconds_of("Wed, 21 Oct 2015 07:28:00 GMT") == 10


def test_parts_are_sent_some_at_once_and_read_as_they_are_needed() -> None:
    read: list[int] = []
    all_under_way = threading.Barrier(AT_ONCE)

    def parts() -> Iterator[bytes]:
        for number in range(3 * AT_ONCE):
            read.append(number)
            yield bytes([number])

    def send(number: int, part: bytes) -> int:
        assert max(read) < number + AT_ONCE  # no more than those in flight are in memory
        all_under_way.wait(timeout=30)
        return part[0]

    assert send_parts(parts(), send, AT_ONCE) == list(range(3 * AT_ONCE))


def test_the_first_part_that_fails_ends_it() -> None:
    sent: list[int] = []

    def send(number: int, part: bytes) -> None:
        sent.append(number)
        if number == 1:
            raise Unavailable("number 1")

    with pytest.raises(Unavailable, match="number 1"):
        send_parts((b"" for _ in range(1000)), send, AT_ONCE)
    assert len(sent) < 20


def test_a_file_that_cannot_be_read_on_ends_it() -> None:
    def parts() -> Iterator[bytes]:
        yield b"one"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        send_parts(parts(), lambda number, part: part, AT_ONCE)


@pytest.mark.parametrize("value", ["", "plain", "100%25", "Zoë", "日本語\n", " spaces "])
def test_what_is_noted_is_printable_ascii_and_comes_back(value: str) -> None:
    fields = Noted("ab" * 32, "0" * 32, "text/plain", {"name": value}).fields()
    assert all("!" <= char <= "~" for text in fields.values() for char in text)
    assert read_fields(fields) == ("ab" * 32, "0" * 32, {"name": value})


def test_what_others_noted_is_left_as_it_is() -> None:
    assert read_fields({"note": "100%25"}) == (None, None, {"note": "100%25"})
