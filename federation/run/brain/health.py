"""What is known of each region besides its reach (`reach`): its room, whether its token is accepted, what it refuses."""

from __future__ import annotations

from federation.run.brain.commands import Find, Join, Probe, Stop, Verify
from federation.run.brain.endings import Ends
from federation.run.brain.events import Joined, Listed, NotListed, RegionHeard, RegionProbed
from federation.run.brain.reach import Reaching
from federation.run.brain.region_state import Reach, RegionState
from federation.run.brain.state import RunState


class Health:
    """The regions' health."""

    def __init__(self, state: RunState, ends: Ends) -> None:
        self._state = state
        self._ends = ends
        self.reaching = Reaching(state, ends)

    def tick(self, *, is_first: bool) -> None:
        """Time passed: ask what is due, and decide what silence means."""
        state = self._state
        for region in state.regions.values():
            self._ask(region)
        self.reaching.tick(is_first=is_first)
        if state.unbound or state.retries:
            self.give_up_if_nowhere()

    def _ask(self, region: RegionState) -> None:
        """Probe a region that could take work, find lost dispatches, repeat stops, read back spec hashes."""
        state, now_s = self._state, self._state.now_s
        wants_room = bool(state.unbound or state.retries) and not state.is_ending
        asks = region.reach is Reach.REACHABLE and not region.is_fatal
        if wants_room and asks and not (region.has_job or region.is_joining) and now_s >= region.join_at_s:
            region.is_joining = True
            state.out.append(Join(region.name))
        asks = asks and region.has_job
        after_s = state.limits.pause_s if region.is_paused else region.probe_after_s
        if wants_room and asks and region.probe_sent_s is None and now_s - region.probed_s >= after_s:
            region.probe_sent_s = now_s
            region.open_at_probe = region.open - region.unacknowledged
            region.acknowledged_since = 0
            state.out.append(Probe(region.name))
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

    # ── signs of life ─────────────────────────────────────────────────────────────────────────────────────────────────

    def heard(self, event: RegionHeard) -> None:
        """Its event stream stands."""
        region = self._state.regions[event.region]
        self.reaching.followed(region, "")
        if event.is_room_likely:
            region.probe_after_s = min(region.probe_after_s, self._state.limits.reprobe_s)

    def listed(self, event: Listed) -> None:
        """All its allocations were told, which a refused token can't have."""
        region = self._state.regions[event.region]
        if event.via is not None:
            region.is_listing = False
        self.reaching.followed(region, event.via)
        self.worked(region)

    def not_listed(self, event: NotListed) -> None:
        """It told nothing of the children. One that refuses the token is paused."""
        region = self._state.regions[event.region]
        if event.is_denied:
            self.reaching.alive(region)
            self.pause(region, "its token is refused")
        self.reaching.not_listed(region)

    # ── room ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def joined(self, event: Joined) -> None:
        """A late region has the job, and is asked for its room; or it hasn't, and is asked again unless that is hopeless."""
        state = self._state
        region = state.regions[event.region]
        region.is_joining = False
        if not event.problem:
            region.has_job = True
            self.worked(region)
            state.tell("region", region=region.name, detail="answers now, and has the job: it joins the run")
        elif event.is_fatal:
            self.reaching.alive(region)
            self.give_up_on(region, event.problem)
            self.give_up_if_nowhere()
        else:
            region.join_at_s = state.now_s + state.limits.reprobe_s

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
                self.reaching.alive(region)
            return
        if event.is_denied and region.has_worked:
            self.pause(region, event.problem)
            return
        waits_for_nodes = event.is_fatal and region.fixed.elastic  # they come when there is something to do
        self._say(region, event)
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

    def _say(self, region: RegionState, event: RegionProbed) -> None:
        """Why it has no room. That it doesn't answer is a state of its reach, which is said once."""
        if event.problem and not (event.is_fatal or event.is_denied):
            self.reaching.say(region, Reach.SILENT, event.problem)
        elif event.problem and event.problem != region.problem:
            self._state.tell("region", region=region.name, detail=event.problem)

    def worked(self, region: RegionState) -> None:
        """It did what it was asked for."""
        region.has_worked = True
        self.reaching.alive(region)
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
