"""Every policy: sums, caps, order, determinism, monotonic in capacity; on random federations and by example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import UsageError
from federation.plan import POLICIES, Reason, Room, left_of, policy_named, policy_names, within_limits
from federation.plan.policies import fill

room = st.builds(
    Room,
    region=st.text("abcdef", min_size=1, max_size=3),
    free=st.integers(0, 60),
    weight=st.sampled_from([0.01, 0.1, 0.5, 1.0, 1.0, 3.0, 7.3]),
    order=st.integers(0, 2),
    excluded=st.sampled_from([None, None, None, Reason.UNREACHABLE]),
    price_per_hour=st.sampled_from([None, 0.0, 0.5, 2.0]),
    expected_duration_s=st.sampled_from([None, 60.0, 60.0, 90.5]),
)
federations = st.lists(room, max_size=7, unique_by=lambda room: room.region)
limited = st.lists(
    st.builds(replace, room, minimum=st.integers(0, 9), cap=st.one_of(st.none(), st.integers(9, 30))),
    max_size=7,
    unique_by=lambda room: room.region,
)
every_policy = pytest.mark.parametrize("name", [*POLICIES])


def usable(rooms: Sequence[Room]) -> list[Room]:
    return [room for room in rooms if room.excluded is None]


@every_policy
@given(st.integers(0, 300), federations)
def test_as_many_as_there_is_room_for_and_none_where_there_is_none(name: str, slots: int, rooms: list[Room]) -> None:
    shares = POLICIES[name](slots, rooms)
    free = {room.region: room.free for room in usable(rooms)}
    assert sum(shares.values()) == min(slots, sum(free.values()))
    assert all(0 <= share <= free[region] for region, share in shares.items())


@every_policy
@given(st.integers(0, 300), federations, st.randoms(use_true_random=False))
def test_equal_rooms_in_any_order_give_equal_shares(name: str, slots: int, rooms: list[Room], chance: Any) -> None:
    shares = POLICIES[name](slots, rooms)
    chance.shuffle(rooms)
    assert POLICIES[name](slots, rooms) == shares


@every_policy
@given(st.integers(0, 300), federations, st.data())
def test_more_room_in_a_region_never_means_fewer_slots_for_it(
    name: str, slots: int, rooms: list[Room], data: st.DataObject
) -> None:
    if not rooms:
        return
    grown = data.draw(st.sampled_from(rooms))
    more = [replace(one, free=one.free + data.draw(st.integers(1, 20))) if one is grown else one for one in rooms]
    before, after = POLICIES[name](slots, rooms), POLICIES[name](slots, more)
    assert after.get(grown.region, 0) >= before.get(grown.region, 0)
    assert sum(after.values()) >= sum(before.values())


@every_policy
@given(st.integers(0, 300), limited)
def test_caps_and_minimums_are_kept_as_far_as_there_is_room(name: str, slots: int, rooms: list[Room]) -> None:
    shares = policy_named(name)(slots, rooms)
    room_for = {one.region: min(one.free, one.cap if one.cap is not None else one.free) for one in usable(rooms)}
    held_back = sum(max(0, one.minimum - room_for[one.region]) for one in usable(rooms))
    assert min(slots - held_back, sum(room_for.values())) <= sum(shares.values()) <= min(slots, sum(room_for.values()))
    assert all(share <= room_for[region] for region, share in shares.items())
    if sum(one.minimum for one in usable(rooms)) <= slots:
        assert all(shares.get(one.region, 0) >= min(one.minimum, room_for[one.region]) for one in usable(rooms))


@given(st.integers(0, 5000), st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(1, 1000), min_size=1))
def test_a_share_is_its_quota_rounded(slots: int, claims: dict[str, int]) -> None:
    shares = fill(slots, dict.fromkeys(claims, slots), claims, {name: (0, name) for name in claims})
    assert sum(shares.values()) == slots
    assert all(
        abs(shares[name] * sum(claims.values()) - slots * claims[name]) < sum(claims.values()) for name in claims
    )


US = Room("us", 8, order=1, price_per_hour=2.0, expected_duration_s=60)
EU = Room("eu", 4, order=0, price_per_hour=1.0, expected_duration_s=180)
AP = Room("ap", 20, order=2)


@pytest.mark.parametrize(
    ("name", "shares"),
    [
        ("spread", {"eu": 1, "us": 3, "ap": 6}),
        ("pack", {"ap": 10, "us": 0, "eu": 0}),
        ("order", {"eu": 4, "us": 6, "ap": 0}),
        ("cheapest", {"us": 8, "eu": 2, "ap": 0}),
        ("fastest", {"us": 8, "eu": 2, "ap": 0}),
        ("weights", {"eu": 4, "us": 3, "ap": 3}),
    ],
)
def test_ten_slots_by_each_policy(name: str, shares: dict[str, int]) -> None:
    assert policy_named(name)(10, [US, EU, AP]) == shares


def test_cheapest_goes_by_the_price_alone_where_a_duration_is_not_known() -> None:
    assert policy_named("cheapest")(5, [replace(US, expected_duration_s=None), EU, AP]) == {"eu": 4, "us": 1, "ap": 0}


def test_free_of_charge_needs_no_duration() -> None:
    assert policy_named("cheapest")(5, [US, EU, Room("onprem", 3, price_per_hour=0.0)])["onprem"] == 3


def test_later_in_a_run_what_is_held_counts() -> None:
    seen = left_of(Room("us", 0, minimum=5, cap=8), 10, 6)
    assert (seen.free, seen.minimum, seen.cap) == (10, 0, 2)
    assert policy_named("spread")(10, [seen]) == {"us": 2}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"us": 9}, "gives region us 9 slots, where 8 are free"),
        ({"us": -1}, "gives region us -1 slots"),
        ({"us": 1.0}, "gives region us 1.0 slots"),
        ({"moon": 1}, "gives region moon 1 slots, where 0 are free"),
        ({"us": 3, "eu": 3}, "places 6 slots of 5"),
    ],
)
def test_a_policy_that_answers_wrongly_is_named(answer: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        within_limits("mine", lambda slots, rooms: answer)(5, [US, EU])


def test_an_unknown_policy_is_refused_with_the_near_one() -> None:
    with pytest.raises(UsageError, match="there is no policy 'cheepest'") as caught:
        policy_named("cheepest")
    assert caught.value.hint == "did you mean 'cheapest'?"


def test_a_package_brings_one_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    def last_first(slots: int, rooms: Sequence[Room]) -> dict[str, int]:
        return {rooms[-1].region: min(slots, rooms[-1].free)}

    points = [
        SimpleNamespace(name="last", value="x:y", load=lambda: last_first),
        SimpleNamespace(name="broken", value="x:z", load=lambda: exec("import nowhere_at_all")),
    ]
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda group, name=None: [one for one in points if name in (None, one.name)]
    )
    assert policy_named("last")(3, [US, EU]) == {"us": 3, "eu": 0}
    assert policy_names() == [*POLICIES, "broken", "last"]
    with pytest.raises(UsageError, match=r"'broken' \(x:z\) can't be loaded: ModuleNotFoundError"):
        policy_named("broken")


@every_policy
@given(st.integers(0, 300), federations, st.data())
def test_among_equals_the_first_in_order_gets_no_less(
    name: str, slots: int, rooms: list[Room], data: st.DataObject
) -> None:
    if not rooms:
        return
    one = data.draw(st.sampled_from(rooms))
    twins = [replace(one, region="x", order=3), replace(one, region="y", order=4)]
    shares = POLICIES[name](slots, [*rooms, *twins])
    assert shares.get("x", 0) >= shares.get("y", 0)
