"""Values that all viewers share: read once, kept over errors, and no more often than servers are quick."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from federation.web.shared import FAILED_AGE_MAX_S, FAILED_PART, KEYS_MAX, READING_PART, Shared
from jobs.errors import FedmlError
from regions.errors import RegionUnreachable

PATIENCE_S = 60.0


class Source:
    """A server whose answers count up. Reading takes `takes_s` of the shared clock."""

    def __init__(self) -> None:
        self.now, self.reads, self.takes_s = 1000.0, 0, 0.0
        self.error: FedmlError | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.shared = Shared(lambda: self.now)

    def read(self) -> int:
        self.reads += 1
        assert self.gate.wait(PATIENCE_S)
        self.now += self.takes_s
        if self.error is not None:
            raise self.error
        return self.reads

    def get(self, max_age_s: float = 10.0) -> int:
        return self.shared.get("key", self.read, max_age_s=max_age_s).value


def test_a_young_value_is_not_read_again() -> None:
    source = Source()
    assert [source.get(), source.get()] == [1, 1]
    source.now += 10.0
    assert source.get() == 2
    source.now -= 5_000.0  # a clock that was set back
    assert source.get() == 3


def test_many_threads_share_one_read() -> None:
    source = Source()
    source.gate.clear()
    with ThreadPoolExecutor(max_workers=16) as pool:
        asked = [pool.submit(source.get) for _ in range(16)]
        while not source.reads:
            threading.Event().wait(0.001)
        source.gate.set()
        assert {one.result(PATIENCE_S) for one in asked} == {1}
    assert source.reads == 1


def test_others_get_the_older_value_while_one_reads() -> None:
    source = Source()
    source.get()
    source.now += 60.0
    source.gate.clear()
    with ThreadPoolExecutor(max_workers=1) as pool:
        reading = pool.submit(source.get)
        while not source.shared.is_being_read("key"):
            threading.Event().wait(0.001)
        assert source.get() == 1
        source.gate.set()
        assert reading.result(PATIENCE_S) == 2


def test_a_slow_server_is_asked_less_often() -> None:
    source = Source()
    source.takes_s = 3.0
    source.get()
    source.now += 3.0 * READING_PART - 1.0
    assert source.get() == 1
    source.now += 1.0
    assert source.get() == 2


def test_an_error_keeps_the_last_value_and_says_why() -> None:
    source = Source()
    source.get()
    at = source.now
    source.now += 60.0
    source.error = RegionUnreachable("no answer", region="us")
    known = source.shared.get("key", source.read, max_age_s=10.0)
    assert (known.value, known.at, known.problem) == (1, at, source.error)
    source.now += 60.0
    source.error = None
    assert source.shared.get("key", source.read, max_age_s=10.0).problem is None


def test_a_first_read_that_fails_is_not_tried_again_at_once() -> None:
    source = Source()
    source.takes_s = 5.0
    source.error = RegionUnreachable("no answer", region="us")
    for _ in range(3):
        with pytest.raises(RegionUnreachable):
            source.get()
    assert source.reads == 1
    source.now += 5.0 * FAILED_PART
    source.error = None
    assert source.get() == 2


def test_whoever_does_not_want_to_wait_gets_what_is_known() -> None:
    source = Source()
    source.gate.clear()
    assert source.shared.soon("key", source.read, max_age_s=10.0, wait_s=0.0) is None
    assert source.shared.soon("key", source.read, max_age_s=10.0, wait_s=0.0) is None
    source.gate.set()
    known = source.shared.soon("key", source.read, max_age_s=10.0, wait_s=PATIENCE_S)
    assert known is not None
    assert (known.value, source.reads) == (1, 1)


def test_a_value_that_is_renewed_is_known_until_it_is_read() -> None:
    source = Source()
    source.get()
    source.shared.renew("key")
    source.shared.renew("another")
    source.gate.clear()
    known = source.shared.soon("key", source.read, max_age_s=10.0, wait_s=0.0)
    assert known is not None
    assert known.value == 1
    source.gate.set()
    while source.shared.is_being_read("key"):
        threading.Event().wait(0.001)
    assert source.get() == 2


def test_a_value_that_is_renewed_while_it_is_read_is_read_again() -> None:
    source = Source()
    source.gate.clear()
    source.shared.soon("key", source.read, max_age_s=10.0, wait_s=0.0)
    source.shared.renew("key")
    source.gate.set()
    while source.shared.is_being_read("key"):
        threading.Event().wait(0.001)
    assert source.get() == 2


def test_an_error_is_not_kept_as_long_as_a_value_that_never_changes() -> None:
    source = Source()
    source.error = RegionUnreachable("no answer", region="us")
    with pytest.raises(RegionUnreachable):
        source.get(math.inf)
    source.error = None
    source.now += FAILED_AGE_MAX_S
    assert source.get(math.inf) == 2
    source.now += 1_000_000.0
    assert source.get(math.inf) == 2


def test_a_bug_is_raised_and_leaves_nothing_behind() -> None:
    shared = Shared()
    with pytest.raises(ZeroDivisionError):
        shared.get("key", lambda: 1 / 0, max_age_s=10.0)
    assert shared.get("key", lambda: 7, max_age_s=10.0).value == 7


def test_the_value_that_was_wanted_longest_ago_goes_first() -> None:
    source = Source()
    source.get()
    for number in range(KEYS_MAX):
        source.now += 0.001
        source.shared.get(number, lambda: 0, max_age_s=10.0)
    assert source.get() == 2


def test_a_value_that_is_being_read_stays_however_many_others_there_are() -> None:
    source = Source()
    source.gate.clear()
    source.shared.soon("key", source.read, max_age_s=10.0, wait_s=0.0)
    for number in range(KEYS_MAX + 1):
        source.now += 0.001
        source.shared.get(number, lambda: 0, max_age_s=10.0)
    assert source.shared.is_being_read("key")
    source.gate.set()
    assert source.get() == 1


def test_the_age_may_depend_on_what_was_read() -> None:
    now_s, read = [0.0], iter(["partly", "partly", "whole", "never asked for"])
    shared = Shared(lambda: now_s[0])

    def look() -> str:
        return shared.get("x", lambda: next(read), max_age_s=lambda found: 1.0 if found == "partly" else 1e9).value

    found = []
    for moment_s in (0.0, 0.5, 2.0, 4.0, 1_000.0):
        now_s[0] = moment_s
        found.append(look())
    assert found == ["partly", "partly", "partly", "whole", "whole"]
