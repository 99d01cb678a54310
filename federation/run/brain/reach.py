"""How far each region can be reached: asks the quiet ones, and decides which are silent, lost or back.

A region is *alive* when it answers a ping, itself or through another region that forwards to it. It is *followed* when news
of the run's children come: a line of its event stream, or a complete list. A region that isn't followed for longer than the
grace is lost, whatever it answers to pings. When more than half of the regions that aren't lost give no news, we assume that
our own network is down, and nothing is bound anew.
"""

from __future__ import annotations

from federation.run.brain.causes import Cause
from federation.run.brain.commands import List, Ping
from federation.run.brain.endings import Ends
from federation.run.brain.events import Pinged
from federation.run.brain.region_state import Reach, RegionState
from federation.run.brain.state import RunState
from federation.text import counted

SHORTEST_S = 1.0
"""A region gets as long to answer, however short the grace is."""
LIST_GRACES = 1.4
"""For so many graces without news a list that is under way holds up a loss."""
SLOTS_NAMED = 8
"""So many open slots are named where a region is lost; the rest are counted."""


class Reaching:
    """The only place where a region's `reach` changes."""

    def __init__(self, state: RunState, ends: Ends) -> None:
        self._state = state
        self._ends = ends
        self._ticked_s = 0.0

    # ── asking ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def tick(self, *, is_first: bool) -> None:
        """Ask regions that are quiet, then decide what their silence means."""
        now_s = self._state.now_s
        is_late = now_s - self._ticked_s > self._third_s
        self._ticked_s = now_s
        for region in self._state.regions.values():
            if is_first:
                region.heard_s = region.followed_s = region.well_s = now_s
            if is_late and region.asked_s is not None:  # this process stood still, and heard nobody
                region.asked_s = now_s
            self._ask(region)
            self._settle(region)
        self._judge_silence()
        self._say_states()

    @property
    def _third_s(self) -> float:
        return max(SHORTEST_S, self._state.limits.grace_s / 3)

    def _ask(self, region: RegionState) -> None:
        """One ping and one list each third of the grace while nothing comes unasked."""
        state, now_s = self._state, self._state.now_s
        is_quiet = now_s - region.followed_s > self._third_s
        is_relayed = region.reach is Reach.RELAYED
        if not (is_quiet or is_relayed):
            return
        if is_quiet and region.asked_s is None:
            region.asked_s = now_s
        if not region.is_pinged and now_s - region.pinged_s >= self._third_s:
            region.is_pinged, region.pinged_s = True, now_s
            state.out.append(Ping(region.name))
        poll_s = min(self._third_s, state.limits.poll_s) if is_relayed else self._third_s
        if not region.is_listing and now_s - region.listed_s >= poll_s:
            region.is_listing, region.listed_s = True, now_s
            state.out.append(List(region.name))

    # ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def pinged(self, event: Pinged) -> None:
        """The answer to a ping: whether it is alive."""
        region = self._state.regions[event.region]
        is_outdated = region.is_pinged and region.pinged_s < region.heard_s
        region.is_pinged = False
        if not event.is_alive:  # one that was sent before its last sign of life says nothing
            region.is_deaf = region.is_deaf or not is_outdated
        else:
            self.alive(region)
            if region.reach is not Reach.RELAYED:
                region.via = event.via
        self._settle(region)

    def not_listed(self, region: RegionState) -> None:
        """It was asked for the children, and told nothing of them."""
        region.is_listing = False
        self._settle(region)

    def alive(self, region: RegionState) -> None:
        """It gave a complete answer, which tells nothing of the children."""
        if region.is_deaf or region.reach is Reach.SILENT:
            region.woke_s = self._state.now_s
        region.heard_s = self._state.now_s
        region.is_deaf = False

    def followed(self, region: RegionState, via: str | None = None) -> None:
        """News of the children came; `via` (None: as before) through which other region. What was given up in a region
        that was lost is stopped."""
        self.alive(region)
        region.followed_s, region.asked_s = self._state.now_s, None
        if via is not None:
            region.via = via
        was_lost = region.is_lost
        self._enter(region, Reach.RELAYED if region.via else Reach.REACHABLE)
        if was_lost:
            self._back(region)

    def _back(self, region: RegionState) -> None:
        state = self._state
        region.said = {Reach.RELAYED} if region.via else set()
        detail = f"answers only through region {region.via}" if region.via else ""
        state.tell("back", region=region.name, detail=detail)
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

    # ── states ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _settle(self, region: RegionState) -> None:
        """The state that follows from what is known now, for a region that isn't lost."""
        now_s = self._state.now_s
        if region.is_lost:
            return
        if now_s - self.news_s(region) <= self._third_s:
            if region.is_out_of_sight:  # its token is refused, and it answers pings again
                self._enter(region, Reach.REACHABLE)
        elif region.is_deaf or (
            region.is_pinged and region.heard_s <= region.pinged_s and now_s - region.pinged_s > self._third_s
        ):
            self._enter(region, Reach.SILENT)
        elif self._is_unfollowed(region):
            self._enter(region, Reach.UNFOLLOWED)

    def _say_states(self) -> None:
        """Say what changed, each state once. That most regions are silent together is said of all at once."""
        state = self._state
        regions = state.regions.values()
        is_most = 2 * sum(one.is_out_of_sight for one in regions) > len(regions)
        for region in regions:
            through = f" through region {region.via}" if region.via else ""
            match region.reach:
                case Reach.REACHABLE:
                    since_s = max(region.well_s, region.probed_s) if region.problem else region.well_s
                    if region.said and state.now_s - since_s > state.limits.grace_s:
                        region.said = set()
                        state.tell("region", region=region.name, detail="answers at its own addresses again")
                case Reach.RELAYED:
                    self.say(region, Reach.RELAYED, f"answers only{through}, and gets no new slots")
                case Reach.UNFOLLOWED:
                    self.say(
                        region, Reach.UNFOLLOWED, f"answers pings{through}, and gives no news of the run's children"
                    )
                case Reach.SILENT if not is_most:
                    self.say(region, Reach.SILENT, f"no answer for {state.now_s - region.heard_s:.0f} s")

    def _is_unfollowed(self, region: RegionState) -> bool:
        """Whether it was asked for a sign of life and, while it was alive, for news, and gave a sign of life only."""
        waits = region.is_listing and self._state.now_s - region.listed_s <= 2 * self._third_s
        is_alive = region.asked_s is not None and region.heard_s >= region.asked_s
        return is_alive and region.listed_s >= region.woke_s and not (waits or region.is_paused)

    def _enter(self, region: RegionState, reach: Reach) -> None:
        if reach is region.reach:
            return
        region.reach = reach
        if reach is Reach.REACHABLE:
            region.well_s = self._state.now_s
            region.probed_s = min(region.probed_s, self._state.now_s - region.probe_after_s)
            self._state.is_roomy = True

    def say(self, region: RegionState, reach: Reach, detail: str) -> None:
        """Say a state of a region, once until it was well for a whole grace."""
        if reach not in region.said:
            region.said.add(reach)
            self._state.tell("region", region=region.name, detail=detail)

    # ── loss ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def news_s(self, region: RegionState) -> float:
        """When the region last did what keeps it from being lost. One whose token is refused can't be followed, and needs
        only be alive."""
        return region.heard_s if region.is_paused else region.followed_s

    def is_overdue(self, region: RegionState) -> bool:
        """Whether it gave no news for longer than the grace."""
        return self._state.now_s - self.news_s(region) > self._state.limits.grace_s

    def is_given_up(self, region: RegionState) -> bool:
        """Whether it is overdue, and had the time to answer when it was asked. A list that is under way in a region that
        is alive is waited for, within bounds."""
        if not self.is_overdue(region) or self._state.now_s < region.excused_s:
            return False
        if region.is_deaf:
            return True
        now_s = self._state.now_s
        was_asked = region.asked_s is not None and now_s - region.asked_s >= self._third_s
        may_come = region.is_listing and now_s - self.news_s(region) <= LIST_GRACES * self._state.limits.grace_s
        return was_asked and not may_come

    def _judge_silence(self) -> None:
        state = self._state
        there = [one for one in state.regions.values() if not one.is_lost]
        overdue = [one for one in there if self.is_overdue(one)]
        quiet = [one for one in there if one.is_out_of_sight or self.is_overdue(one)]
        was_cut_off, state.is_cut_off = state.is_cut_off, bool(overdue) and 2 * len(quiet) > len(there)
        if state.is_cut_off and not was_cut_off:
            names = ", ".join(one.name for one in quiet)
            state.tell("run", detail=f"most regions fell silent together ({names}): this machine is cut off, "
                       "and nothing is bound anew until they are heard")  # fmt: skip
        elif was_cut_off and not state.is_cut_off:
            state.is_roomy = True
            for region in overdue:
                if region.excused_s < region.followed_s:
                    region.excused_s = state.now_s + state.limits.grace_s
            state.tell("run", detail="most regions are heard again")
        if not state.is_cut_off:
            for region in overdue:
                if self.is_given_up(region):
                    self._lose(region)

    def _lose(self, region: RegionState) -> None:
        state = self._state
        self._enter(region, Reach.LOST)
        open_ = self.open_in(region.name)
        hours = sum(state.now_s - state.attempt(*pair).since_s for pair in open_) / 3600
        mode = state.manifest.on_region_lost
        detail = self._why(region)
        if open_ and not state.is_ending:
            named = ", ".join(str(number) for number, _ in open_[:SLOTS_NAMED])
            more = f" and {len(open_) - SLOTS_NAMED} more" if len(open_) > SLOTS_NAMED else ""
            slots = "slots" if len(open_) > 1 else "slot"
            detail += f"; {counted(len(open_), 'attempt')} open there ({slots} {named}{more})"
            detail += f", {hours:.1f} compute-hours to be repeated"
            if mode != "rebind":
                detail += f": they are waited for; fedml runs rebind {state.manifest.run} --from {region.name}"
        state.tell("lost", region=region.name, detail=detail)
        if mode == "rebind":
            self.rebind(region.name, f"region {region.name} was lost")

    def _why(self, region: RegionState) -> str:
        """What it didn't do, and for how long in truth."""
        state = self._state
        is_alive = not region.is_deaf and state.now_s - region.heard_s <= 2 * self._third_s
        if not is_alive:
            return f"after {state.now_s - region.heard_s:.0f} s of silence"
        through = f" through region {region.via}" if region.via else ""
        unheard_s = state.now_s - region.followed_s
        return f"after {unheard_s:.0f} s without news of the run's children, though it answers pings{through}"

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
