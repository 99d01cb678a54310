"""Reads one attempt of a slot: what happened to its tasks, what they take and what they wrote. Live from its region while
that has it, else as it was kept in the home store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Literal

from federation.app import App
from federation.errors import UsageError
from federation.run.brain.state import Attempt
from federation.run.kept_logs import KeptAttempt, kept, kept_keys, read_kept
from federation.workflows.run_reader import RunStory
from jobs.errors import FedmlError
from jobs.frozen import field, frozen
from regions.errors import NotFound, RegionError
from regions.nomad.task_history import AllocationStory, TaskUsage

ALLOCATIONS_MAX = 20
"""So many of an attempt's allocations are read, the newest first."""
HISTORIES_MAX = 400
"""So many objects with histories are searched for one attempt whose output wasn't kept."""
READ_S = 5.0
TAIL_BYTES = 64 * 1024
Kind = Literal["stdout", "stderr"]


@frozen
class OneAllocation:
    """One allocation of an attempt. `output` maps task → stream → text where it was kept; `used` is what tasks take now, or the
    most that they took."""

    story: AllocationStory
    is_kept: bool
    used: Mapping[str, TaskUsage] = field(factory=dict)
    output: Mapping[str, Mapping[str, str]] = field(factory=dict)

    @property
    def is_running(self) -> bool:
        """Whether its region may still tell more of it."""
        return not self.is_kept and self.story.client_status in ("pending", "running")


@frozen
class AttemptStory:
    """One attempt. `problem` says why its region told nothing."""

    slot: int
    attempt: Attempt
    allocations: Sequence[OneAllocation]
    problem: str = ""


def attempt_of(story: RunStory, slot: int, number: int) -> Attempt:
    """The attempt of a run. Raises UsageError where there is none."""
    if not 0 <= slot < len(story.slots):
        raise UsageError(f"there is no slot {slot}", hint=f"the run has slots 0 to {len(story.slots) - 1}")
    found = next((one for one in story.slots[slot].attempts if one.number == number), None)
    if found is None:
        raise UsageError(
            f"slot {slot} has no attempt {number}", hint=f"it has {len(story.slots[slot].attempts)} until now"
        )
    return found


def attempt_story(app: App, story: RunStory, slot: int, number: int) -> AttemptStory:
    """Reads the attempt: what was kept of it, and what its region has of the rest. Raises UsageError, StoreError."""
    attempt, run = attempt_of(story, slot, number), story.manifest.run
    found = {one.story.id: _kept(one) for one in kept(app.home, run, slot) if one.attempt == number}
    problem = ""
    if attempt.job_id and attempt.region in app.config.regions:
        try:
            for one in _live(app, attempt, found):
                found[one.story.id] = one
        except FedmlError as error:
            problem = error.message
    if not found:
        found = {one.story.id: _kept(one) for one in _histories(app, run, slot, number)}
    order = sorted(found.values(), key=lambda one: (one.story.group, one.story.index))
    return AttemptStory(slot, attempt, order[:ALLOCATIONS_MAX], problem)


def tail(app: App, region: str, alloc_id: str, task: str, kind: Kind) -> str:
    """The end of what a task has written, live from its region; "" where it has written nothing. Raises RegionError."""
    with suppress(NotFound):
        data = app.client(region).within(READ_S).logs(alloc_id, task, kind=kind, tail_bytes=TAIL_BYTES)[-TAIL_BYTES:]
        return data.decode(errors="replace")
    return ""


def _live(app: App, attempt: Attempt, known: Mapping[str, OneAllocation]) -> Sequence[OneAllocation]:
    """The allocations that the region has and that aren't kept. Nothing of what Nomad forgot."""
    client = app.client(attempt.region).within(READ_S)
    try:
        listed, _ = client.allocations(job_id=attempt.job_id)
    except NotFound:
        return ()
    found = []
    for one in sorted(listed, key=lambda one: -one.modify_index)[:ALLOCATIONS_MAX]:
        if one.id in known:
            continue
        used: Mapping[str, TaskUsage] = {}
        if one.client_status == "running":
            with suppress(RegionError):
                used = client.usage(one.id)
        with suppress(NotFound):
            found.append(OneAllocation(client.allocation_story(one.id), False, used))
    return found


def _kept(one: KeptAttempt) -> OneAllocation:
    return OneAllocation(one.story, True, one.used, one.output)


def _histories(app: App, run: str, slot: int, number: int) -> Sequence[KeptAttempt]:
    keys = [key for key in kept_keys(app.home, run) if "/histories/" in key][:HISTORIES_MAX]
    for key in keys:
        if own := [one for one in read_kept(app.home, key) if (one.slot, one.attempt) == (slot, number)]:
            return own
    return ()
