"""Two runs at once: room by priority, then evenly; shares of owners and namespaces."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from federation.plan import Claim, Shares, budgets, own_part, within_shares
from federation.workflows.other_runs import OtherRuns

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
    mine = Claim("a", 5, frozenset(NAMES), owner="ann@laptop", outstanding={"us": 3})
    others = [
        Claim("b", 5, frozenset(NAMES), owner="ann@ci", outstanding={"eu": 4}),
        Claim("c", 5, frozenset(NAMES), owner="bob", outstanding={"us": 50}),
    ]
    parts = {"us": 4, "eu": 4, "ap": 1}
    namespaces = {"us": "ml", "eu": "default", "ap": "ml"}

    def left(shares: Shares, others: list[Claim] = others) -> dict[str, int]:
        return within_shares(parts, budgets(shares, namespaces, mine, others), mine.outstanding)

    assert left(Shares()) == parts
    assert left(Shares({"ann@*": 10, "*": 100})) == {"us": 1, "eu": 1, "ap": 1}
    assert left(Shares({"ann@*": 7})) == {"us": 0, "eu": 0, "ap": 0}
    assert left(Shares({"bob": 1})) == parts
    assert left(Shares({}, {"ml": 55})) == {"us": 2, "eu": 4, "ap": 0}
    assert left(Shares({}, {"ml": 8}), others[:1]) == {"us": 4, "eu": 4, "ap": 1}


@given(claims, st.dictionaries(st.sampled_from(NAMES), st.integers(0, 30), min_size=1), st.integers(1, 40))
def test_a_share_is_never_exceeded(runs: list[Claim], parts: dict[str, int], most: int) -> None:
    mine, *others = [replace(run, owner="ann", outstanding={"us": run.unbound}) for run in runs]
    held = sum(run.unbound for run in runs)
    allowed = budgets(Shares({"ann": most}), dict.fromkeys(NAMES, "default"), mine, others)
    left = within_shares(parts, allowed, mine.outstanding)
    assert sum(left.values()) == min(max(0, most - held), sum(parts.values()))
    assert all(left[region] <= parts[region] for region in parts)


def test_a_run_that_is_alone_has_all_that_is_free_in_each_region_for_its_policy_to_choose_from() -> None:
    config = SimpleNamespace(shares=Shares(), regions={})
    app: Any = SimpleNamespace(config=config, index=SimpleNamespace(runs=lambda state: []))
    other_runs = OtherRuns(app, Claim("mine", 4, frozenset(("us", "eu"))))
    assert (other_runs.part({"eu": 8}), other_runs.part({"us": 16})) == ({"eu": 8}, {"us": 16})
