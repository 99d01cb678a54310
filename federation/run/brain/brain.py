"""Decides what a run does: takes events, gives commands. Deterministic: no I/O, no clock, no randomness.

The coordinator (`federation.run.coordinator`) executes commands and queues what happened as events. A policy of
`federation.plan` decides which slot goes where; the parts of the brain decide everything else and share one `RunState`:
`run_log`, `binding`, `dispatching`, `watching`, `results`, `peeking`, `stopping`, `endings`, `health` and `reach`. Together
they guarantee (docs/explanation/design.md, part 3):

- A binding (slot, attempt → region) is appended to the run log, and seen there, before its dispatch is commanded.
- An attempt is bound once. After a crash the log is replayed; recorded bindings are continued with the same token.
- An attempt whose dispatch has no known outcome is searched for before it is sent again.
- A slot is done when the index holds all its keys, whichever attempt produced them. Late results are committed too, and the
  index calls them superseded.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence

from federation.manifest import Manifest
from federation.plan import Policy, Room, policy_named
from federation.run.brain.binding import Binding
from federation.run.brain.commands import Close, Command
from federation.run.brain.dispatching import Dispatching
from federation.run.brain.endings import Ends
from federation.run.brain.events import (
    Acknowledged,
    AllocationChanged,
    Appended,
    AppendRefused,
    CancelRequested,
    ChildInspected,
    ChildSpec,
    CommitFailed,
    Committed,
    DispatchFailed,
    Event,
    Found,
    Joined,
    Listed,
    LogRead,
    LogsKept,
    Looked,
    Measured,
    NotListed,
    ParentChecked,
    Pinged,
    RegionHeard,
    RegionProbed,
    Resumed,
    Reverted,
    Stopped,
    Tick,
)
from federation.run.brain.health import Health
from federation.run.brain.peeking import Peeking
from federation.run.brain.region_state import RegionState
from federation.run.brain.results import Results
from federation.run.brain.resume import Resume
from federation.run.brain.run_log import LogView
from federation.run.brain.state import RunState, Slot
from federation.run.brain.stopping import Stopping, StopWhen
from federation.run.brain.timing import Limits
from federation.run.brain.transitions import Job, SlotState
from federation.run.brain.watching import Watching
from federation.text import counted


class Brain:
    """One run. `step(event)` is the only way to change it.

    `policy` says where slots go that were never bound (the manifest's, by name, when None); `rooms` is what it knows of each
    region besides its free slots, which the brain learns by probes; `pending_timeouts_s` and `max_outstanding` are regions'
    own limits; `stop_when` judges the newest values of a running attempt.
    """

    def __init__(
        self,
        manifest: Manifest,
        limits: Limits | None = None,
        *,
        policy: Policy | None = None,
        rooms: Mapping[str, Room] | None = None,
        pending_timeouts_s: Mapping[str, float] | None = None,
        max_outstanding: Mapping[str, int] | None = None,
        stop_when: StopWhen | None = None,
    ) -> None:
        limits = limits or Limits()
        regions = {
            name: RegionState(
                name,
                order,
                (rooms or {}).get(name) or Room(name, 0, order=order),
                (pending_timeouts_s or {}).get(name),
                (max_outstanding or {}).get(name),
                window=limits.window,
                job=Job.ABSENT if name in manifest.late else Job.THERE,
            )
            for order, name in enumerate(manifest.regions)
        }
        self.state = state = RunState(
            manifest,
            limits,
            policy or policy_named(manifest.policy),
            [Slot() for _ in range(manifest.slots)],
            regions,
            unbound=deque(range(manifest.slots)),
            open_slots=manifest.slots,
        )
        self.is_closed = False
        self._ends = Ends(state)
        self._health = Health(state, self._ends)
        self._results = Results(state, self._ends)
        self._peeking = Peeking(state)
        self._watching = Watching(state, self._ends, self._results)
        self._dispatching = Dispatching(state, self._ends, self._health, self._watching)
        self._binding = Binding(state)
        self._resume = Resume(state, self._ends, self._health, self._binding, self._dispatching, self._watching)
        self._stopping = Stopping(state, self._ends, stop_when)
        self._log = LogView(
            state,
            self._ends,
            self._health,
            self._binding,
            self._dispatching,
            self._results,
            self._resume,
            self._stopping,
        )
        self._handlers: dict[type, Callable[..., None]] = {
            Tick: self._tick,
            RegionProbed: self._health.probed,
            Joined: self._health.joined,
            RegionHeard: self._health.heard,
            Pinged: self._health.reaching.pinged,
            Appended: self._log.appended,
            LogRead: self._log.read,
            AppendRefused: self._log.refused,
            Resumed: self._log.resumed,
            ParentChecked: self._dispatching.parent_checked,
            Acknowledged: self._dispatching.acknowledged,
            DispatchFailed: self._dispatching.dispatch_failed,
            Found: self._dispatching.found,
            ChildSpec: self._dispatching.child_spec,
            AllocationChanged: self._allocation_changed,
            Listed: self._listed,
            NotListed: self._health.not_listed,
            ChildInspected: self._watching.inspected,
            Looked: self._looked,
            Committed: self._results.committed,
            CommitFailed: self._results.commit_failed,
            LogsKept: self._ends.logs_kept,
            Stopped: self._ends.stopped,
            Measured: self._stopping.measured,
            Reverted: self._reverted,
            CancelRequested: self._log.cancel,
        }

    def _reverted(self, event: Reverted) -> None:
        self.state.reverting.discard(event.region)

    @property
    def manifest(self) -> Manifest:
        """The run's manifest."""
        return self.state.manifest

    @property
    def slots(self) -> Sequence[Slot]:
        """All slots, as they stand."""
        return self.state.slots

    @property
    def regions(self) -> Mapping[str, RegionState]:
        """The run's regions, as they stand."""
        return self.state.regions

    @property
    def children(self) -> Collection[str]:
        """The children that were acknowledged."""
        return self.state.children.keys()

    def expect_rooms(self, probed: Sequence[RegionProbed]) -> None:
        """Don't ask for these regions' room: they were asked before, and the answers come as events after the first tick."""
        for event in probed:
            self.regions[event.region].probing.sent_s = self.state.now_s

    def step(self, event: Event) -> list[Command]:
        """Takes one event, and gives the commands that follow from it, in the order in which they are to be begun."""
        self.state.out = []
        if not self.is_closed:
            self._handlers[type(event)](event)
            self._flush()
        return self.state.out

    def _tick(self, event: Tick) -> None:
        is_first = self.state.now_s == 0.0
        self.state.now_s = max(event.now_s, self.state.now_s)
        self.state.is_roomy = True
        if is_first:
            self.state.begun_s = self.state.now_s
            self._resume.begin()
        self._health.tick(is_first=is_first)
        self._ends.tick()
        self._watching.tick()
        self._results.tick()
        self._peeking.tick()
        self._log.tick()

    def _allocation_changed(self, event: AllocationChanged) -> None:
        self._health.reaching.followed(self.state.regions[event.region])
        self._watching.allocation_changed(event)

    def _listed(self, event: Listed) -> None:
        self._health.listed(event)
        self._watching.listed(event)

    def _looked(self, event: Looked) -> None:
        """Takes an answer of a store. A search that only a region's silence began decides nothing unless it found something."""
        if not self._peeking.is_own(event) or event.records:
            self._results.looked(event)

    def _flush(self) -> None:
        """Binds what has room, writes the collected records and log changes, and closes when all is over."""
        state = self.state
        if state.is_roomy and self._log.may_propose:
            self._binding.bind()
        self._results.flush()
        self._stopping.flush()
        self._log.flush()
        if state.sendable:
            self._dispatching.check()
        if not state.open_slots and state.now_s and self._is_quiet():
            self.is_closed = True
            states = Counter(slot.state for slot in state.slots)
            failed, stopped = states[SlotState.FAILED], states[SlotState.STOPPED]
            if state.is_cancelled:
                state.out.append(Close("cancelled", state.cancel_reason))
            elif state.halted:
                state.out.append(Close("failed", state.halted))
            elif failed:
                state.out.append(Close("failed", f"{failed} of {counted(len(state.slots), 'slot')} failed"))
            elif stopped == len(state.slots):
                state.out.append(Close("failed", f"a rule stopped all of its {counted(stopped, 'slot')}"))
            else:
                state.out.append(Close("done", f"a rule stopped {counted(stopped, 'slot')}" if stopped else ""))

    def _is_quiet(self) -> bool:
        """Whether nothing is under way, and no reachable region may hold a child that is unknown or isn't stopped yet."""
        state = self.state
        return (
            self._log.is_quiet
            and self._results.is_quiet
            and not state.in_flight
            and not state.reverting
            and not self._ends.is_keeping
            and not any(
                (one.finding.unknown or one.stops.under_way or one.stops.again)
                and not one.is_lost
                and not self._health.reaching.is_given_up(one)
                for one in state.regions.values()
            )
        )
