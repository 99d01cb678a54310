"""The states of a slot, an attempt and a region, and every way from one to another.

`passed` is the only door: a state changes through it or not at all. docs/explanation/run-states.md draws the same tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar


class SlotState(StrEnum):
    """The state of a slot. Results count however late they come: only DONE is final."""

    OPEN = "open"
    DONE = "done"
    """The index has all its keys."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    """The run was cancelled or halted before the slot was done."""
    STOPPED = "stopped"
    """A rule of the run stopped it: it is to give no result."""


class Phase(StrEnum):
    """The phase of an attempt."""

    BINDING = "binding"
    """Proposed to the run log."""
    BOUND = "bound"
    """In the run log."""
    SENT = "sent"
    """It has a child, which waits for a node: its first one, or the next one after a drain."""
    RUNNING = "running"
    ENDED = "ended"


class Reach(StrEnum):
    """How far a region can be reached. A ping shows that it is alive; news of the run's children that it is followed."""

    REACHABLE = "reachable"
    """News of the children come from its own addresses."""
    RELAYED = "relayed"
    """News come through another region, which forwards; it gets no new work."""
    UNFOLLOWED = "unfollowed"
    """It answers pings and gives no news of the children."""
    SILENT = "silent"
    """It answers nothing."""
    LOST = "lost"
    """It gave no news for longer than the grace."""


class Admission(StrEnum):
    """Whether a region takes work."""

    OPEN = "open"
    HELD = "held"
    """It reported a problem that may pass."""
    EXCLUDED = "excluded"
    """It gets nothing more in this run."""


class Token(StrEnum):
    """Whether a region accepts its token. While it doesn't, the region is paused."""

    ACCEPTED = "accepted"
    REFUSED = "refused"


class Job(StrEnum):
    """Whether a region has the run's job."""

    ABSENT = "absent"
    JOINING = "joining"
    """The job is on its way to a region that hadn't answered when the run was opened."""
    THERE = "there"


State = TypeVar("State", SlotState, Phase, Reach, Admission, Token, Job)

TRANSITIONS: Mapping[type[StrEnum], Mapping[StrEnum, tuple[StrEnum, ...]]] = {
    SlotState: {
        SlotState.OPEN: (SlotState.DONE, SlotState.FAILED, SlotState.CANCELLED, SlotState.STOPPED),
        SlotState.FAILED: (SlotState.DONE, SlotState.OPEN),
        SlotState.CANCELLED: (SlotState.DONE, SlotState.OPEN),
        SlotState.STOPPED: (SlotState.DONE, SlotState.OPEN),
        SlotState.DONE: (),
    },
    Phase: {
        Phase.BINDING: (Phase.BOUND, Phase.ENDED),
        Phase.BOUND: (Phase.SENT, Phase.ENDED),
        Phase.SENT: (Phase.RUNNING, Phase.ENDED),
        Phase.RUNNING: (Phase.SENT, Phase.ENDED),
        Phase.ENDED: (),
    },
    Reach: {
        Reach.REACHABLE: (Reach.RELAYED, Reach.UNFOLLOWED, Reach.SILENT, Reach.LOST),
        Reach.RELAYED: (Reach.REACHABLE, Reach.UNFOLLOWED, Reach.SILENT, Reach.LOST),
        Reach.UNFOLLOWED: (Reach.REACHABLE, Reach.RELAYED, Reach.SILENT, Reach.LOST),
        Reach.SILENT: (Reach.REACHABLE, Reach.RELAYED, Reach.UNFOLLOWED, Reach.LOST),
        Reach.LOST: (Reach.REACHABLE, Reach.RELAYED),
    },
    Admission: {
        Admission.OPEN: (Admission.HELD, Admission.EXCLUDED),
        Admission.HELD: (Admission.OPEN, Admission.EXCLUDED),
        Admission.EXCLUDED: (),
    },
    Token: {
        Token.ACCEPTED: (Token.REFUSED,),
        Token.REFUSED: (Token.ACCEPTED,),
    },
    Job: {
        Job.ABSENT: (Job.JOINING,),
        Job.JOINING: (Job.THERE, Job.ABSENT),
        Job.THERE: (),
    },
}
"""Of each machine: from each state, the states that may follow."""


def passed(before: State, after: State) -> State:
    """Gives `after`. Raises AssertionError where it may not follow `before`; a state may be entered again."""
    if after is not before and after not in TRANSITIONS[type(before)][before]:
        raise AssertionError(f"{type(before).__name__}: {before} is not followed by {after}")
    return after
