"""How long a request is tried, and how large files are cut: with the clock and the pauses in the test's hand."""

from __future__ import annotations

import threading

import pytest

from regions.storage import retry
from regions.storage.errors import IntegrityError, Unavailable
from regions.storage.object_metadata import Noted, read_fields
from regions.storage.parts import send_parts
from regions.storage.retry import CONFLICT_TRIES, Patience, RequestConflict, Retries

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


def test_parts_are_sent_some_at_once_and_read_as_they_are_needed() -> None:
    in_memory: set[int] = set()
    lock = threading.Lock()
    all_under_way = threading.Barrier(AT_ONCE)

    def read(number: int) -> bytes:
        with lock:
            in_memory.add(number)
            assert len(in_memory) <= AT_ONCE
        return bytes([number])

    def send(number: int, part: bytes) -> int:
        all_under_way.wait(timeout=30)
        with lock:
            in_memory.remove(number)
        return part[0]

    assert send_parts(3 * AT_ONCE, read, _unchecked, send, AT_ONCE) == list(range(3 * AT_ONCE))


def test_a_slow_part_holds_no_other_back() -> None:
    others_sent = threading.Event()
    sent: list[int] = []

    def send(number: int, part: bytes) -> int:
        if number == 0:
            assert others_sent.wait(30)
            return number
        sent.append(number)
        if len(sent) == 99:
            others_sent.set()
        return number

    assert send_parts(100, lambda number: b"", _unchecked, send, AT_ONCE) == list(range(100))


def test_parts_are_checked_in_order_and_none_is_sent_unchecked() -> None:
    checked: list[int] = []

    def send(number: int, part: bytes) -> None:
        assert number in checked

    send_parts(100, lambda number: b"", lambda number, part: checked.append(number), send, AT_ONCE)
    assert checked == list(range(100))


def test_the_first_part_that_fails_ends_it() -> None:
    sent: list[int] = []

    def send(number: int, part: bytes) -> None:
        sent.append(number)
        if number == 1:
            raise Unavailable("number 1")

    with pytest.raises(Unavailable, match="number 1"):
        send_parts(1000, lambda number: b"", _unchecked, send, 1)
    assert sent == [0, 1]


def test_a_part_that_is_refused_is_not_sent_nor_any_after_it() -> None:
    sent: list[int] = []

    def check(number: int, part: bytes) -> None:
        if number == 3:
            raise IntegrityError("it changed")

    with pytest.raises(IntegrityError, match="it changed"):
        send_parts(1000, lambda number: b"", check, lambda number, part: sent.append(number), AT_ONCE)
    assert set(sent) <= {0, 1, 2}


def test_a_file_that_cannot_be_read_on_ends_it() -> None:
    def read(number: int) -> bytes:
        if number:
            raise OSError("the disk is gone")
        return b"one"

    with pytest.raises(OSError, match="the disk is gone"):
        send_parts(9, read, _unchecked, lambda number, part: part, AT_ONCE)


def _unchecked(number: int, part: bytes) -> None:
    """Nothing is checked."""


@pytest.mark.parametrize("value", ["", "plain", "100%25", "Zoë", "日本語\n", " spaces "])
def test_what_is_noted_is_printable_ascii_and_comes_back(value: str) -> None:
    fields = Noted("ab" * 32, "0" * 32, "text/plain", {"name": value}).fields()
    assert all("!" <= char <= "~" for text in fields.values() for char in text)
    assert read_fields(fields) == ("ab" * 32, "0" * 32, {"name": value})


def test_what_others_noted_is_left_as_it_is() -> None:
    assert read_fields({"note": "100%25"}) == (None, None, {"note": "100%25"})
