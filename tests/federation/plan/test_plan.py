"""Planning: sums, caps, order and determinism, on random clusters and by example."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import UsageError
from federation.plan import Reason, Room, Wishes, expected_place, plan, spread
from federation.plan.expected import turn_of

rooms = st.lists(
    st.builds(
        Room,
        region=st.uuids().map(str),
        free=st.integers(0, 500),
        weight=st.floats(0.01, 10),
        order=st.integers(0, 3),
    ),
    max_size=8,
    unique_by=lambda room: room.region,
)


@given(st.one_of(st.none(), st.integers(1, 1000)), rooms)
def test_every_slot_of_a_plan_is_placed_or_told(slots: int | None, rooms: list[Room]) -> None:
    made = plan(slots, rooms)
    placed = sum(placement.slots for placement in made.placements)
    missing = sum(one.slots for one in made.unplaced)
    if rooms:
        assert placed == made.slots
        assert made.is_complete
    else:
        assert missing == (slots or 1)
    assert all(placement.now <= {r.region: r.free for r in rooms}[placement.region] for placement in made.placements)


def test_in_proportion_to_free_slots() -> None:
    made = plan(7, [Room("us", 8), Room("eu", 4), Room("onprem", 2)])
    assert {one.region: one.now for one in made.placements} == {"us": 4, "eu": 2, "onprem": 1}
    assert made.why == ("spread: us 4 of 8 free, eu 2 of 4 free, onprem 1 of 2 free",)


def test_without_n_one_slot_in_each_usable_region_even_a_full_one() -> None:
    made = plan(None, [Room("us", 8), Room("eu", 0), Room("ap", 9, excluded=Reason.UNREACHABLE, detail="timeout")])
    assert [(one.region, one.now, one.later) for one in made.placements] == [("us", 1, 0), ("eu", 0, 1)]
    assert [room.region for room in made.excluded] == ["ap"]
    assert made.is_complete


def test_what_does_not_fit_now_waits_and_makes_waves() -> None:
    made = plan(30, [Room("us", 8), Room("eu", 2)])
    assert {one.region: (one.now, one.later, one.waves) for one in made.placements} == {
        "us": (8, 16, 3),
        "eu": (2, 4, 3),
    }
    assert "20 of 30 slots wait" in made.why[1]


def test_no_region_can_take_it() -> None:
    made = plan(3, [Room("us", 0, excluded=Reason.INFEASIBLE, detail="missing drivers (1 node)")])
    assert not made.is_complete
    assert made.unplaced[0].slots == 3
    assert "us: no node fits (missing drivers (1 node))" in made.unplaced[0].detail


def test_weights_scale_and_order_breaks_ties() -> None:
    assert spread(9, [Room("a", 100, weight=2), Room("b", 100)]) == {"a": 6, "b": 3}
    assert spread(1, [Room("a", 5, order=1), Room("b", 5, order=0)]) == {"a": 0, "b": 1}


def test_caps_make_later_ones_go_elsewhere_and_are_told() -> None:
    made = plan(30, [Room("us", 8, cap=10), Room("eu", 2)])
    assert {one.region: one.slots for one in made.placements} == {"us": 10, "eu": 20}
    assert "us: its cap of 10" in made.why


def test_a_minimum_is_met_later_where_there_is_no_room_now() -> None:
    made = plan(30, [Room("us", 20), Room("eu", 0, minimum=12)])
    assert {one.region: (one.now, one.later) for one in made.placements} == {"us": (18, 0), "eu": (0, 12)}


def test_an_elastic_region_gets_more_than_is_free_so_that_its_autoscaler_sees_it() -> None:
    made = plan(30, [Room("us", 4, elastic=10), Room("eu", 4)])
    assert {one.region: (one.now, one.starting, one.slots) for one in made.placements} == {
        "us": (4, 10, 20),
        "eu": (4, 0, 10),
    }
    assert "us: 10 slots beyond its free slots, so that its autoscaler adds nodes" in made.why


def test_limits_that_no_placement_keeps_are_named() -> None:
    with pytest.raises(UsageError, match="the caps allow 7 of 10 slots: us 3, eu 4"):
        plan(10, [Room("us", 9, cap=3), Room("eu", 9, cap=4), Room("ap", 9, excluded=Reason.UNREACHABLE)])
    with pytest.raises(UsageError, match="the minimums need 12 slots, more than 10: us 8, eu 4"):
        plan(10, [Room("us", 9, minimum=8), Room("eu", 9, minimum=4), Room("ap", 9)])
    with pytest.raises(UsageError, match="region us has a minimum of 3 and a cap of 2"):
        plan(10, [Room("us", 9, minimum=3, cap=2), Room("eu", 9)])


KNOWN = (
    Room("us", 4, price_per_hour=2.0, expected_duration_s=1800),
    Room("eu", 4, price_per_hour=0.5, expected_duration_s=3600),
)


def test_finish_and_cost_follow_from_durations_and_prices() -> None:
    made = plan(12, KNOWN)
    assert {one.region: (one.slots, one.finish_s, one.cost) for one in made.placements} == {
        "us": (7, 3600, 7.0),
        "eu": (5, 7200, 2.5),
    }
    assert (made.finish_s, made.cost) == (7200, 9.5)


def test_what_is_not_known_is_not_guessed() -> None:
    made = plan(12, [*KNOWN, Room("ap", 4)], wishes=Wishes(deadline_s=1, max_cost=1))
    assert (made.finish_s, made.cost, made.problems) == (None, None, ())


def test_a_deadline_or_a_cost_that_would_not_be_kept_is_a_problem() -> None:
    assert plan(12, KNOWN, wishes=Wishes(deadline_s=7200, max_cost=9.5)).problems == ()
    assert plan(8, KNOWN, wishes=Wishes(deadline_s=3000, max_cost=5)).problems == (
        "the deadline can't be kept: it is 50 min away, and the last slot is expected to end in 60 min",
        "it is expected to cost 6.00, more than 5",
    )
    assert plan(4, KNOWN, wishes=Wishes(max_cost=2.25)).problems == (
        "it is expected to cost 3.00, more than 2.25 (--policy cheapest: 2.00)",
    )


def test_a_million_slots_over_a_hundred_regions() -> None:
    made = plan(1_000_000, [Room(f"r{n:03}", 50 + n) for n in range(100)])
    assert sum(one.slots for one in made.placements) == 1_000_000
    assert len(made.placements) == 100


@given(st.dictionaries(st.text("abc", min_size=1, max_size=2), st.integers(1, 30), min_size=1, max_size=6))
def test_each_slot_has_the_place_that_counting_all_turns_gives(shares: dict[str, int]) -> None:
    turns = sorted(
        ((turn + 0.5) / share, rank, name) for rank, (name, share) in enumerate(shares.items()) for turn in range(share)
    )
    assert [turn_of(place, shares) for place in range(len(turns))] == [name for _, _, name in turns]


def test_where_one_slot_is_expected() -> None:
    made = plan(12, [Room("us", 4, elastic=2), Room("eu", 2)])
    places = [expected_place(made, slot) for slot in range(12)]
    assert [when for _, when in filter(None, places)] == ["now"] * 6 + ["starting"] * 2 + ["later"] * 4
    assert [place for place in places if place and place[1] != "later"].count(("us", "starting")) == 2
    assert expected_place(plan(None, [Room("us", 4), Room("eu", 0)]), 1) == ("eu", "later")
    assert expected_place(plan(1, [Room("us", 4, excluded=Reason.REFUSED)]), 0) is None


def test_the_last_of_a_million_slots_is_found_without_making_the_others() -> None:
    made = plan(1_000_000, [Room(f"r{n:03}", 50 + n) for n in range(100)])
    place = expected_place(made, 999_999)
    assert place is not None
    assert place[1] == "later"


def test_a_minimum_of_a_region_that_is_left_out_is_told() -> None:
    made = plan(3, [Room("us", 9, minimum=2, excluded=Reason.UNREACHABLE), Room("eu", 4)])
    assert made.why[-1] == "us: its minimum of 2 is not kept, because the region is left out"
