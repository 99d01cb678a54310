"""Planning: sums, caps, order and determinism, on random clusters and by example."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from federation.plan import Reason, Room, apportion, plan, spread

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


@given(st.integers(0, 2000), rooms)
def test_spread_fills_what_there_is_and_no_more(slots: int, rooms: list[Room]) -> None:
    shares = spread(slots, rooms)
    free = {room.region: room.free for room in rooms}
    assert sum(shares.values()) == min(slots, sum(free.values()))
    assert all(0 <= share <= free[region] for region, share in shares.items())
    assert spread(slots, list(reversed(rooms))) == shares


@given(st.integers(0, 10_000), st.dictionaries(st.text(max_size=3), st.floats(0.001, 1000), min_size=1, max_size=9))
def test_apportion_sums_exactly_and_keeps_quota(slots: int, weights: dict[str, float]) -> None:
    shares = apportion(slots, weights, {})
    total = sum(weights.values())
    assert sum(shares.values()) == slots
    assert all(abs(shares[name] - slots * weight / total) < 1.000001 for name, weight in weights.items())


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
    made = plan(3, [Room("us", 0, excluded=Reason.INFEASIBLE, detail="missing drivers (1 nodes)")])
    assert not made.is_complete
    assert made.unplaced[0].slots == 3
    assert "us: no node fits (missing drivers (1 nodes))" in made.unplaced[0].detail


def test_weights_scale_and_order_breaks_ties() -> None:
    assert spread(9, [Room("a", 100, weight=2), Room("b", 100)]) == {"a": 6, "b": 3}
    assert spread(1, [Room("a", 5, order=1), Room("b", 5, order=0)]) == {"a": 0, "b": 1}
