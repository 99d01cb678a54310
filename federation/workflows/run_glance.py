"""What a person wants to know of a run at a glance: how each slot stands, why slots failed, how long it will take, its cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from federation.app import App
from federation.index.rows import OPEN
from federation.run.brain.state import Slot
from federation.run.brain.transitions import SlotState
from federation.run.timeline import Timeline
from federation.workflows.run_reader import RunStory

CHILDREN_S = 3.0
"""What one question to a region may take, with all attempts."""
Children = Mapping[str, str]
"""ID of a child that isn't over → its status (pending, running)."""


@dataclass(frozen=True, slots=True)
class RunGlance:
    """`causes` counts the slots that failed by their class of failure. `left_s` is None where nothing says it, `cost` where no
    region has a price."""

    causes: Mapping[str, int]
    left_s: float | None
    cost: float | None


def glance(story: RunStory, timeline: Timeline, now_s: float) -> RunGlance:
    """Sums up a run. `now_s` is the present, in seconds since the epoch."""
    causes = Counter(
        str(slot.last.cause)
        for slot in story.slots
        if slot.state is SlotState.FAILED and slot.last is not None and slot.last.cause is not None
    )
    costs = [region.cost for region in timeline.regions if region.cost is not None]
    return RunGlance(causes, _left_s(story, timeline, now_s), sum(costs) if costs else None)


def children(app: App, region: str, parent_id: str) -> Children:
    """The children of a run that aren't over in a region, by one list. Raises FedmlError."""
    stubs = app.client(region).within(CHILDREN_S).jobs(f"{parent_id}/dispatch-", is_alive=True)
    return {str(stub["ID"]): str(stub.get("Status", "")) for stub in stubs}


def slot_state(slot: Slot, alive: Mapping[str, Children | None], *, is_over: bool = False) -> str:
    """How a slot stands, as pages show it: waiting, running, done, failed, cancelled, or lost where its region doesn't say
    (`alive` has None for it). Of a run that is over, what was left dispatched is lost, and the rest cancelled."""
    if slot.state is not SlotState.OPEN:
        return {SlotState.DONE: "done", SlotState.FAILED: "failed"}.get(slot.state, "cancelled")
    last = slot.last
    if last is None or not last.is_open or not last.job_id:
        return "cancelled" if is_over else "waiting"
    if is_over:
        return "lost"
    known = alive.get(last.region, {})
    if known is None:
        return "lost"
    return "waiting" if known.get(last.job_id) == "pending" else "running"


def _left_s(story: RunStory, timeline: Timeline, now_s: float) -> float | None:
    """What the open slots take if results go on coming as until now."""
    done = sum(slot.state is SlotState.DONE for slot in story.slots)
    left = sum(slot.state is SlotState.OPEN for slot in story.slots)
    if story.state != OPEN or not done or not timeline.begun_s:
        return None
    return max(0.0, now_s - timeline.begun_s) / done * left
