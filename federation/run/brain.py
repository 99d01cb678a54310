"""The run's brain: events enter, commands leave. Deterministic: no I/O, no clock, no randomness.

The shell (`federation.run.coordinator`) executes commands and feeds back what happened; planning is `federation.plan`. On
this rests what DESIGN 3 promises:

- A binding (slot, attempt → region) is appended to the run log, and seen there, before its dispatch is commanded.
- An attempt is bound once. After a crash the log is replayed; recorded bindings are continued with the same token.
- An attempt whose dispatch has no known outcome is searched for before it is sent again.
- A slot is done when the index holds all its keys, whichever attempt gave them; late results are committed too, and the
  index calls them superseded.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection
from dataclasses import dataclass

from federation.result import ResultRecord
from federation.run.binding import bind_first, bind_one_each, bind_retries
from federation.run.commands import (
    Append,
    CheckParent,
    Close,
    Command,
    Commit,
    Dispatch,
    Find,
    Inspect,
    Look,
    Ping,
    Probe,
    Stop,
    Tell,
    TellKind,
    Verify,
)
from federation.run.events import (
    Acknowledged,
    AllocationChanged,
    Appended,
    CancelRequested,
    Change,
    ChildInspected,
    ChildSpec,
    Committed,
    DispatchFailed,
    Event,
    Found,
    Looked,
    Pair,
    ParentChecked,
    Pinged,
    RegionHeard,
    RegionProbed,
    Resumed,
    Stopped,
    Tick,
)
from federation.run.manifest import Manifest
from federation.run.state import Attempt, Phase, RegionState, Slot, newest, task_failure
from regions.model import Allocation


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient a run is. Times in seconds."""

    grace_s: float = 60.0
    reprobe_s: float = 5.0
    look_again_s: float = 2.0
    look_retry_s: float = 5.0
    inspect_s: float = 0.5
    quiet_s: float = 10.0
    """A child that got no allocation for so long is looked at: one that was stopped while it waited sends no news."""
    find_s: float = 2.0
    bindings_an_entry: int = 500


class Brain:
    """Owns the run's state. `step(event)` is the only way to change it."""

    def __init__(
        self, manifest: Manifest, limits: Limits | None = None, *, weights: dict[str, float] | None = None
    ) -> None:
        self.manifest = manifest
        self.limits = limits or Limits()
        self.weights = weights or {}
        self.slots = [Slot() for _ in range(manifest.slots)]
        self.regions = {name: RegionState(name, order) for order, name in enumerate(manifest.regions)}
        self.now_s = 0.0
        self.is_cancelled = False
        self.is_closed = False
        self._keys_a_slot = sum(manifest.groups.values())
        self._unbound = list(range(manifest.slots))
        self._retries: list[int] = []
        self._open_slots = manifest.slots
        self._children: dict[str, Pair] = {}
        self._strangers: dict[str, dict[str, AllocationChanged]] = {}
        self._changes: list[Change] = []
        self._append_is_under_way = False
        self._to_commit: list[ResultRecord] = []
        self._commits_under_way = 0
        self._in_flight: set[Pair] = set()
        self._looks: list[tuple[float, int, int, str]] = []
        self._inspections: list[tuple[float, int, int]] = []
        self._out: list[Command] = []
        self._handlers: dict[type, Callable[..., None]] = {
            Tick: self._tick,
            RegionProbed: self._probed,
            RegionHeard: self._heard,
            Pinged: self._pinged,
            Appended: self._appended,
            Resumed: self._resumed,
            ParentChecked: self._parent_checked,
            Acknowledged: self._acknowledged,
            DispatchFailed: self._dispatch_failed,
            Found: self._found,
            ChildSpec: self._child_spec,
            AllocationChanged: self._allocation_changed,
            ChildInspected: self._inspected,
            Looked: self._looked,
            Committed: self._committed,
            Stopped: self._stopped,
            CancelRequested: self._cancel,
        }

    @property
    def children(self) -> Collection[str]:
        """The children that were acknowledged."""
        return self._children.keys()

    def step(self, event: Event) -> list[Command]:
        """Take one event, give the commands that follow from it, in the order in which they are to be begun."""
        self._out = []
        if not self.is_closed:
            self._handlers[type(event)](event)
            self._flush()
        return self._out

    # ── time and regions ──────────────────────────────────────────────────────────────────────────────────────────────

    def _tick(self, event: Tick) -> None:
        first = self.now_s == 0.0
        self.now_s = event.now_s
        for region in self.regions.values():
            if first:
                region.heard_s = event.now_s
            self._ask_again(region)
        self._judge_silence()
        self._inspect_and_look()

    def _ask_again(self, region: RegionState) -> None:
        """Probe a region that could take work, find lost dispatches, read back spec hashes."""
        wants_room = (
            bool(self._unbound or self._retries)
            and not self.is_cancelled
            and not region.is_lost
            and not region.is_fatal
        )
        is_due = self.now_s - region.probed_s >= self.limits.reprobe_s
        if wants_room and is_due and region.probe_sent_s is None:
            region.probe_sent_s = self.now_s
            region.open_at_probe = region.open
            self._out.append(Probe(region.name))
        if self.now_s - region.heard_s > self.limits.grace_s / 3 and not region.is_pinged:
            region.is_pinged = True
            self._out.append(Ping(region.name))
        if region.find_at_s is not None and region.find_at_s <= self.now_s:
            region.find_at_s = None
            if region.unknown:
                self._out.append(Find(region.name, tuple(sorted(region.unknown))))
        if region.to_stop and region.stop_at_s <= self.now_s and not region.is_lost:
            self._out.extend(Stop(region.name, job_id) for job_id in sorted(region.to_stop))
            region.stopping |= region.to_stop
            region.to_stop = set()
        if region.unverified:
            self._out.append(Verify(region.name, tuple(region.unverified)))
            region.unverified = []

    def _judge_silence(self) -> None:
        """A region silent for longer than its grace is lost, unless all are silent: then it is us who are cut off."""
        silent = [one for one in self.regions.values() if self.now_s - one.heard_s > self.limits.grace_s]
        if len(silent) == len(self.regions):
            return
        for region in silent:
            if region.is_lost:
                continue
            region.is_lost = True
            self._tell("lost", region=region.name, detail=f"silent for {self.now_s - region.heard_s:.0f} s")
            for number, slot in enumerate(self.slots):
                for attempt in slot.attempts:
                    if attempt.is_open and attempt.region == region.name:
                        region.abandoned.append((number, attempt.number))
                        attempt.is_region_loss = True
                        self._end(number, attempt, f"region {region.name} was lost", own=False)

    def _pinged(self, event: Pinged) -> None:
        self.regions[event.region].is_pinged = False
        if event.is_alive:
            self._heard(RegionHeard(event.region))

    def _heard(self, event: RegionHeard) -> None:
        region = self.regions[event.region]
        region.heard_s = self.now_s
        if region.is_lost:
            region.is_lost = False
            region.probed_s = float("-inf")
            self._tell("back", region=region.name)
            for number, attempt_number in region.abandoned:
                attempt = self.slots[number].attempts[attempt_number - 1]
                if attempt.job_id:
                    self._stop(attempt)
                else:
                    region.unknown.add((number, attempt_number))
            region.abandoned = []
            region.find_at_s = region.stop_at_s = self.now_s

    def _probed(self, event: RegionProbed) -> None:
        region = self.regions[event.region]
        sent_s, region.probe_sent_s = region.probe_sent_s, None
        region.probed_s = sent_s if sent_s is not None else self.now_s
        open_then = region.open_at_probe if sent_s is not None else region.open
        if event.problem and event.problem != region.problem:
            self._tell("region", region=region.name, detail=event.problem)
        region.problem, region.is_fatal = event.problem, event.is_fatal
        if not event.problem:
            region.limit = open_then + event.free
            region.heard_s = self.now_s
        self._give_up_if_nowhere()

    def _give_up_if_nowhere(self) -> None:
        if all(region.is_fatal for region in self.regions.values()):
            for number in (*self._unbound, *self._retries):
                self._fail_slot(
                    number,
                    "no region can take it: " + "; ".join(f"{r.name}: {r.problem}" for r in self.regions.values()),
                )
            self._unbound, self._retries = [], []

    # ── binding ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _bind(self) -> None:
        """Bind slots that wait to regions with room; their dispatch follows when the log has the binding."""
        if not (self._unbound or self._retries) or self._append_is_under_way or self.is_cancelled:
            return
        if any(one.is_usable and one.probed_s == float("-inf") for one in self.regions.values()):
            return
        bound: dict[int, str] = {}
        if self._retries:
            bound |= self._take_from(self._retries, bind_retries(self._retries, self.slots, self.regions))
        if self.manifest.one_each and self._unbound:
            bound |= self._take_from(self._unbound, bind_one_each(self._unbound, self.manifest.regions, self.regions))
        if self._unbound:
            count = min(len(self._unbound), self.limits.bindings_an_entry)
            names = bind_first(count, self.regions, self.weights)
            bound |= self._take_from(self._unbound, dict(zip(self._unbound, names, strict=False)))
        for region in sorted(set(bound.values())):
            self._tell("bound", region=region, count=sum(1 for name in bound.values() if name == region))

    def _take_from(self, waiting: list[int], bound: dict[int, str]) -> dict[int, str]:
        """Make the attempts of these bindings; their slots wait no more."""
        if bound:
            waiting[:] = [number for number in waiting if number not in bound]
        for number, region in bound.items():
            slot = self.slots[number]
            slot.attempts.append(Attempt(len(slot.attempts) + 1, region))
            self.regions[region].open += 1
            self._changes.append({"type": "bind", "slot": number, "attempt": len(slot.attempts), "region": region})
        return bound

    def _appended(self, event: Appended) -> None:
        if not event.is_replay:
            self._append_is_under_way = False
        for change in event.changes:
            if change["type"] == "cancel":
                self._obey_cancel(str(change.get("reason", "")))
                continue
            if change["type"] not in ("bind", "ack", "fail"):
                continue
            number, attempt_number = int(change["slot"]), int(change["attempt"])
            if event.is_replay:
                self._replay(change, number, attempt_number)
            elif change["type"] == "bind":
                attempt = self.slots[number].attempts[attempt_number - 1]
                if attempt.phase is Phase.BINDING:
                    attempt.phase = Phase.BOUND
                    self.regions[attempt.region].waiting.append((number, attempt_number))

    def _parent_checked(self, event: ParentChecked) -> None:
        """Send the batch that waited for this, if the registered job is still the run's own."""
        region = self.regions[event.region]
        region.is_checking = False
        batch, region.waiting = region.waiting, []
        if event.spec_hash is None:
            region.unknown.update(batch)
            region.find_at_s = region.find_at_s or self.now_s + self.limits.find_s
            return
        if event.spec_hash != self.manifest.spec_hash:
            self._give_up_on(region, "the registered job isn't this run's any more: somebody changed or removed it")
        for number, attempt_number in batch:
            attempt = self.slots[number].attempts[attempt_number - 1]
            if not attempt.is_open or attempt.job_id:
                continue
            if region.is_fatal:
                self._end(number, attempt, region.problem, own=False)
            else:
                self._in_flight.add((number, attempt_number))
                self._out.append(Dispatch(number, attempt_number, attempt.region))
        self._give_up_if_nowhere()

    def _give_up_on(self, region: RegionState, problem: str) -> None:
        region.problem, region.is_fatal = problem, True
        self._tell("region", region=region.name, detail=problem)

    # ── resuming ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _replay(self, change: Change, number: int, attempt_number: int) -> None:
        slot = self.slots[number]
        if change["type"] == "bind":
            slot.attempts.append(Attempt(attempt_number, str(change["region"]), Phase.BOUND))
            if change["region"] in self.regions:
                self.regions[str(change["region"])].open += 1
            return
        attempt = slot.attempts[attempt_number - 1]
        if change["type"] == "ack":
            attempt.job_id = str(change["job_id"])
            if attempt.is_open:
                attempt.phase = Phase.SENT
            self._children[attempt.job_id] = (number, attempt_number)
        elif attempt.is_open:
            attempt.is_region_loss = bool(change.get("lost"))
            self._close_attempt(attempt, str(change.get("reason", "")), own=bool(change.get("own")))

    def _resumed(self, event: Resumed) -> None:
        for key in event.committed:
            self.slots[key.slot].committed.add((key.group, key.index))
        self._unbound, self._retries = [], []
        for number, slot in enumerate(self.slots):
            if len(slot.committed) >= self._keys_a_slot:
                self._finish_slot(number)
                continue
            last = slot.last
            if last is None:
                self._unbound.append(number)
            elif not last.is_open:
                self._rebind_or_fail(number)
            elif last.job_id:
                self._out.append(Inspect(number, last.number, last.region, last.job_id))
            else:
                self.regions[last.region].unknown.add((number, last.number))
        for region in self.regions.values():
            region.find_at_s = 0.0 if region.unknown else None

    # ── dispatching ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _acknowledged(self, event: Acknowledged) -> None:
        attempt = self.slots[event.slot].attempts[event.attempt - 1]
        region = self.regions[attempt.region]
        region.heard_s = self.now_s
        region.unknown.discard((event.slot, event.attempt))
        self._in_flight.discard((event.slot, event.attempt))
        if attempt.job_id:
            return
        attempt.job_id = event.job_id
        self._children[event.job_id] = (event.slot, event.attempt)
        self._changes.append({"type": "ack", "slot": event.slot, "attempt": event.attempt, "job_id": event.job_id})
        if not attempt.is_open:
            self._stop(attempt)
            return
        attempt.phase = Phase.SENT
        self._inspect_after(self.limits.quiet_s, event.slot, attempt)
        region.unverified.append(event.job_id)
        self._tell("dispatched", attempt=attempt, slot=event.slot, detail=event.job_id)
        for news in self._strangers.pop(event.job_id, {}).values():
            self._allocation_changed(news)

    def _dispatch_failed(self, event: DispatchFailed) -> None:
        attempt = self.slots[event.slot].attempts[event.attempt - 1]
        region = self.regions[attempt.region]
        self._in_flight.discard((event.slot, event.attempt))
        if event.outcome == "unknown":
            region.unknown.add((event.slot, event.attempt))
            region.find_at_s = region.find_at_s or self.now_s + self.limits.find_s
            return
        self._give_up_on(region, event.message)
        self._end(event.slot, attempt, event.message, own=False)
        self._give_up_if_nowhere()

    def _found(self, event: Found) -> None:
        region = self.regions[event.region]
        region.heard_s = self.now_s
        for (slot, number), job_id in event.children.items():
            self._acknowledged(Acknowledged(slot, number, job_id))
        for slot, number in event.missing:
            region.unknown.discard((slot, number))
            attempt = self.slots[slot].attempts[number - 1]
            if attempt.is_open and not attempt.job_id and not self.is_cancelled:
                region.waiting.append((slot, number))
        if region.unknown:
            region.find_at_s = self.now_s + self.limits.find_s

    def _child_spec(self, event: ChildSpec) -> None:
        if event.spec_hash == self.manifest.spec_hash or event.job_id not in self._children:
            return
        number, attempt_number = self._children[event.job_id]
        attempt = self.slots[number].attempts[attempt_number - 1]
        region = self.regions[attempt.region]
        self._give_up_on(region, "a child carries another spec hash: somebody changed the registered job")
        if not attempt.is_open:
            self._stop(attempt)
        else:
            self._end(number, attempt, region.problem, own=False)
        self._give_up_if_nowhere()

    # ── watching ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _allocation_changed(self, event: AllocationChanged) -> None:
        allocation = event.allocation
        self.regions[event.region].heard_s = self.now_s
        pair = self._children.get(allocation.job_id)
        if pair is None:
            if self._in_flight or self.regions[event.region].unknown:
                self._strangers.setdefault(allocation.job_id, {})[allocation.id] = event
            return
        number, attempt_number = pair
        attempt = self.slots[number].attempts[attempt_number - 1]
        if allocation.client_status == "running" and attempt.phase is Phase.SENT:
            attempt.phase = Phase.RUNNING
            self._tell("running", attempt=attempt, slot=number, detail=allocation.node_name)
        elif allocation.client_status == "complete":
            self._completed(number, attempt, allocation)
        elif allocation.client_status in ("failed", "lost"):
            self._inspect_after(self.limits.inspect_s, number, attempt)

    def _completed(self, number: int, attempt: Attempt, allocation: Allocation) -> None:
        attempt.complete.add((allocation.group, allocation.index))
        if self.manifest.results == "none":
            if (allocation.group in self.manifest.groups) and attempt.is_open:
                self.slots[number].committed.add((allocation.group, allocation.index))
                if len(self.slots[number].committed) >= self._keys_a_slot:
                    self._finish_slot(number)
        elif allocation.group in self.manifest.groups:
            self._look(number, attempt, allocation)

    def _look(self, number: int, attempt: Attempt, allocation: Allocation | None) -> None:
        """Ask for the record, once an allocation; None asks for whatever the slot has left in the stores."""
        alloc_id = allocation.id if allocation else ""
        if alloc_id not in attempt.misses:
            attempt.misses[alloc_id] = 0
            attempt.looking[alloc_id] = allocation
            self._out.append(Look(number, attempt.number, attempt.region, allocation))

    def _inspect_and_look(self) -> None:
        while self._inspections and self._inspections[0][0] <= self.now_s:
            due_s, number, attempt_number = heapq.heappop(self._inspections)
            attempt = self.slots[number].attempts[attempt_number - 1]
            if attempt.inspect_at_s != due_s:
                continue
            attempt.inspect_at_s = None
            if attempt.is_open:
                self._out.append(Inspect(number, attempt.number, attempt.region, attempt.job_id))
        while self._looks and self._looks[0][0] <= self.now_s:
            _, number, attempt_number, alloc_id = heapq.heappop(self._looks)
            attempt = self.slots[number].attempts[attempt_number - 1]
            self._out.append(Look(number, attempt_number, attempt.region, attempt.looking[alloc_id]))

    def _inspect_after(self, delay_s: float, number: int, attempt: Attempt) -> None:
        due_s = self.now_s + delay_s
        is_sooner = attempt.inspect_at_s is None or due_s < attempt.inspect_at_s
        if attempt.is_open and attempt.job_id and is_sooner:
            attempt.inspect_at_s = due_s
            heapq.heappush(self._inspections, (due_s, number, attempt.number))

    def _inspected(self, event: ChildInspected) -> None:
        attempt = self.slots[event.slot].attempts[event.attempt - 1]
        if not attempt.is_open:
            return
        if event.status == "gone":
            self._look(event.slot, attempt, None)
            return
        latest = newest(event.allocations)
        for allocation in latest.values():
            if allocation.client_status == "complete":
                self._completed(event.slot, attempt, allocation)
        failed = [one for one in latest.values() if one.client_status in ("failed", "lost")]
        if event.status != "dead":
            if failed:
                self._inspect_after(4 * self.limits.inspect_s, event.slot, attempt)
            elif attempt.phase is Phase.SENT:
                self._inspect_after(self.limits.quiet_s, event.slot, attempt)
            return
        if failed:
            told = f": {event.last_line}" if event.last_line else ""
            attempt.verdict = (task_failure(failed[0]) + told, failed[0].client_status == "failed")
            self._look(event.slot, attempt, None)  # results are truth: it may have published before it failed
        elif not latest or any(one.client_status != "complete" for one in latest.values()):
            self._end(event.slot, attempt, "its job was stopped by somebody else", own=False)

    def _looked(self, event: Looked) -> None:
        slot = self.slots[event.slot]
        attempt = slot.attempts[event.attempt - 1]
        good = [record for record in event.records if record.spec_hash == self.manifest.spec_hash]
        if event.error:
            self._look_later(event, self.limits.look_retry_s)
            return
        self._to_commit.extend(good)
        found = {(record.key.group, record.key.index) for record in good}
        if not event.alloc_id and attempt.verdict and len(found | slot.committed) < self._keys_a_slot:
            reason, own = attempt.verdict
            self._end(event.slot, attempt, reason, own=own)
            return
        if good:
            attempt.looking.pop(event.alloc_id, None)
            return
        if event.records:
            self._end(event.slot, attempt, "its result carries another spec hash", own=False)
            return
        misses = attempt.misses[event.alloc_id] = attempt.misses.get(event.alloc_id, 0) + 1
        if misses < 2:
            self._look_later(event, self.limits.look_again_s)
        elif attempt.is_open:
            allocation = attempt.looking.get(event.alloc_id)
            if allocation is None:
                self._end(event.slot, attempt, "its job vanished from Nomad and left no result", own=False)
            elif allocation.desired_status == "stop":
                self._end(event.slot, attempt, "its job was stopped by somebody else", own=False)
            else:
                self._end(event.slot, attempt, "NoResult: it completed and published nothing", own=True)

    def _look_later(self, event: Looked, after_s: float) -> None:
        heapq.heappush(self._looks, (self.now_s + after_s, event.slot, event.attempt, event.alloc_id))

    def _committed(self, event: Committed) -> None:
        self._commits_under_way -= 1
        for record, outcome in event.outcomes:
            if outcome == "late":
                continue
            key = record.key
            slot = self.slots[key.slot]
            place = (key.group, key.index)
            if place not in slot.committed:
                slot.committed.add(place)
                attempt = slot.attempts[record.attempt - 1] if 0 < record.attempt <= len(slot.attempts) else slot.last
                self._tell("committed", attempt=attempt, slot=key.slot, detail=f"{key.group}[{key.index}] {outcome}")
            if len(slot.committed) >= self._keys_a_slot:
                self._finish_slot(key.slot)

    # ── ends ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _end(self, number: int, attempt: Attempt, reason: str, *, own: bool) -> None:
        """An attempt ended badly: record it, and bind the slot anew or fail it."""
        if not attempt.is_open:
            return
        self._close_attempt(attempt, reason, own=own)
        change: Change = {"type": "fail", "slot": number, "attempt": attempt.number, "reason": reason, "own": own}
        self._changes.append(change | {"lost": True} if attempt.is_region_loss else change)
        if not self.regions[attempt.region].is_lost:
            self._stop(attempt)
        self._rebind_or_fail(number)

    def _stop(self, attempt: Attempt) -> None:
        region = self.regions[attempt.region]
        if attempt.job_id and attempt.job_id not in region.stopping | region.to_stop:
            region.stopping.add(attempt.job_id)
            self._out.append(Stop(attempt.region, attempt.job_id))

    def _stopped(self, event: Stopped) -> None:
        region = self.regions[event.region]
        region.stopping.discard(event.job_id)
        if event.problem:
            self._tell("region", region=region.name, detail=f"may not stop {event.job_id}: {event.problem}")
        elif not event.is_done:
            region.to_stop.add(event.job_id)
            region.stop_at_s = self.now_s + self.limits.find_s

    def _close_attempt(self, attempt: Attempt, reason: str, *, own: bool) -> None:
        attempt.phase, attempt.reason, attempt.is_own_failure = Phase.ENDED, reason, own
        if attempt.region in self.regions:
            self.regions[attempt.region].open -= 1

    def _rebind_or_fail(self, number: int) -> None:
        slot = self.slots[number]
        if slot.state != "open":
            return
        own = {attempt.region for attempt in slot.attempts if attempt.is_own_failure}
        last = slot.last
        counted = sum(1 for attempt in slot.attempts if not attempt.is_region_loss)
        if counted >= self.manifest.max_attempts or len(own) >= 2:
            self._fail_slot(number, last.reason if last else "")
            return
        self._tell("retry", attempt=last, slot=number, detail=last.reason if last else "")
        self._retries.append(number)

    def _fail_slot(self, number: int, reason: str) -> None:
        slot = self.slots[number]
        if slot.state == "open":
            slot.state, slot.reason = "failed", reason
            self._open_slots -= 1
            self._tell("failed", attempt=slot.last, slot=number, detail=reason)

    def _finish_slot(self, number: int) -> None:
        """All keys are committed; attempts that didn't give them needn't go on."""
        slot = self.slots[number]
        if slot.state == "open":
            self._open_slots -= 1
        slot.state = "done"
        for attempt in slot.attempts:
            if attempt.is_open:
                if len(slot.attempts) > 1 and not attempt.complete:
                    self._stop(attempt)
                self._close_attempt(attempt, "", own=False)
        if number in self._retries:
            self._retries.remove(number)

    def _cancel(self, event: CancelRequested) -> None:
        self._changes.append({"type": "cancel", "reason": event.reason})

    def _obey_cancel(self, reason: str) -> None:
        if self.is_cancelled:
            return
        self.is_cancelled = True
        self._tell("cancel", detail=reason)
        self._unbound, self._retries = [], []
        for slot in self.slots:
            for attempt in slot.attempts:
                if attempt.is_open:
                    self._stop(attempt)
                    self._close_attempt(attempt, "cancelled", own=False)
            if slot.state == "open":
                slot.state, slot.reason = "cancelled", reason
                self._open_slots -= 1

    # ── leaving the step ──────────────────────────────────────────────────────────────────────────────────────────────

    def _flush(self) -> None:
        """Bind what has room, then send the collected records and log changes on, and close when all is over."""
        self._bind()
        if self._to_commit:
            self._out.append(Commit(tuple(self._to_commit)))
            self._to_commit = []
            self._commits_under_way += 1
        if self._changes and not self._append_is_under_way:
            self._out.append(Append(tuple(self._changes)))
            self._changes = []
            self._append_is_under_way = True
        for region in self.regions.values():
            if region.waiting and not region.is_checking:
                region.is_checking = True
                self._out.append(CheckParent(region.name))
        is_quiet = not (
            self._append_is_under_way or self._commits_under_way or self._in_flight or self._may_have_children()
        )
        if self._open_slots == 0 and is_quiet and not self.is_closed:
            self.is_closed = True
            failed = sum(1 for slot in self.slots if slot.state == "failed")
            if self.is_cancelled:
                self._out.append(Close("cancelled", ""))
            elif failed:
                self._out.append(Close("failed", f"{failed} of {len(self.slots)} slots failed"))
            else:
                self._out.append(Close("done", ""))

    def _may_have_children(self) -> bool:
        """Whether a region that was heard of lately may hold a child that nobody knows, or one that isn't stopped yet."""
        return any(
            (one.unknown or one.stopping or one.to_stop) and self.now_s - one.heard_s <= self.limits.grace_s
            for one in self.regions.values()
        )

    def _tell(
        self,
        kind: TellKind,
        *,
        region: str = "",
        slot: int = -1,
        attempt: Attempt | None = None,
        detail: str = "",
        count: int = 1,
    ) -> None:
        self._out.append(
            Tell(
                kind,
                region or (attempt.region if attempt else ""),
                slot,
                attempt.number if attempt else 0,
                detail,
                count,
            )
        )
