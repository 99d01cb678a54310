"""Finds changes of the run log that can't be of this run. Whoever may write to the store may write anything into its log."""

from __future__ import annotations

from federation.run.brain.changes import (
    Ack,
    Bind,
    Done,
    Exclude,
    Fail,
    Halt,
    Measure,
    OfAttempt,
    Read,
    Rebind,
    Retry,
    Trouble,
)
from federation.run.brain.state import Logged, RunState


def contradiction(state: RunState, change: Read) -> str:
    """What a change names and the run doesn't have; empty where it has all."""
    match change:
        case Bind() | Ack() | Fail() | Measure() | Trouble():
            return _of_attempt(state, change)
        case Done():
            manifest = state.manifest
            if manifest.results != "none" or change.index >= manifest.groups.get(change.group, 0):
                return f"it says that {change.group[:80]!a}[{change.index}] is done, which only the index may say"
            return _of_attempt(state, change)
        case Exclude() | Rebind():
            return _foreign_region(state, change.region)
        case Halt():
            return next(filter(None, (_foreign_region(state, region) for region in change.revert)), "")
        case Retry() if not all(slot < len(state.slots) for slot in change.slots):
            return f"it retries a slot beyond the last, {len(state.slots) - 1}"
    return ""


def _of_attempt(state: RunState, change: OfAttempt | Done | Measure | Trouble) -> str:
    slots = state.slots
    if change.slot >= len(slots):
        return f"it names slot {change.slot} of {len(slots)}"
    if isinstance(change, Bind):
        if change.region not in state.manifest.regions:
            return f"it binds a slot to region {change.region[:80]!a}, which the manifest doesn't have"
    elif change.attempt > sum(Logged.BINDING in attempt.logged for attempt in slots[change.slot].attempts):
        return f"it names attempt {change.attempt} of slot {change.slot}, which was never bound"
    return ""


def _foreign_region(state: RunState, region: str) -> str:
    return "" if region in state.regions else f"it names region {region[:80]!a}, which the run doesn't have"
