"""`[shares]` is kept: by each way in which slots are bound, and when another run was faster."""

from __future__ import annotations

from dataclasses import replace

import pytest

from federation.plan import Budget, Room
from federation.run.brain import commands as cmd
from federation.run.brain import events as ev
from federation.run.brain.brain import Brain
from federation.run.brain.changes import Bind, Change, Fail
from tests.federation.run.brain.world import MANIFEST, World

EVERYWHERE = frozenset(MANIFEST.regions)


def entry(commands: list[cmd.Command]) -> tuple[Change, ...]:
    appended = [command for command in commands if isinstance(command, cmd.Append)]
    return tuple(change for one in appended for change in one.changes)


def probed(brain: Brain, *budgets: Budget) -> list[cmd.Command]:
    return [out for name in MANIFEST.regions for out in brain.step(ev.RegionProbed(name, 4, budgets=budgets))]


@pytest.mark.parametrize("one_each", [True, False])
def test_a_run_never_has_more_outstanding_than_its_share(one_each: bool) -> None:
    """Without -n each region gets its slot even where it is full; an elastic region gets more than it has room for."""
    world = World(sizes=dict.fromkeys(MANIFEST.regions, 1), rooms={"us": Room("us", 0, elastic=5)}, share=2)
    closed = world.run(replace(MANIFEST, slots=3 if one_each else 9, one_each=one_each))
    assert closed == cmd.Close("done", "")


def test_a_policy_chooses_where_the_share_goes() -> None:
    brain = Brain(replace(MANIFEST, policy="pack"))
    brain.step(ev.Tick(1.0))
    bound = [change.region for change in entry(probed(brain, Budget(EVERYWHERE, 3))) if isinstance(change, Bind)]
    assert len(bound) == 3
    assert len(set(bound)) == 1


def test_a_namespaces_share_leaves_other_regions_free() -> None:
    brain = Brain(replace(MANIFEST, slots=9))
    brain.step(ev.Tick(1.0))
    out = entry(probed(brain, Budget(frozenset(("us", "eu")), 1)))
    bound = [change.region for change in out if isinstance(change, Bind)]
    assert sum(region in ("us", "eu") for region in bound) == 1
    assert bound.count("onprem") == 4


def test_bindings_are_withdrawn_before_their_dispatch_when_another_run_was_faster() -> None:
    brain = Brain(replace(MANIFEST, slots=2, regions=("us",)))
    brain.step(ev.Tick(1.0))
    share = frozenset(("us",))
    changes = entry(brain.step(ev.RegionProbed("us", 4, budgets=(Budget(share, 2),))))
    assert [type(change) for change in changes] == [Bind, Bind]
    brain.step(ev.Appended(changes))
    out = brain.step(ev.ParentChecked("us", MANIFEST.spec_hash, budgets=(Budget(share, 1),)))
    assert len([command for command in out if isinstance(command, cmd.Dispatch)]) == 1
    failed = entry(out)
    assert [(type(change), getattr(change, "cause", "")) for change in failed] == [(Fail, "share")]
    brain.step(ev.Appended(failed))
    again = entry(brain.step(ev.RegionProbed("us", 4, budgets=(Budget(share, 2),))))
    assert [(change.slot, change.attempt) for change in again if isinstance(change, Bind)] == [(failed[0].slot, 2)]
