"""Keeps what is known of each region besides its reach (`reach`): its room, its token, and what it refuses."""

from __future__ import annotations

from federation.run.brain.commands import Find, Join, Probe, Stop, Verify
from federation.run.brain.endings import Ends
from federation.run.brain.events import Joined, Listed, NotListed, RegionHeard, RegionProbed
from federation.run.brain.reach import Reaching
from federation.run.brain.region_state import Proof, RegionState
from federation.run.brain.state import RunState
from federation.run.brain.transitions import Admission, Job, Reach, Token, passed


class Health:
    """The room, token and problems of regions."""

    def __init__(self, state: RunState, ends: Ends) -> None:
        self._state = state
        self._ends = ends
        self.reaching = Reaching(state, ends)

    def tick(self, *, is_first: bool) -> None:
        """Asks what is due, and decides what silence means."""
        state = self._state
        for region in state.regions.values():
            self._ask(region)
        self.reaching.tick(is_first=is_first)
        if state.unbound or state.retries:
            self.give_up_if_nowhere()

    def _ask(self, region: RegionState) -> None:
        """Asks and repeats what is due in one region."""
        state = self._state
        wants_room = bool(state.unbound or state.retries) and not state.is_ending
        if wants_room and region.reach is Reach.REACHABLE and not region.is_excluded:
            self._ask_for_room(region)
        if not region.is_lost:
            self._find(region)
            self._repeat_stops(region)
        if region.unverified and state.now_s >= region.verify_at_s:
            region.verify_at_s = state.now_s + state.limits.verify_s
            state.out.append(Verify(region.name, tuple(region.unverified)))
            region.unverified = []

    def _find(self, region: RegionState) -> None:
        """Searches for children of lost dispatches, one search at a time."""
        state, finding = self._state, region.finding
        if finding.due_s is None or finding.due_s > state.now_s or finding.is_under_way:
            return
        finding.due_s = None
        if finding.unknown:
            finding.is_under_way = True
            state.out.append(Find(region.name, tuple(sorted(finding.unknown))))

    def _repeat_stops(self, region: RegionState) -> None:
        stops = region.stops
        if stops.again and stops.again_at_s <= self._state.now_s:
            self._state.out.extend(Stop(region.name, job_id) for job_id in sorted(stops.again))
            stops.under_way |= stops.again
            stops.again = set()

    def _ask_for_room(self, region: RegionState) -> None:
        state, now_s, probing = self._state, self._state.now_s, region.probing
        after_s = state.limits.pause_s if region.is_paused else probing.after_s
        match region.job:
            case Job.ABSENT if now_s >= region.join_at_s:
                region.job = passed(region.job, Job.JOINING)
                state.out.append(Join(region.name))
            case Job.THERE if probing.sent_s is None and (
                now_s - probing.last_s >= after_s or self._is_used_up(region)
            ):
                probing.sent_s = now_s
                probing.open_then = region.open - region.unacknowledged
                probing.acknowledged_since = 0
                state.out.append(Probe(region.name, len(state.unbound) + len(state.retries) + len(state.delayed)))

    def _is_used_up(self, region: RegionState) -> bool:
        """Whether the room that is known is used, and there may be more. Waits until most of what was sent has a child: the
        others may be counted twice."""
        state, probing = self._state, region.probing
        is_due = (
            probing.is_least and state.now_s - probing.last_s >= state.limits.reprobe_more_s and not region.is_paused
        )
        return is_due and region.open >= region.limit and region.unacknowledged <= region.open // 4

    # ── signs of life ─────────────────────────────────────────────────────────────────────────────────────────────────

    def heard(self, event: RegionHeard) -> None:
        """Takes a line of a region's event stream."""
        region = self._state.regions[event.region]
        self.reaching.followed(region, "")
        if event.is_room_likely:
            region.probing.after_s = min(region.probing.after_s, self._state.limits.reprobe_s)

    def listed(self, event: Listed) -> None:
        """Takes a complete list of a region's allocations: its token is accepted."""
        region = self._state.regions[event.region]
        if event.via is not None:
            region.signs.is_listing = False
        self.reaching.followed(region, event.via)
        self.worked(region)

    def not_listed(self, event: NotListed) -> None:
        """Takes a list that failed. A region that refuses the token is paused."""
        region = self._state.regions[event.region]
        if event.is_denied:
            self.reaching.alive(region)
            self.pause(region, "its token is refused")
        self.reaching.not_listed(region)

    # ── room ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def joined(self, event: Joined) -> None:
        """Takes the outcome of a join. A region that can't get the job yet is asked again; one that never can is excluded."""
        state = self._state
        region = state.regions[event.region]
        region.job = passed(region.job, Job.ABSENT if event.problem else Job.THERE)
        if not event.problem:
            self.worked(region)
            state.tell("region", region=region.name, detail="answers now, and has the job: it joins the run")
        elif event.is_fatal:
            self.reaching.alive(region)
            self.give_up_on(region, event.problem)
            self.give_up_if_nowhere()
        else:
            region.join_at_s = state.now_s + state.limits.reprobe_s

    def probed(self, event: RegionProbed) -> None:
        """Takes a region's room, or the reason why it has none."""
        state, limits = self._state, self._state.limits
        region = state.regions[event.region]
        sent_s, region.probing.sent_s = region.probing.sent_s, None
        region.probing.last_s = sent_s or state.now_s
        open_then = region.probing.open_then if sent_s is not None else region.open - region.unacknowledged
        state.is_roomy = True
        if not event.problem:
            state.budgets = event.budgets
        if region.is_excluded:
            if not event.problem:
                self.reaching.alive(region)
            return
        if event.is_denied and region.proof:
            self.pause(region, event.problem)
            return
        waits_for_nodes = event.is_fatal and bool(region.fixed.elastic)  # they come when there is something to do
        self._say(region, event)
        if waits_for_nodes or not event.problem:
            self._admit(region, Admission.OPEN)
            self._learn_room(region, event, open_then)
        else:
            is_hopeless = (event.is_fatal or event.is_denied) and not region.proof
            self._admit(region, Admission.EXCLUDED if is_hopeless else Admission.HELD, event.problem)
            region.probing.after_s = limits.reprobe_s
        self.give_up_if_nowhere()

    def _learn_room(self, region: RegionState, event: RegionProbed, open_then: int) -> None:
        limits, probing, before = self._state.limits, region.probing, region.limit
        region.limit = open_then + event.free
        probing.is_least = event.is_least and event.free > 0
        region.children = event.children + region.unacknowledged + probing.acknowledged_since
        longer_s = min(limits.reprobe_max_s, max(limits.reprobe_s, probing.after_s * 2))
        probing.after_s = longer_s if region.limit == before else limits.reprobe_s
        self.worked(region)

    @staticmethod
    def _admit(region: RegionState, admission: Admission, problem: str = "") -> None:
        region.admission, region.problem = passed(region.admission, admission), problem

    def _say(self, region: RegionState, event: RegionProbed) -> None:
        """Reports why a region has no room. That it doesn't answer is a state of its reach, which is reported once."""
        if event.problem and not (event.is_fatal or event.is_denied):
            self.reaching.say(region, Reach.SILENT, event.problem)
        elif event.problem and event.problem != region.problem:
            self._state.tell("region", region=region.name, detail=event.problem)

    def worked(self, region: RegionState) -> None:
        """Takes a sign that a region accepts the token and answers."""
        region.proof = max(region.proof, Proof.ANSWERED)
        self.reaching.alive(region)
        if region.is_paused:
            region.token = passed(region.token, Token.ACCEPTED)
            if not region.is_excluded:
                self._admit(region, Admission.OPEN)
            region.stops.again |= region.stops.refused
            region.stops.refused = set()
            self._state.tell("region", region=region.name, detail="its token is accepted again")

    def pause(self, region: RegionState, problem: str) -> None:
        """Pauses a region whose token is refused: it is asked again from time to time, and not lost for that."""
        if not region.is_paused:
            region.token = passed(region.token, Token.REFUSED)
            self._state.tell("region", region=region.name, detail=f"paused: {problem}")

    def hold(self, region: RegionState) -> None:
        """Slows down a region that was throttling, or didn't answer: fewer dispatches at a time, after a pause."""
        limits = self._state.limits
        region.window = max(1, region.window // 2)
        region.hold_s = min(limits.hold_max_s, max(limits.find_s, region.hold_s * 2))
        region.hold_until_s = self._state.now_s + region.hold_s

    def give_up_on(self, region: RegionState, problem: str) -> None:
        """Excludes a region for the rest of the run."""
        if not region.is_excluded:
            self._admit(region, Admission.EXCLUDED, problem)
            self._state.tell("region", region=region.name, detail=problem)

    def give_up_if_nowhere(self) -> None:
        """Fails all waiting slots when no region can take them."""
        state = self._state
        if all(region.is_excluded or region.is_full for region in state.regions.values()):
            names: dict[str, list[str]] = {}
            for region in state.regions.values():
                why = region.problem if region.is_excluded else f"its cap of {region.fixed.cap} is reached"
                names.setdefault(why, []).append(region.name)
            problems = "; ".join(f"{', '.join(regions)}: {why}" for why, regions in names.items())
            waiting = [*state.unbound, *state.retries, *(number for _, number in state.delayed)]
            state.unbound.clear()
            state.retries, state.delayed = [], []
            for number in waiting:
                own = next((one.reason for one in reversed(state.slots[number].attempts) if one.is_own_failure), "")
                before = f"{own}; not tried again: " if own else ""
                self._ends.fail_slot(number, f"{before}no region can take it: {problems}")
