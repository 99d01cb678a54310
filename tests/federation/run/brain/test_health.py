"""Regions that refuse, ask for patience, fall silent, are lost and come back."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from federation.plan import Room
from federation.run.brain import commands as cmd
from federation.run.brain import events as ev
from federation.run.brain.brain import Brain
from federation.run.brain.changes import Rebind
from federation.run.brain.timing import Limits
from tests.federation.run.brain.test_brain import deaf, losses, sent
from tests.federation.run.brain.test_endings import changes, of, proposed, write
from tests.federation.run.brain.world import MANIFEST


def told(out: list[cmd.Command], kind: str) -> list[str]:
    return [tell.detail for tell in of(out, cmd.Tell) if tell.kind == kind]


def test_an_expired_token_pauses_a_region_and_never_loses_it() -> None:
    brain = Brain(MANIFEST, Limits(grace_s=30))
    sent(brain)
    out = brain.step(ev.RegionProbed("us", 0, "403: token expired", is_denied=True))
    assert told(out, "region") == ["paused: 403: token expired"]
    assert not brain.regions["us"].is_usable
    for now_s in (20.0, 40.0, 80.0):
        assert losses(brain.step(ev.Tick(now_s))) == []
        for name in MANIFEST.regions:
            brain.step(ev.Pinged(name, is_alive=True))
    out = brain.step(ev.RegionProbed("us", 2))
    assert told(out, "region") == ["its token is accepted again"]
    assert brain.regions["us"].is_usable


def test_a_dispatch_that_is_denied_is_sent_again_later() -> None:
    brain = Brain(replace(MANIFEST, slots=2, regions=("us",)), Limits(grace_s=600))
    brain.step(ev.Tick(1.0))
    write(brain, brain.step(ev.RegionProbed("us", 2)))
    brain.step(ev.ParentChecked("us", MANIFEST.spec_hash))
    brain.step(ev.Acknowledged(0, 1, "train/dispatch-1"))
    brain.step(ev.DispatchFailed(1, 1, "denied", "403"))
    assert not of(brain.step(ev.Tick(2.0)), cmd.CheckParent)
    assert of(brain.step(ev.Tick(30.0)), cmd.CheckParent) == [cmd.CheckParent("us")]
    out = brain.step(ev.ParentChecked("us", MANIFEST.spec_hash))
    assert of(out, cmd.Dispatch) == [cmd.Dispatch(1, 1, "us")]


def test_a_region_that_never_took_a_dispatch_and_denies_it_is_left_out() -> None:
    brain = Brain(replace(MANIFEST, slots=1))
    brain.step(ev.Tick(1.0))
    out = [command for name in MANIFEST.regions for command in brain.step(ev.RegionProbed(name, 2))]
    write(brain, out)
    brain.step(ev.ParentChecked("us", MANIFEST.spec_hash))
    out = brain.step(ev.DispatchFailed(0, 1, "denied", "403: no dispatch-job"))
    assert brain.regions["us"].is_excluded
    assert [one.get("region") for one in changes(out)] == [None, "eu"], "the slot goes elsewhere at once"


def test_a_region_that_asks_for_patience_gets_less_after_a_pause() -> None:
    brain = Brain(replace(MANIFEST, slots=1))
    brain.step(ev.Tick(1.0))
    out = [command for name in MANIFEST.regions for command in brain.step(ev.RegionProbed(name, 9))]
    write(brain, out)
    brain.step(ev.ParentChecked("us", MANIFEST.spec_hash))
    window = brain.regions["us"].window
    brain.step(ev.DispatchFailed(0, 1, "throttled", "429"))
    us = brain.regions["us"]
    assert (us.window, us.room(brain.state.now_s)) == (window // 2, 0)
    assert of(brain.step(ev.Tick(4.0)), cmd.Find) == [cmd.Find("us", ((0, 1),))], "searched for before it is repeated"
    assert us.room(10.0) > 0


@pytest.mark.parametrize("mode", ["wait", "ask"])
def test_a_lost_regions_attempts_are_left_until_somebody_says_rebind(mode: str) -> None:
    brain = Brain(replace(MANIFEST, slots=1, on_region_lost=mode), Limits(grace_s=3.0))
    sent(brain)
    brain.step(ev.Tick(2.0))
    deaf(brain, "us")
    for name in ("eu", "onprem"):
        brain.step(ev.RegionHeard(name))
    out = brain.step(ev.Tick(5.0))
    (said,) = told(out, "lost")
    assert said.startswith(
        "after 4 s of silence; 1 attempt open there (slot 0), 0.0 compute-hours to be repeated: they are waited for"
    )
    assert said.endswith("fedml runs rebind 0193-run --from us")
    assert brain.slots[0].attempts[0].is_open
    out = brain.step(ev.LogRead(((Rebind("us"),),)))
    assert [(one["type"], one.get("cause")) for one in changes(out)] == [("fail", "region lost"), ("bind", None)]


def test_a_start_does_not_wait_for_a_region_that_does_not_answer() -> None:
    brain = Brain(replace(MANIFEST, slots=6))
    out = brain.step(ev.Tick(1.0))
    out += [command for name in ("eu", "onprem") for command in brain.step(ev.RegionProbed(name, 1))]
    assert not changes(out), "us may still answer in time"
    out = brain.step(ev.Tick(4.5))
    assert {one["region"] for one in changes(out)} == {"eu", "onprem"}
    assert told(out, "region") == ["no answer yet: starting with eu, onprem"]
    brain.step(ev.Appended(proposed(out)))
    assert {one["region"] for one in changes(brain.step(ev.RegionProbed("us", 2)))} == {"us"}, (
        "it joins when it answers"
    )


def late_us(**changes: object) -> Brain:
    brain = Brain(replace(MANIFEST, slots=6, late=("us",), **changes))  # type: ignore[arg-type]
    assert of(brain.step(ev.Tick(1.0)), cmd.Join) == [cmd.Join("us")]
    return brain


def test_a_late_region_gets_nothing_before_it_has_the_job() -> None:
    brain = late_us()
    out = [command for name in ("eu", "onprem") for command in brain.step(ev.RegionProbed(name, 1))]
    assert {one["region"] for one in changes(out)} == {"eu", "onprem"}
    brain.step(ev.Appended(proposed(out)))
    assert not [probe for probe in of(brain.step(ev.Tick(2.0)), cmd.Probe) if probe.region == "us"]
    assert not of(brain.step(ev.Joined("us", "unreachable")), cmd.Tell), "that it doesn't answer is said by its reach"
    assert of(brain.step(ev.Tick(8.0)), cmd.Join) == [cmd.Join("us")]
    assert told(brain.step(ev.Joined("us")), "region") == ["answers now, and has the job: it joins the run"]
    assert cmd.Probe("us", 4) in brain.step(ev.Tick(8.5))
    assert {one["region"] for one in changes(brain.step(ev.RegionProbed("us", 2)))} == {"us"}


def test_a_late_region_that_can_not_have_the_job_is_left_out() -> None:
    brain = late_us(regions=("us",))
    out = brain.step(ev.Joined("us", "the job train was changed by somebody else", is_fatal=True))
    assert told(out, "region") == ["the job train was changed by somebody else"]
    assert brain.slots[0].reason.endswith("us: the job train was changed by somebody else")


def test_slots_that_go_one_to_each_region_wait_for_one_that_does_not_answer() -> None:
    brain = Brain(replace(MANIFEST, slots=3, one_each=True))
    out = brain.step(ev.Tick(1.0))
    out += [command for name in ("eu", "onprem") for command in brain.step(ev.RegionProbed(name, 1))]
    out += brain.step(ev.Tick(4.5))
    assert {one["region"] for one in changes(out)} == {"eu", "onprem"}
    brain.step(ev.Appended(proposed(out)))
    assert [one["region"] for one in changes(brain.step(ev.RegionProbed("us", 1)))] == ["us"]


def test_probes_of_a_region_in_which_nothing_changes_become_rare_and_news_make_them_soon() -> None:
    brain = Brain(replace(MANIFEST, regions=("us",)), Limits(grace_s=1e9))
    at: list[float] = []
    for now_s in range(1, 200):
        for probe in of(brain.step(ev.Tick(float(now_s))), cmd.Probe):
            at.append(float(now_s))
            brain.step(ev.RegionProbed(probe.region, 0))
    gaps = [later - sooner for sooner, later in pairwise(at)]
    assert gaps[:3] == [5, 10, 20]
    assert max(gaps) == 30
    brain.step(ev.RegionHeard("us", is_room_likely=True))
    assert brain.regions["us"].probing.after_s == 5


def test_an_elastic_region_without_nodes_gets_its_slots_so_that_an_autoscaler_sees_them() -> None:
    brain = Brain(replace(MANIFEST, slots=9, regions=("us",)), rooms={"us": Room("us", 0, elastic=3)})
    brain.step(ev.Tick(1.0))
    out = brain.step(ev.RegionProbed("us", 0, "no node fits", is_fatal=True))
    assert [one["region"] for one in changes(out)] == ["us"] * 3


def test_a_region_keeps_at_most_so_many_children() -> None:
    brain = Brain(replace(MANIFEST, slots=9, regions=("us",)), max_outstanding={"us": 10})
    brain.step(ev.Tick(1.0))
    out = brain.step(ev.RegionProbed("us", 9, children=8))
    assert len(changes(out)) == 2


def test_a_region_is_searched_by_one_search_at_a_time() -> None:
    """An older answer would tell of what was before a dispatch was repeated."""
    brain = Brain(replace(MANIFEST, slots=1), Limits(grace_s=600))
    brain.step(ev.Tick(1.0))
    out = [command for name in MANIFEST.regions for command in brain.step(ev.RegionProbed(name, 9))]
    write(brain, out)
    brain.step(ev.ParentChecked("us", MANIFEST.spec_hash))
    brain.step(ev.DispatchFailed(0, 1, "unknown", "reset"))
    assert of(brain.step(ev.Tick(4.0)), cmd.Find)
    brain.state.regions["us"].finding.due_s = 5.0
    assert not of(brain.step(ev.Tick(6.0)), cmd.Find)
    brain.step(ev.Found("us", {}, ()))
    assert of(brain.step(ev.Tick(9.0)), cmd.Find)
