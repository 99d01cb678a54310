"""How a slot stands, by its own state and what its region says of its child; and how long the rest of a run takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from federation.run.brain.causes import Cause
from federation.run.brain.state import Attempt, Slot
from federation.run.brain.transitions import Phase, SlotState
from federation.run.timeline import RegionTime, Timeline
from federation.workflows.run_glance import Children, glance, slot_state
from federation.workflows.run_reader import RunStory
from tests.federation.run.brain.world import MANIFEST

SENT = Attempt(1, "us", Phase.SENT, job_id="j/dispatch-1")


@pytest.mark.parametrize(
    ("slot", "alive", "state"),
    [
        (Slot(), {}, "waiting"),
        (Slot([Attempt(1, "us", Phase.BOUND)]), {"us": {}}, "waiting"),
        (Slot([SENT]), {"us": {"j/dispatch-1": "pending"}}, "waiting"),
        (Slot([SENT]), {"us": {"j/dispatch-1": "running"}}, "running"),
        (Slot([SENT]), {"us": {}}, "running"),
        (Slot([SENT]), {"us": None}, "lost"),
        (Slot([SENT], state=SlotState.DONE), {"us": None}, "done"),
        (Slot([SENT], state=SlotState.FAILED), {}, "failed"),
        (Slot(state=SlotState.STOPPED), {}, "cancelled"),
    ],
)
def test_a_slot_stands_as_its_region_says(slot: Slot, alive: dict[str, Children | None], state: str) -> None:
    assert slot_state(slot, alive) == state


def test_what_a_run_that_is_over_left_is_lost_if_it_may_still_run() -> None:
    assert slot_state(Slot([SENT]), {}, is_over=True) == "lost"
    assert slot_state(Slot(), {}, is_over=True) == "cancelled"


def test_the_rest_takes_as_long_a_slot_as_those_that_are_done() -> None:
    failed = Slot([replace(SENT, phase=Phase.ENDED, cause=Cause.OOM)], state=SlotState.FAILED)
    story = RunStory(MANIFEST, "open", "", (Slot(state=SlotState.DONE), Slot(state=SlotState.DONE), Slot(), failed))
    region = RegionTime("us", 3, 2, 1, 0.0, 0.0, 1, 1.5)
    timeline = Timeline((), (region, replace(region, cost=None)), 0.0, 0.0, begun_s=100.0)
    found = glance(story, timeline, 160.0)
    assert (found.left_s, found.cost, found.causes) == (30.0, 1.5, {"oom": 1})
    assert glance(replace(story, state="done"), timeline, 160.0).left_s is None
    assert glance(replace(story, slots=(Slot(),)), timeline, 160.0).left_s is None
