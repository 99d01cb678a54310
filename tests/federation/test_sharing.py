"""Two runs at once: room by priority, then evenly; shares of owners and namespaces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from federation.plan import Claim, Shares, held_by_owner, held_in_namespaces, own_part

NAMES = ("us", "eu", "ap")
claims = st.lists(
    st.builds(
        Claim,
        run=st.uuids().map(str),
        unbound=st.integers(0, 40),
        regions=st.sets(st.sampled_from(NAMES), min_size=1).map(frozenset),
        priority=st.sampled_from([40, 50, 50, 60]),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda claim: claim.run,
)


def claim(run: str, unbound: int, *regions: str, priority: int = 50) -> Claim:
    return Claim(run, unbound, frozenset(regions or NAMES), priority)


def test_equals_share_evenly_and_who_wants_less_leaves_the_rest() -> None:
    mine = claim("a", 100)
    assert own_part({"us": 10, "eu": 4}, mine, [claim("b", 100)]) == {"us": 5, "eu": 2}
    assert own_part({"us": 10, "eu": 4}, mine, [claim("b", 2)]) == {"us": 10, "eu": 2}
    assert own_part({"us": 9}, mine, [claim("b", 100)]) == {"us": 5}
    assert own_part({"us": 9}, claim("b", 100), [mine]) == {"us": 4}


def test_a_higher_priority_comes_first_and_a_lower_one_is_not_asked() -> None:
    mine = claim("a", 100)
    assert own_part({"us": 10, "eu": 4}, mine, [claim("b", 6, "us", priority=60)]) == {"us": 4, "eu": 4}
    assert own_part({"us": 10, "eu": 4}, mine, [claim("b", 100, priority=40)]) == {"us": 10, "eu": 4}


def test_regions_that_another_run_may_not_use_are_no_loss() -> None:
    assert own_part({"us": 10, "eu": 4}, claim("a", 100), [claim("b", 100, "eu")]) == {"us": 10, "eu": 2}


@given(claims, st.dictionaries(st.sampled_from(NAMES), st.integers(0, 30), min_size=1))
def test_together_equal_runs_never_take_more_than_there_is_nor_more_than_they_want(
    runs: list[Claim], free: dict[str, int]
) -> None:
    highest = max(one.priority for one in runs)
    parts = {
        one.run: own_part(free, one, [other for other in runs if other is not one])
        for one in runs
        if one.priority == highest
    }
    for region, slots in free.items():
        assert sum(part[region] for part in parts.values()) <= slots
    for one in runs:
        part = own_part(free, one, [other for other in runs if other is not one])
        assert sum(part.values()) <= one.unbound
        assert all(share == 0 for region, share in part.items() if region not in one.regions)


def test_an_owner_and_a_namespace_have_their_share() -> None:
    shares = Shares({"ann@*": 10, "*": 100}, {"ml": 8})
    mine = Claim("a", 5, frozenset(NAMES), owner="ann@laptop", outstanding={"us": 3})
    others = [
        Claim("b", 5, frozenset(NAMES), owner="ann@ci", outstanding={"eu": 4}),
        Claim("c", 5, frozenset(NAMES), owner="bob", outstanding={"us": 50}),
    ]
    assert held_by_owner(shares, mine, others) == 3
    assert held_by_owner(Shares(), mine, others) is None
    namespaces = {"us": "ml", "eu": "default", "ap": "ml"}
    assert held_in_namespaces(shares, namespaces, mine, others[:1]) == {"us": 5, "ap": 5}
    assert held_in_namespaces(shares, namespaces, mine, others) == {"us": 0, "ap": 0}
