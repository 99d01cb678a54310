"""Reads what the tasks of a run wrote: live from the regions, or as it was kept in the home store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from federation.app import App
from federation.errors import UsageError
from federation.run.brain.state import Attempt, Slot
from federation.run.kept_logs import FAILED_TAIL_BYTES, kept
from federation.workflows.runs import Runs
from jobs.errors import FedmlError
from jobs.frozen import frozen
from regions.errors import NotFound
from regions.model import Allocation

if TYPE_CHECKING:
    from regions.nomad.client import NomadRegion

FOLLOW_S = 1.0
"""Pause between two reads of a followed stream."""
STORY_EVERY = 5
"""The run itself is read again each so many times, for new attempts and its end."""
Kind = Literal["stdout", "stderr"]
Stream = tuple[str, str, Kind]
"""Allocation, task and stream."""
Offsets = dict[Stream, int]
"""How many bytes of each stream were read before."""


@frozen
class Written:
    """What one task of one allocation wrote to one stream, or (followed) the next piece of it."""

    slot: int
    attempt: int
    region: str
    alloc_id: str
    task: str
    kind: Kind
    text: str
    is_kept: bool
    """From the home store; else live from the region."""


@frozen
class Wanted:
    """Which part: one slot (None: all), only attempts that failed, one task, one stream."""

    slot: int | None = None
    is_failed: bool = False
    task: str = ""
    kinds: tuple[Kind, ...] = ("stdout", "stderr")


def written(app: App, run: str, wanted: Wanted) -> Iterator[Written]:
    """Reads what was written until now, by slot and attempt. A kept copy is preferred, since it is whole.

    Raises UsageError for a run or slot that isn't there, RegionError where a region that is needed doesn't answer.
    """
    story = Runs(app).story(run)
    there = _attempts(story.slots, wanted)
    seen: set[tuple[int, int]] = set()
    for one in kept(app.home, story.manifest.run, wanted.slot):
        if (one.slot, one.attempt) not in there:
            continue
        seen.add((one.slot, one.attempt))
        for task, streams in one.output.items():
            for kind in wanted.kinds:
                if wanted.task in ("", task) and streams.get(kind):
                    yield Written(one.slot, one.attempt, one.region, one.story.id, task, kind, streams[kind], True)
    for (slot, number), attempt in there.items():
        if (slot, number) not in seen:
            yield from _live(app, slot, attempt, wanted)


def followed(app: App, run: str, wanted: Wanted) -> Iterator[Written]:
    """As `written`, live only, piece by piece while it is being written, until the run is over or nobody reads on.

    A region that doesn't answer is asked again. A new attempt is read from its beginning.
    """
    runs = Runs(app)
    run = runs.find(run).run  # once: what `last` means may change meanwhile
    offsets: Offsets = {}
    turn = 0
    attempts: dict[tuple[int, int], Attempt] = {}
    state = "open"
    while True:
        if turn % STORY_EVERY == 0:
            story = runs.story(run)
            state, attempts = story.state, _attempts(story.slots, wanted)
        for (slot, _), attempt in attempts.items():
            try:
                yield from _live(app, slot, attempt, wanted, offsets)
            except FedmlError:
                continue
        if state != "open":
            return
        time.sleep(FOLLOW_S)
        turn += 1


def _attempts(slots: Sequence[Slot], wanted: Wanted) -> dict[tuple[int, int], Attempt]:
    if wanted.slot is not None and not 0 <= wanted.slot < len(slots):
        raise UsageError(f"there is no slot {wanted.slot}", hint=f"the run has slots 0 to {len(slots) - 1}")
    return {
        (number, attempt.number): attempt
        for number, slot in enumerate(slots)
        if wanted.slot in (None, number)
        for attempt in slot.attempts
        if attempt.job_id and (attempt.reason or not wanted.is_failed)
    }


def _live(app: App, slot: int, attempt: Attempt, wanted: Wanted, offsets: Offsets | None = None) -> Iterator[Written]:
    """The end of what the region has. With `offsets`, all beyond these, which are moved on. Nothing of what Nomad forgot."""
    client = app.client(attempt.region)
    try:
        allocations, _ = client.allocations(job_id=attempt.job_id)
    except NotFound:
        return
    for stream in _streams(allocations, wanted):
        alloc_id, task, kind = stream
        with suppress(NotFound):
            if data := _piece(client, stream, offsets):
                text = data.decode(errors="replace")
                yield Written(slot, attempt.number, attempt.region, alloc_id, task, kind, text, False)


def _streams(allocations: Sequence[Allocation], wanted: Wanted) -> Iterator[Stream]:
    """The wanted streams of tasks that have begun."""
    for allocation in sorted(allocations, key=lambda one: (one.group, one.index, one.modify_index)):
        for task, state in allocation.tasks.items():
            if wanted.task in ("", task) and state.state != "pending":
                yield from ((allocation.id, task, kind) for kind in wanted.kinds)


def _piece(client: NomadRegion, stream: Stream, offsets: Offsets | None) -> bytes:
    alloc_id, task, kind = stream
    if offsets is None:
        return client.logs(alloc_id, task, kind=kind, tail_bytes=FAILED_TAIL_BYTES)
    begin = offsets.get(stream, 0)
    data = client.logs(alloc_id, task, kind=kind, offset_bytes=begin)
    offsets[stream] = begin + len(data)
    return data
