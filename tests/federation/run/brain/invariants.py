"""What must hold after every step of the virtual world, whatever goes wrong: the design's promises (part 3), seen from outside.

The watchdog knows the truth of the world (what was dispatched, published, cut) and never asks the brain for its opinion where
it can be avoided.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from federation.result import ResultRecord
from federation.run.brain import commands as cmd
from federation.run.brain import events as ev
from federation.run.brain.brain import Brain
from federation.run.brain.causes import Cause
from federation.run.brain.changes import Bind
from federation.run.brain.region_state import RegionState

if TYPE_CHECKING:
    from tests.federation.run.brain.virtual_region import Child, VirtualRegion
    from tests.federation.run.brain.world import Seat, World

NOT_COUNTED = (
    Cause.REGION_LOST,
    Cause.PREEMPTED,
    Cause.MOVED,
    Cause.PENDING,
    Cause.REFUSED,
    Cause.CANCELLED,
    Cause.RULE,
)
OWN = (Cause.EXIT, Cause.OOM, Cause.SETUP, Cause.NO_RESULT, Cause.TIMEOUT, Cause.INPUT, Cause.CODE)


class Watchdog:
    """Looks at every step; what it sees wrong is an AssertionError."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.bound: dict[tuple[int, int], str] = {}
        self.failed: dict[tuple[int, int], str] = {}
        self.acknowledged: dict[tuple[int, int], int] = {}
        """(slot, attempt) → the entry of the run log that says so."""
        self.forgiven: dict[int, int] = {}
        self.cancelled_at: float | None = None
        self.sent: dict[tuple[int, int, int, int], bool] = {}
        """(seat, life, slot, attempt) → whether it was searched for, or refused, since it was sent."""
        self.heard: dict[tuple[int, str], float] = {}
        self.followed: dict[tuple[int, str], float] = {}
        self.cut_off_at: dict[int, float] = {}
        """Seat → when its brain last took most regions' silence for its own network."""
        self.done: dict[int, int] = {}
        """Slot → the attempt whose result is in the index."""
        self.proven: set[str] = set()
        """Regions that have given a result."""
        self.measured: dict[int, float] = {}
        """Slot → its newest value at the step of --keep-best, as the log has it."""
        self.well: set[tuple[int, int]] = set()
        """Attempts whose task ended by itself with exit code 0."""
        self.lost: set[tuple[int, int, str]] = set()
        """(seat, life, region)"""

    # ── the log ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def appended(self, seat: Seat, changes: tuple[dict[str, Any], ...]) -> None:
        world, manifest = self.world, self.world.manifest
        for change in changes:
            kind = change["type"]
            if kind == "cancel":
                self.cancelled_at = world.now
            if kind == "done":
                pair = int(change["slot"]), int(change["attempt"])
                assert pair in self.well, f"{pair} is called done, and was killed or failed"
            if kind == "retry":
                for slot in change["slots"]:
                    self.forgiven[slot] = sum(1 for bound in self.bound if bound[0] == slot)
            if kind == "measure":
                self.measured[int(change["slot"])] = float(change["value"])
            if kind not in ("bind", "ack", "fail"):
                continue
            pair = slot, attempt = int(change["slot"]), int(change["attempt"])
            if kind == "ack":
                assert pair in self.bound, f"{pair} acknowledged, never bound"
                self.acknowledged.setdefault(pair, len(world.log))
            elif kind == "fail":
                assert pair in self.bound, f"{pair} failed, never bound"
                if change["cause"] == Cause.RULE:
                    self._check_rule(slot, str(change["reason"]))
                self.failed.setdefault(pair, str(change["cause"]))
                if change["cause"] == Cause.MOVED:
                    children = self._children_of(self.bound[pair], pair)
                    assert any(one.status == "dead" for one in children) or not children, (
                        f"{pair} was given up after a drain, though Nomad goes on with it"
                    )
                is_lost = change["cause"] in (Cause.EXIT, Cause.VANISHED, Cause.NO_RESULT)
                if is_lost and manifest.results == "publish" and world.sends_good(self.bound[pair]):
                    since = world.now - world.published_at.get(pair, world.now)
                    assert since < 60, f"{pair} was given up ({change['cause']}), though it published {since} s ago"
            else:
                assert pair not in self.bound, f"attempt {pair} was bound twice"
                assert change["region"] in manifest.regions, f"{pair} was bound outside the run's regions"
                assert attempt == 1 or (slot, attempt - 1) in self.bound, f"{pair} skips a number"
                assert attempt == 1 or (slot, attempt - 1) in self.failed, (
                    f"{pair} was bound while the one before is open"
                )
                assert self.failed.get((slot, attempt - 1)) != Cause.RULE, f"{pair}: a rule stopped the slot before"
                self.bound[pair] = str(change["region"])
                self._check_limits(slot, str(change["region"]))

    def _check_rule(self, slot: int, reason: str) -> None:
        """A slot is stopped only for what its task logged; by --keep-best only where enough others are as good."""
        world, keep = self.world, self.world.manifest.keep_best
        if reason.startswith("--stop-when"):
            assert world.loss(slot) > 0.6, f"slot {slot} was stopped by a condition that it doesn't meet"
            return
        assert keep is not None, "stopped by a rule that the run doesn't have"
        own = (keep.order(self.measured[slot]), slot)
        better = [one for one, value in self.measured.items() if (keep.order(value), one) < own]
        assert len(better) >= keep.count, f"slot {slot} was stopped, and only {len(better)} are better"

    def _check_limits(self, slot: int, region: str) -> None:
        world, manifest = self.world, self.world.manifest
        skip = self.forgiven.get(slot, 0)
        counted = [
            cause for (number, attempt), cause in self.failed.items()
            if number == slot and attempt > skip and cause not in NOT_COUNTED
        ]  # fmt: skip
        assert len(counted) < manifest.max_attempts, f"slot {slot} has used its attempts: {counted}"
        here = [
            pair for pair, where in self.bound.items()
            if where == region and pair not in self.failed and self.done.get(pair[0], pair[1]) == pair[1]
        ]  # fmt: skip
        room = (world.rooms or {}).get(region)
        if (
            room is not None and room.cap is not None and len(world.seats) == 1
        ):  # two may differ for a while in who gave
            assert len(here) <= room.cap, f"{region} has {len(here)} slots, above its cap"
        if world.share is not None and len(world.seats) == 1:
            outstanding = [pair for pair in self.bound if pair not in self.failed and pair[0] not in self.done]
            assert len(outstanding) <= world.share, f"{len(outstanding)} slots are outstanding, above the share"
        if manifest.canary and region not in self.proven:
            assert len(here) <= manifest.canary, f"{region} has {len(here)} slots before its canary's result"

    def dispatched(self, region: str, child: Child) -> None:
        """A region made a child."""
        alike = [one.id for one in self._children_of(region, (child.slot, child.attempt))]
        assert len(alike) == 1 or not self.world.regions[region].has_tokens, f"two children of one attempt: {alike}"
        assert (child.slot, child.attempt) in self.bound, "a child of an attempt that isn't bound"

    def _children_of(self, region: str, pair: tuple[int, int]) -> list[Child]:
        return [one for one in self.world.regions[region].children.values() if (one.slot, one.attempt) == pair]

    def ended_well(self, region: str, child: Child) -> None:
        """A child did its work."""
        self.well.add((child.slot, child.attempt))
        if self.world.manifest.results == "none":
            self.done.setdefault(child.slot, child.attempt)
            self.proven.add(region)

    # ── commands ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def before(self, seat: Seat, command: cmd.Command) -> None:
        """A command was begun."""
        if isinstance(command, cmd.Tell):
            self._told(seat, command)
        elif isinstance(command, cmd.Dispatch):
            pair = (command.slot, command.attempt)
            assert self.bound.get(pair) == command.region, f"{pair} is dispatched to {command.region}, not bound there"
            is_known = self.acknowledged.get(pair, seat.read + 1) <= seat.read
            assert not is_known, f"{pair} is dispatched again after its acknowledgement"
            place = (seat.number, seat.life, *pair)
            assert self.sent.get(place, True), f"{pair} is repeated without having been searched for"
            self.sent[place] = False
        elif isinstance(command, cmd.Find):
            for pair in command.pairs:
                self.sent[(seat.number, seat.life, *pair)] = True
        elif isinstance(command, cmd.Append) and any(isinstance(change, Bind) for change in command.changes):
            self._check_not_cut_off(seat)
        elif isinstance(command, cmd.Stop) and command.is_purge:
            slot = next(
                (
                    c.slot
                    for region in self.world.regions.values()
                    for c in region.children.values()
                    if c.id == command.job_id
                ),
                None,
            )
            assert slot is None or slot in self.done, "a child was purged whose result isn't committed"

    def _check_not_cut_off(self, seat: Seat) -> None:
        world = self.world
        since = seat.seated_at
        there = [name for name in world.manifest.regions if (seat.number, seat.life, name) not in self.lost]
        heard = {name: max(since, self.heard.get((seat.number, name), since)) for name in there}
        silent = [name for name in there if world.now - heard[name] > 2 * world.limits.grace_s]
        assert not silent or 2 * len(silent) <= len(there), f"bound anew while cut off from {silent}"

    def committing(self, record: ResultRecord) -> None:
        """A record is about to be entered."""
        world = self.world
        assert world.records.get(record.alloc_id) == record, "committed what nobody published"
        assert record.spec_hash == world.manifest.spec_hash, "committed a result of another spec"
        lie = world.forged.get(record.alloc_id, {})
        assert not lie or self._is_beyond_proof(record, lie), f"committed what a node made up: {lie}"
        self.done.setdefault(record.key.slot, record.attempt)
        self.proven.add(record.region)

    def _is_beyond_proof(self, record: ResultRecord, lie: Mapping[str, Any]) -> bool:
        """Only Nomad knows an allocation's node: where it was silent or forgot the child, and the run log doesn't say that the
        record was refused, the name of the node stays the node's word. Of two coordinators one may read that too late."""
        world, pair = self.world, (record.key.slot, record.attempt)
        is_forgotten = all(record.job_id not in region.children for region in world.regions.values())
        changes = (change for entry in world.log for change in entry if change["type"] == "fail")
        is_refused = any((one["slot"], one["attempt"]) == pair and " says node " in one["reason"] for one in changes)
        is_unknown = is_forgotten or record.region in world.unasked
        return set(lie) == {"node"} and is_unknown and not (is_refused and len(world.seats) == 1)

    # ── steps ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def after_step(self, brain: Brain, event: ev.Event, commands: list[cmd.Command]) -> None:
        world = self.world
        seat = next((one for one in world.seats if one.brain is brain), None)
        if isinstance(event, ev.Tick) and seat is not None:
            self._check_losses(seat, brain)
        if isinstance(event, ev.Tick) and not commands:
            return
        if seat is not None:
            if isinstance(event, ev.DispatchFailed) and event.outcome == "denied":
                self.sent[seat.number, seat.life, event.slot, event.attempt] = True
            region = getattr(event, "region", "")
            is_refusal = (
                isinstance(event, ev.ParentChecked | ev.Found | ev.Stopped | ev.Reverted)
                or (isinstance(event, ev.RegionProbed) and bool(event.problem))
                or (isinstance(event, ev.NotListed) and not event.is_denied)  # a region that refuses the token answers
            )
            is_sign = not is_refusal and not (isinstance(event, ev.Pinged) and not event.is_alive)
            if region and is_sign:
                self.heard[seat.number, region] = world.now
            if isinstance(event, ev.RegionHeard | ev.AllocationChanged | ev.Listed):
                self.followed[seat.number, region] = world.now
        for command in commands:
            if isinstance(command, cmd.Tell) and command.kind == "failed":
                self._check_failure(brain, command)

    def _check_losses(self, seat: Seat, brain: Brain) -> None:
        """No region keeps its slots for longer than one and a half graces without news of them, not counting the time in
        which most regions were silent together. Looks at nothing by which the brain decides about the loss."""
        world = self.world
        limit_s = 1.5 * world.limits.grace_s
        if brain.state.is_cut_off:
            self.cut_off_at[seat.number] = world.now
        if brain.is_closed or world.now - seat.jumped_at <= limit_s:
            return
        for name, region in brain.regions.items():
            since = max(
                seat.seated_at,
                self.followed.get((seat.number, name), seat.seated_at),
                self.cut_off_at.get(seat.number, seat.seated_at),
            )
            is_held = not (region.is_lost or region.is_paused) and world.now - since > limit_s
            assert not is_held, f"{name} gave no news for {world.now - since:.0f} s and isn't lost: {region.reach}"

    def _told(self, seat: Seat, tell: cmd.Tell) -> None:
        world = self.world
        place = (seat.number, seat.life, tell.region)
        if tell.kind == "lost":
            heard = max(seat.seated_at, self.followed.get((seat.number, tell.region), seat.seated_at))
            silent_s = world.now + seat.clock_ahead_s - heard
            assert silent_s > world.limits.grace_s - 1, f"{tell.region} was called lost after {silent_s} s"
            self.lost.add(place)
        elif tell.kind == "back":
            self.lost.discard(place)
        elif tell.kind == "stopped":
            assert self.failed.get((tell.slot, tell.attempt)) == Cause.RULE, "a rule stopped it before the log says so"
        elif tell.kind == "bound":
            assert seat.brain is not None
            assert not seat.brain.state.is_ending, "bound after the run was cancelled"

    def _check_failure(self, brain: Brain, tell: cmd.Tell) -> None:
        """A slot may fail only when its attempts are used up, for its own reason in two regions, or with nowhere to go."""
        slot = brain.slots[tell.slot]
        ended = [one for one in slot.attempts[slot.forgiven :] if one.cause is not None]
        counted = [one for one in ended if one.cause not in NOT_COUNTED]
        own = {one.region for one in ended if one.cause in OWN}
        is_nowhere = all(region.is_excluded or region.is_full for region in brain.regions.values())
        assert tell.detail, "a failure without a reason"
        assert (
            len(counted) >= brain.manifest.max_attempts
            or len(own) >= 2
            or is_nowhere
            or any(one.cause in (Cause.INPUT, Cause.CODE) for one in ended)
        ), f"slot {tell.slot} failed after {[str(one.cause) for one in ended]}"

    def _is_twin(self, region: VirtualRegion, child: Child) -> bool:
        """Where tokens count for nothing an attempt may have two children; of one that gave the result nothing is stopped."""
        return not region.has_tokens and self.done.get(child.slot) == child.attempt

    def at_the_end(self) -> None:
        """The run is over, and what could be reached was swept."""
        world, manifest = self.world, self.world.manifest
        assert world.closed is not None
        left = [
            child.id
            for region in world.regions.values()
            for child in region.children.values()
            if child.status != "dead" and not region.cut and not region.is_token_expired and not self._is_twin(region, child)
            and not any(seat.brain and seat.brain.regions[region.name].is_lost for seat in world.seats)
            and not any(seat.brain and _is_listed(seat.brain.regions[region.name], child.id) for seat in world.seats)
        ]  # fmt: skip
        assert not left, f"children still run in reachable regions after the end: {left}"
        done = {key.slot for key in world.index}
        done |= {int(change["slot"]) for entry in world.log for change in entry if change["type"] == "done"}
        brain = next(seat.brain for seat in world.seats if seat.brain is not None)
        if world.closed.state == "cancelled":
            return
        assert self.cancelled_at is None or world.now < self.cancelled_at + 90, "the cancel was not obeyed"
        slots = [pair for seat in world.seats if seat.brain for pair in enumerate(seat.brain.slots)]
        named = {number for number, slot in slots if slot.state == "failed" and slot.reason}
        allowed = manifest.max_failures
        assert allowed is None or len(named) <= allowed or brain.state.halted, "too many failures, and not halted"
        stopped = {slot for (slot, _), cause in self.failed.items() if cause == Cause.RULE}
        if not brain.state.halted:
            assert done | named | stopped == set(range(manifest.slots)), "a slot has neither its keys nor a named end"
            if len(world.seats) == 1:  # of two, one may know of a late result that the other doesn't
                is_done = done | stopped == set(range(manifest.slots)) and bool(done)
                assert world.closed.state == ("done" if is_done else "failed")
        for tell, at in zip(world.told, world.told_at, strict=True):
            is_late = self.cancelled_at is not None and at > self.cancelled_at + 60
            assert not (tell.kind == "bound" and is_late), "bound long after the cancel"


def _is_listed(region: RegionState, job_id: str) -> bool:
    """Whether the run said at its end that this child may go on: it may not stop it, or couldn't reach its region."""
    return job_id in region.stops.refused or (
        region.is_out_of_sight and job_id in region.stops.under_way | region.stops.again
    )
