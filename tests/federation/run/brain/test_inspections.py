"""When children are inspected one by one, and when by lists."""

from __future__ import annotations

from federation.run.brain import commands as cmd
from federation.run.brain.inspections import BY_LIST, Inspections
from federation.run.brain.state import Attempt, RunState
from federation.run.brain.transitions import Phase
from tests.federation.run.brain.test_brain import MANIFEST, Brain


def planned(count: int, *, phase: Phase = Phase.SENT) -> tuple[RunState, Inspections]:
    """A plan to inspect so many quiet children, each a second after the one before."""
    state = Brain(MANIFEST).state
    inspections = Inspections(state)
    for number in range(count):
        state.now_s = float(number)
        attempt = Attempt(1, "us", phase, job_id=f"child-{number}")
        state.slots[number].attempts.append(attempt)
        inspections.after(state.limits.quiet_s, number, attempt)
    return state, inspections


def due(state: RunState, inspections: Inspections, now_s: float) -> list[cmd.Command]:
    state.out, state.now_s = [], now_s
    inspections.tick()
    return state.out


def test_a_few_quiet_children_are_asked_for_one_by_one() -> None:
    state, inspections = planned(BY_LIST - 1)
    out = due(state, inspections, 100.0)
    assert [one.job_id for one in out if isinstance(one, cmd.Inspect)] == ["child-0", "child-1", "child-2"]
    assert due(state, inspections, 200.0) == []


def test_lists_tell_of_all_quiet_children_of_a_region_also_of_those_planned_for_later() -> None:
    state, inspections = planned(6)
    state.slots[0].attempts[0].phase = Phase.RUNNING
    (asked,) = due(state, inspections, state.limits.quiet_s + 4.0)
    children = {(number, 1): f"child-{number}" for number in range(6)}
    assert asked == cmd.InspectAll("us", children, frozenset({(0, 1)}))
    assert due(state, inspections, 200.0) == []


def test_a_child_for_whose_inspection_there_is_a_reason_is_asked_for_alone() -> None:
    state, inspections = planned(6)
    attempt = state.slots[0].attempts[0]
    inspections.after(0.0, 0, attempt)
    assert due(state, inspections, state.now_s) == [cmd.Inspect(0, 1, "us", "child-0")]


def test_an_inspection_that_is_needed_no_more_is_left_out() -> None:
    state, inspections = planned(6)
    state.slots[0].attempts[0].inspect_at_s = None
    state.slots[5].attempts[0].phase = Phase.ENDED
    (asked,) = due(state, inspections, state.limits.quiet_s + 4.0)
    assert isinstance(asked, cmd.InspectAll)
    assert sorted(asked.children) == [(1, 1), (2, 1), (3, 1), (4, 1)]
