"""The counts of a run's progress: each result once, and never more of something than there is."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from federation.run.brain.commands import Tell
from federation.ui.run_count import RunCount
from tests.federation.run.brain.world import MANIFEST

TWO_KEYS = replace(MANIFEST, slots=3, groups={"a": 1, "b": 1})


def counted(*tells: Tell, already: int = 0) -> RunCount:
    count = RunCount(TWO_KEYS, already)
    for tell in tells:
        count.take(tell)
    return count


def test_a_retried_slot_moves_its_expected_results() -> None:
    count = counted(
        Tell("bound", "us", count=2),
        Tell("bound", "eu", count=1),
        Tell("dispatched", "us", 0, 1),
        Tell("dispatched", "us", 1, 1),
        Tell("dispatched", "eu", 2, 1),
    )
    assert (count.expected("us"), count.expected("eu")) == (4, 2)
    for tell in (Tell("retry", "us", 0, 1, "no"), Tell("bound", "eu"), Tell("dispatched", "eu", 0, 2)):
        count.take(tell)
    assert (count.expected("us"), count.expected("eu")) == (2, 4)
    assert (count.regions["us"].failed, count.failed_slots) == (1, set())


def test_an_allocation_that_ends_again_in_the_next_attempt_counts_once() -> None:
    count = counted(
        Tell("ended", "us", 0, 1, "a[0] with exit code 0"),
        Tell("retry", "us", 0, 1, "task b"),
        Tell("ended", "eu", 0, 2, "a[0] with exit code 0"),
        Tell("ended", "eu", 0, 2, "b[0] with exit code 0"),
    )
    assert count.results == 2


def test_a_slot_of_a_lost_region_is_expected_where_it_went() -> None:
    count = counted(
        Tell("bound", "us", count=2),
        Tell("dispatched", "us", 0, 1),
        Tell("lost", "us"),
        Tell("bound", "eu", count=2),
        Tell("dispatched", "eu", 0, 2),
        Tell("dispatched", "eu", 1, 2),
    )
    assert (count.expected("us"), count.expected("eu")) == (0, 4)


def test_a_failed_slot_that_is_dispatched_again_is_not_failed() -> None:
    failed = (Tell("dispatched", "us", 0, 1), Tell("failed", "us", 0, 1, "no"))
    assert counted(*failed).failed_slots == {0}
    assert counted(*failed, Tell("dispatched", "eu", 0, 2)).failed_slots == set()


def test_results_of_before_count_too() -> None:
    assert counted(Tell("committed", "us", 2, 1, "a[0] added"), already=4).results == 5


KINDS = st.sampled_from(["bound", "dispatched", "running", "committed", "ended", "retry", "failed", "lost", "back"])
TELLS = st.builds(
    Tell,
    KINDS,
    st.sampled_from(["us", "eu"]),
    st.integers(0, 2),
    st.integers(0, 3),
    st.sampled_from(["a[0] added", "b[0] added"]),
    st.integers(1, 3),
)


@given(st.lists(TELLS, max_size=40), st.integers(0, 6))
def test_no_bar_ever_shows_more_than_its_total(tells: list[Tell], already: int) -> None:
    count = RunCount(TWO_KEYS, already)
    for tell in tells:
        count.take(tell)
        assert count.results <= TWO_KEYS.expected_keys
        assert all(one.results <= count.expected(name) for name, one in count.regions.items())
        assert all(one.waiting >= 0 for one in count.regions.values())
