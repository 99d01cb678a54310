"""What is known of each region: ticks, probes, pings and signs of life enter; lost, back, silent, paused or cut off leaves.

A region is lost when it was silent for longer than the grace, at its own addresses and through another region (that is how
it is pinged). When more than half of the regions that aren't lost fall silent together it is us who are cut off.
"""

from __future__ import annotations

from federation.run.causes import Cause
from federation.run.commands import Find, Ping, Probe, Stop, Verify
from federation.run.ends import Ends
from federation.run.events import Pinged, RegionHeard, RegionProbed
from federation.run.state import RegionState, RunState
from federation.text import counted


class Health:
    """The regions' health."""

    def __init__(self, state: RunState, ends: Ends) -> None:
        self._state = state
        self._ends = ends

    def tick(self, *, is_first: bool) -> None:
        """Time passed: ask what is due, judge the silence."""
        state = self._state
        for region in state.regions.values():
            if is_first:
                region.heard_s = state.now_s
            self._ask(region)
        self._judge_silence()
        if state.unbound or state.retries:
            self.give_up_if_nowhere()

    def _ask(self, region: RegionState) -> None:
        """Probe a region that could take work, ping a quiet one, find lost dispatches, read back spec hashes."""
        state, now_s = self._state, self._state.now_s
        wants_room = bool(state.unbound or state.retries) and not state.is_ending
        asks = not (region.is_lost or region.is_fatal)
        after_s = state.limits.pause_s if region.is_paused else region.probe_after_s
        if wants_room and asks and region.probe_sent_s is None and now_s - region.probed_s >= after_s:
            region.probe_sent_s = now_s
            region.open_at_probe = region.open - region.unacknowledged
            region.acknowledged_since = 0
            state.out.append(Probe(region.name))
        if now_s - region.heard_s > state.limits.grace_s / 3 and not region.is_pinged:
            region.is_pinged = True
            region.pinged_s = now_s
            state.out.append(Ping(region.name))
        if region.find_at_s is not None and region.find_at_s <= now_s and not (region.is_lost or region.is_finding):
            region.find_at_s = None
            if region.unknown:
                region.is_finding = True
                state.out.append(Find(region.name, tuple(sorted(region.unknown))))
        if region.to_stop and region.stop_at_s <= now_s and not region.is_lost:
            state.out.extend(Stop(region.name, job_id) for job_id in sorted(region.to_stop))
            region.stopping |= region.to_stop
            region.to_stop = set()
        if region.unverified and now_s >= region.verify_at_s:
            region.verify_at_s = now_s + state.limits.verify_s
            state.out.append(Verify(region.name, tuple(region.unverified)))
            region.unverified = []

    # ── silence ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _judge_silence(self) -> None:
        state, grace_s = self._state, self._state.limits.grace_s
        there = [one for one in state.regions.values() if not one.is_lost]
        for region in there:
            region.is_silent = state.now_s - region.heard_s > grace_s
        silent = [one for one in there if one.is_silent]
        quiet = [one for one in there if one.is_silent or self._is_deaf(one)]
        was_cut_off, state.is_cut_off = state.is_cut_off, bool(silent) and 2 * len(quiet) > len(there)
        if state.is_cut_off and not was_cut_off:
            names = ", ".join(one.name for one in quiet)
            state.tell("run", detail=f"most regions fell silent together ({names}): this machine is cut off, "
                       "and nothing is bound anew until they are heard")  # fmt: skip
        elif was_cut_off and not state.is_cut_off:
            state.is_roomy = True
            state.tell("run", detail="most regions are heard again")
        if not state.is_cut_off:
            for region in silent:
                if region.is_deaf:
                    self._lose(region)

    def _is_deaf(self, region: RegionState) -> bool:
        """Whether it was pinged, and didn't answer, or doesn't for a while."""
        return region.is_deaf or (
            region.is_pinged and self._state.now_s - region.pinged_s > self._state.limits.grace_s / 3
        )

    def _lose(self, region: RegionState) -> None:
        state = self._state
        region.is_lost, region.is_silent = True, False
        open_ = self.open_in(region.name)
        hours = sum(state.now_s - state.attempt(*pair).since_s for pair in open_) / 3600
        mode = state.manifest.on_region_lost
        detail = f"silent for {state.now_s - region.heard_s:.0f} s"
        if open_ and not state.is_ending:
            detail += f"; {counted(len(open_), 'attempt')} open there, {hours:.1f} compute-hours to be repeated"
            if mode != "rebind":
                detail += f": they are waited for; fedml runs rebind {state.manifest.run} --from {region.name}"
        state.tell("lost", region=region.name, detail=detail)
        if mode == "rebind":
            self.rebind(region.name, f"region {region.name} was lost")

    def open_in(self, region: str) -> list[tuple[int, int]]:
        """The attempts that are open in a region."""
        return [
            (number, attempt.number)
            for number, slot in enumerate(self._state.slots)
            for attempt in slot.attempts
            if attempt.is_open and attempt.region == region
        ]

    def rebind(self, region: str, reason: str) -> None:
        """Give up what is open in a region; that isn't counted against the slots."""
        for number, attempt_number in self.open_in(region):
            self._ends.end(number, self._state.attempt(number, attempt_number), Cause.REGION_LOST, reason)

    def pinged(self, event: Pinged) -> None:
        """A sign of life that was asked for came, or didn't."""
        region = self._state.regions[event.region]
        region.is_pinged = False
        region.is_deaf = not event.is_alive
        if event.is_alive:
            self.heard(RegionHeard(event.region))
            problem = f"answers only through region {event.via}" if event.via else ""
            if problem and region.problem != problem:
                self._state.tell("region", region=region.name, detail=problem)
                region.problem = problem

    def heard(self, event: RegionHeard) -> None:
        """A sign of life. A region that was lost is back: what was given up there is stopped."""
        state = self._state
        region = state.regions[event.region]
        region.heard_s = state.now_s
        region.is_silent = region.is_deaf = False
        if event.is_room_likely:
            region.probe_after_s = min(region.probe_after_s, state.limits.reprobe_s)
        if region.is_lost:
            region.is_lost = False
            region.probed_s = float("-inf")
            state.tell("back", region=region.name)
            for number, attempt_number in region.abandoned:
                attempt = state.attempt(number, attempt_number)
                if attempt.job_id:
                    self._ends.stop(attempt)
                else:
                    region.unknown.add((number, attempt_number))
            region.abandoned = []
            if region.waiting:
                state.sendable.add(region.name)
            region.find_at_s = region.stop_at_s = state.now_s

    # ── room ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def probed(self, event: RegionProbed) -> None:
        """Its room is known, or why it has none."""
        state, limits = self._state, self._state.limits
        region = state.regions[event.region]
        sent_s, region.probe_sent_s = region.probe_sent_s, None
        region.probed_s = sent_s if sent_s is not None else state.now_s
        open_then = region.open_at_probe if sent_s is not None else region.open - region.unacknowledged
        state.is_roomy = True
        if region.is_fatal:
            if not event.problem:
                self.heard(RegionHeard(region.name))
            return
        if event.is_denied and region.has_worked:
            self.pause(region, event.problem)
            return
        waits_for_nodes = event.is_fatal and region.fixed.elastic  # they come when there is something to do
        if event.problem and event.problem != region.problem:
            state.tell("region", region=region.name, detail=event.problem)
        region.problem = "" if waits_for_nodes else event.problem
        is_hopeless = event.is_fatal or event.is_denied
        region.is_fatal = is_hopeless and not (region.has_worked or waits_for_nodes)
        if not region.problem:
            before = region.limit
            region.limit = open_then + event.free
            region.children = event.children + region.unacknowledged + region.acknowledged_since
            is_news = region.limit != before
            region.probe_after_s = (
                limits.reprobe_s
                if is_news
                else min(limits.reprobe_max_s, max(limits.reprobe_s, region.probe_after_s * 2))
            )
            self.worked(region)
        else:
            region.probe_after_s = limits.reprobe_s
        self.give_up_if_nowhere()

    def worked(self, region: RegionState) -> None:
        """It did what it was asked for."""
        region.has_worked = True
        self.heard(RegionHeard(region.name))
        if region.is_paused:
            region.is_paused = False
            region.problem = ""
            region.to_stop |= region.unstoppable
            region.unstoppable = set()
            self._state.tell("region", region=region.name, detail="its token is accepted again")

    def pause(self, region: RegionState, problem: str) -> None:
        """Its token is refused: it is asked again from time to time, and never lost for that."""
        if not region.is_paused:
            region.is_paused = True
            self._state.tell("region", region=region.name, detail=f"paused: {problem}")

    def hold(self, region: RegionState) -> None:
        """It asked for patience, or didn't answer: fewer at a time, after a pause."""
        limits = self._state.limits
        region.window = max(1, region.window // 2)
        region.hold_s = min(limits.hold_max_s, max(limits.find_s, region.hold_s * 2))
        region.hold_until_s = self._state.now_s + region.hold_s

    def give_up_on(self, region: RegionState, problem: str) -> None:
        """It gets nothing more in this run."""
        if not region.is_fatal:
            region.problem, region.is_fatal = problem, True
            self._state.tell("region", region=region.name, detail=problem)

    def give_up_if_nowhere(self) -> None:
        """Where no region can take it, what waits has failed."""
        state = self._state
        if all(region.is_fatal or region.is_full for region in state.regions.values()):
            problems = "; ".join(
                f"{region.name}: {region.problem if region.is_fatal else f'its cap of {region.fixed.cap} is reached'}"
                for region in state.regions.values()
            )
            waiting = [*state.unbound, *state.retries, *(number for _, number in state.delayed)]
            state.unbound.clear()
            state.retries, state.delayed = [], []
            for number in waiting:
                self._ends.fail_slot(number, f"no region can take it: {problems}")
