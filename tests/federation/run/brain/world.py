"""A virtual world for the run's brain: regions, a home store and stores in virtual time, with seeded faults.

The brain's commands are executed by the real shell's `Execution` against virtual regions; only threads and time are not
real. `World(seed).run(manifest)` drives a run to its end, however many coordinators die or work at once on the way, and has
`invariants.Watchdog` look after every step.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from federation.claims import Site
from federation.manifest import Manifest
from federation.plan import Budget, Room
from federation.result import Key, ResultFile, ResultRecord, manifest_sha256
from federation.run.brain import commands as cmd
from federation.run.brain import events as ev
from federation.run.brain.brain import Brain
from federation.run.brain.changes import Change, Entry, parse_entry
from federation.run.brain.stopping import StopWhen
from federation.run.brain.timing import Limits
from federation.run.execution import Execution
from federation.run.orphans import stop_stale
from federation.run.ports import Ports
from regions.model import Allocation
from regions.storage.errors import Unavailable
from tests.federation.run.brain.faults import KINDS, Faults
from tests.federation.run.brain.invariants import Watchdog
from tests.federation.run.brain.virtual_region import UNANSWERED, Child, VirtualRegion

MANIFEST = Manifest(
    run="0193-run", job="train", job_file="train.nomad.hcl", spec_hash="5ec", version="4", slots=6, groups={"model": 1},
    regions=("us", "eu", "onprem"), one_each=False, meta={}, payload=b"", policy="spread", results="publish",
    max_attempts=3, author="tester", created="2026-01-01T00:00:00Z",
)  # fmt: skip
STORE = "file:///x"
NODE = "n-1"
FILES = (ResultFile("m", 1, "0" * 64),)
LIES: Sequence[Mapping[str, Any]] = (
    {"key": Key("another-run", 0, "model", 0)}, {"key": Key(MANIFEST.run, 0, "model", 7)}, {"attempt": 40}, {"job": "sales"},
    {"version": "99"}, {"region": "mars"}, {"datacenter": "mars"}, {"node": "another"}, {"store": "file:///y"},
    {"job_id": "sales/dispatch-1"}, {"prefix": "artifacts/"}, {"manifest_sha256": "1" * 64},
)  # fmt: skip
"""What a node may say instead of the truth."""
CALM_S = 400.0
"""From here on nothing goes wrong any more."""
STEP_S = 0.5
HEARTBEAT_S = 3.0
FLAP_S = 6.0
CUT_KINDS = tuple(kind for kind in KINDS if kind.partition("_")[0] == "cut" and kind != "cut_off")
UNHEARD = (*UNANSWERED, "answers", "stream", "relay")
"""No news come by the event stream of a region that is cut like this."""
LIMITS = Limits(grace_s=30)


@dataclass
class Seat:
    """A place for one coordinator after another: the brain that sits there now, and what is on its way to it."""

    number: int
    brain: Brain | None = None
    life: int = 0
    """Counts the coordinators that sat here: what was meant for one that died isn't given to the next."""
    seated_at: float = 0.0
    read: int = 0
    """So many entries of the run log were given to it."""
    own: set[int] = field(default_factory=set)
    clock_ahead_s: float = 0.0
    jumped_at: float = float("-inf")
    """When its clock jumped last."""


class World:
    """Executes commands. `sizes` are the regions' slots; `scale` how often things go wrong (0: never), but for `without`."""

    def __init__(
        self,
        seed: int = 0,
        *,
        sizes: Mapping[str, int] | None = None,
        scale: float = 0.0,
        without: Collection[str] = (),
        seats: int = 1,
        make_brain: Callable[..., Brain] = Brain,
        rooms: Mapping[str, Room] | None = None,
        max_outstanding: Mapping[str, int] | None = None,
        share: int | None = None,
        limits: Limits = LIMITS,
        watches: bool = True,
        stop_when: StopWhen | None = None,
    ) -> None:
        self.faults = Faults(seed, scale=scale, without=without)
        self.sizes = sizes or {"us": 3, "eu": 2, "onprem": 1}
        self.now = 1.0
        self.regions: dict[str, VirtualRegion] = {}
        self.log: list[tuple[dict[str, Any], ...]] = []
        """As it is on disk."""
        self.index: dict[Key, str] = {}
        self.entered: set[str] = set()
        self.attempt_of: dict[str, int] = {}
        self.records: dict[str, ResultRecord] = {}
        self.forged: dict[str, Mapping[str, Any]] = {}
        """Allocation → what its node said instead of the truth."""
        self.unasked: set[str] = set()
        """Regions that didn't answer at some time: meanwhile nothing tells the name of an allocation's node."""
        self.published_at: dict[tuple[int, int], float] = {}
        self.told: list[cmd.Tell] = []
        self.told_at: list[float] = []
        self.dispatched: list[tuple[int, int, str]] = []
        self.seats = [Seat(number) for number in range(seats)]
        self.share = share
        """How many slots `[shares]` lets the run have outstanding."""
        self.closed: cmd.Close | None = None
        self.cancel_at = float("inf")
        self.scripts: list[tuple[float, Callable[[], None]]] = []
        """What a test has happen at a time."""
        self._make_brain = make_brain
        self.rooms, self._max_outstanding, self.limits = rooms, max_outstanding, limits
        self.stop_when = stop_when
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._commands = 0
        self._kill_at: list[int] = []
        self.watchdog = Watchdog(self) if watches else None

    # ── the run ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self, manifest: Manifest, *, kill_at: Iterable[int] = (), until_s: float = 6000.0) -> cmd.Close:
        """Drive the run to its end. `kill_at`: numbers of commands at which the coordinator dies instead."""
        self.manifest = manifest
        self._kill_at = sorted(kill_at)
        for name in manifest.regions:
            has_tokens = self.faults.rng("tokens").random() < (0.7 if self.faults.scale else 1.0)
            region = VirtualRegion(name, self.sizes[name], self.faults, manifest.spec_hash, has_tokens=has_tokens)
            region.on_news, region.on_result = self._news, self._published
            if self.watchdog:
                region.on_well = self.watchdog.ended_well
                region.on_child = self.watchdog.dispatched
            self.regions[name] = region
        for seat in self.seats:
            self._seat(seat)
        while self.now < until_s:
            if self.now >= CALM_S:
                self.faults.is_over = True
            self._live()
            for seat in self.seats:
                self._give(seat, ev.Tick(self.now + seat.clock_ahead_s))
            while self._due and self._due[0][0] <= self.now:
                heapq.heappop(self._due)[2]()
            if self.closed:
                self._sweep()
                return self.closed
            self.now += STEP_S
        told = [f"{tell.kind} {tell.region} {tell.slot} {tell.detail}" for tell in self.told[-5:]]
        raise AssertionError(f"the run did not end; told last: {told}")

    def script(self, at_s: float, act: Callable[[], None]) -> None:
        """Have something happen at a time."""
        self.scripts.append((at_s, act))

    def sends_good(self, name: str) -> bool:
        """Whether what is published in that region counts, and an attempt has one child there."""
        return self.regions[name].spec_hash == self.manifest.spec_hash and self.regions[name].has_tokens

    def _live(self) -> None:
        for at_s, act in [one for one in self.scripts if one[0] <= self.now]:
            act()
            self.scripts.remove((at_s, act))
        rng = self.faults.rng("lengths")
        for seat in self.seats:
            if self.faults.hits("clock_jump"):
                seat.clock_ahead_s += rng.uniform(5, 100)
                seat.jumped_at = self.now
        self.unasked.update(name for name, region in self.regions.items() if region.cut or region.is_token_expired)
        if self.faults.hits("cut_off"):
            for region in self.regions.values():
                self._cut(region, "all", self.now + rng.uniform(5, 120))
        for region in self.regions.values():
            for kind in CUT_KINDS:
                if not region.cut and self.faults.hits(kind):
                    self._cut(region, kind.partition("_")[2] or "all", self.now + rng.uniform(2, 120))
            self._flap(region)
            if region.cut and (region.cut_until <= self.now or self.faults.is_over):
                region.cut, region.is_relayed, region.is_flapping = "", False, False
                self._relist(region)
            was_expired = region.is_token_expired
            region.is_token_expired = (region.is_token_expired or self.faults.hits("token_expired")) and (
                not self.faults.is_over and rng.random() > 0.02
            )
            if was_expired and not region.is_token_expired:
                self._relist(region)
            if self.faults.hits("strangers_work"):
                region.strangers = rng.randint(0, region.size)
            if self.faults.is_over:
                region.strangers = 0
            if region.name != self.manifest.regions[-1] and self.faults.hits("changed_job"):
                region.spec_hash = "another"
            region.live(self.now)
            self._measure(region)
            if region.cut in ("", "slow") and self.now % HEARTBEAT_S == 0:
                self._hear(region.name, ev.RegionHeard(region.name), 0.0)
        if self.now >= self.cancel_at:
            self.cancel_at = float("inf")
            self.log.append(({"type": "cancel", "reason": "enough"},))
            if self.watchdog:
                self.watchdog.cancelled_at = self.now

    def _measure(self, region: VirtualRegion) -> None:
        """What the curve readers of all coordinators see of its running children, sooner or later. It is the same each time."""
        if not (self.stop_when or self.manifest.keep_best) or region.cut in UNANSWERED:
            return
        keep = self.manifest.keep_best
        for child in region.children.values():
            rungs = len(keep.rungs(self.manifest.slots)) if keep else 0
            if child.status == "running" and self.faults.rng("measured").random() < KINDS["measured"]:
                loss = self.loss(child.slot)
                for seat in self.seats:
                    event = ev.Measured(child.id, 5, {"loss": loss}, (loss,) * rungs)
                    self.later(self._delay(), lambda seat=seat, event=event: self._give(seat, event))  # type: ignore[misc]

    def loss(self, slot: int) -> float:
        """What the slot's task logs: some slots are equally good, and some have a NaN."""
        loss = random.Random(f"{self.faults.seed}/loss/{slot}").randint(0, 9)
        return loss / 10 if loss else math.nan

    @staticmethod
    def _cut(region: VirtualRegion, how: str, until: float) -> None:
        region.cut, region.cut_until = how, until
        region.is_flapping = how == "flap"

    def _flap(self, region: VirtualRegion) -> None:
        """A region that flaps is cut off and whole in turn."""
        if region.is_flapping and self.now % FLAP_S == 0:
            region.cut = "all" if self.now // FLAP_S % 2 else "flap"
            if region.cut == "flap":
                self._relist(region)

    def _sweep(self) -> None:
        """What the command does when the brain has closed, and then nothing may be left."""
        known = {child for seat in self.seats if seat.brain for child in seat.brain.children}
        self.faults.is_over = True
        reachable = [one for one in self.regions.values() if not one.cut and not one.is_token_expired]
        stop_stale(reachable, self.manifest.job, {self.manifest.run}, known=known)
        if self.watchdog:
            self.watchdog.at_the_end()

    # ── coordinators ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _seat(self, seat: Seat) -> None:
        """A coordinator begins, with the log and the index as they are."""
        seat.life += 1
        seat.brain = self._make_brain(
            self.manifest,
            self.limits,
            rooms=self.rooms,
            max_outstanding=self._max_outstanding,
            stop_when=self.stop_when,
        )
        seat.seated_at = self.now
        seat.read, seat.own = len(self.log), set()
        execution = Execution(self.manifest, self._ports(seat))
        seat_life = seat.life
        self._execute = getattr(self, "_execute_by", {})
        self._execute_by = {**self._execute, seat.number: execution}
        for event in (
            *(ev.Appended(parse_entry(changes), is_replay=True) for changes in self.log),
            ev.Resumed({key: self.attempt_of[alloc_id] for key, alloc_id in self.index.items()}),
        ):
            if seat.life == seat_life:
                self._give(seat, event)
        for region in self.regions.values():
            self._relist(region)

    def _die(self, seat: Seat) -> None:
        seat.brain = None
        self.later(self.faults.rng("killed").uniform(0.5, 40), lambda: self._seat(seat))

    def _give(self, seat: Seat, event: ev.Event) -> None:
        brain = seat.brain
        if brain is None or self.closed:
            return
        commands = brain.step(event)
        for command in commands:
            self._commands += 1
            if (self._kill_at and self._commands >= self._kill_at[0]) or self.faults.hits("killed"):
                self._kill_at = self._kill_at[1:]
                self._die(seat)
                break
            if isinstance(command, cmd.Close):
                self._close(seat, command)
                break
            self._begin(seat, command)
        if self.watchdog:
            self.watchdog.after_step(brain, event, commands)

    def _close(self, seat: Seat, closed: cmd.Close) -> None:
        """One is done; others go on until they have noticed too."""
        if closed.state == "cancelled" or all(one.brain is None or one.brain.is_closed for one in self.seats):
            self.closed = closed

    def later(self, after_s: float, act: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (self.now + after_s, self._count, act))

    def _delay(self) -> float:
        rng = self.faults.rng("delay")
        return rng.uniform(2, 25) if self.faults.hits("late_answer") else rng.uniform(0, 0.9)

    def _slowness(self, command: cmd.Command) -> float:
        """How much longer a region takes than usual."""
        region = self.regions.get(getattr(command, "region", ""))
        if region is None or isinstance(command, cmd.Look):
            return 0.0
        if region.cut == "drip":
            return 30.0
        return self.faults.rng("slow").uniform(5, 25) if region.cut == "slow" else 0.0

    def _begin(self, seat: Seat, command: cmd.Command) -> None:
        """The command is on its way; what it does happens a little later, even if the coordinator dies meanwhile."""
        if isinstance(command, cmd.Tell):
            self.told.append(command)
            self.told_at.append(self.now)
        if self.watchdog:
            self.watchdog.before(seat, command)
        if isinstance(command, cmd.Tell):
            return
        life = seat.life

        def act() -> None:
            if (seat.life, seat.brain is None) != (life, False) and self.faults.rng("wire").random() < 0.5:
                return
            events = self._do(seat, command)
            delay_s = 0.0 if isinstance(command, cmd.Append | cmd.ReadLog) else self._delay() + self._slowness(command)
            if isinstance(command, cmd.Ping) and delay_s > self.limits.grace_s / 4:
                delay_s, events = self.limits.grace_s / 4, [ev.Pinged(command.region, is_alive=False)]
            for event in events:
                self.later(delay_s, lambda event=event: self._give(seat, event) if seat.life == life else None)  # type: ignore[misc]

        self.later(0.0 if isinstance(command, cmd.Append | cmd.ReadLog) else self._delay() / 2, act)

    def _do(self, seat: Seat, command: cmd.Command) -> Sequence[ev.Event]:
        if isinstance(command, cmd.Commit):
            return [self._commit(command)]
        if isinstance(command, cmd.KeepLogs):
            return [ev.LogsKept(command.slot, command.attempt)]
        if isinstance(command, cmd.Dispatch):
            self.dispatched.append((command.slot, command.attempt, command.region))
        return self._execute_by[seat.number].do(command)

    # ── places ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _ports(self, seat: Seat) -> Ports:
        return Ports(
            clients=self.regions,  # type: ignore[arg-type]
            run_log=_SeatLog(self, seat),
            index=None,  # type: ignore[arg-type]
            probe=self._probe,
            ping=self._ping,
            list_allocations=self._list,
            read=self._read,
            search=lambda _, slot: self._search(slot),
            watch=lambda *_: None,
            observe=lambda _: None,
            inputs=lambda slot: ({}, b""),
            sites={name: Site((name,), {"dc1": STORE}) for name in self.regions},
            budgets=lambda _: self._budgets(),
        )

    def _probe(self, name: str, _slots: int) -> ev.RegionProbed:
        region = self.regions[name]
        is_cut = region.cut in (*UNANSWERED, "answers") or (region.cut == "relay" and not region.is_relayed)
        if region.is_token_expired and not is_cut:
            return ev.RegionProbed(name, 0, "403", is_denied=True)
        if is_cut:
            return ev.RegionProbed(name, 0, "unreachable")
        return ev.RegionProbed(name, region.free, children=len(region.children), budgets=self._budgets())

    def _budgets(self) -> tuple[Budget, ...]:
        return () if self.share is None else (Budget(frozenset(self.regions), self.share),)

    def _ping(self, name: str) -> ev.Pinged:
        cut = self.regions[name].cut
        via = self._forwarder(name)
        if cut in ("direct", "relay"):
            return ev.Pinged(name, is_alive=bool(via), via=via)
        return ev.Pinged(name, is_alive=cut not in ("all", "answers", "drip"))

    def _forwarder(self, name: str) -> str:
        return next((one.name for one in self.regions.values() if one.name != name and not one.cut), "")

    def _list(self, name: str) -> tuple[Sequence[Allocation], str]:
        region = self.regions[name]
        via = self._forwarder(name) if region.cut == "relay" else ""
        region.is_relayed = bool(via)
        return region.allocations()[0], via

    def _read(self, region: str, key: Key, allocation: Allocation) -> ResultRecord | None:
        if self.faults.hits("store_down"):
            raise Unavailable("503")
        return self.records.get(allocation.id)

    def _search(self, slot: int) -> Sequence[ResultRecord]:
        if self.faults.hits("store_down"):
            raise Unavailable("503")
        return [one for one in self.records.values() if one.key.slot == slot and one.key.run == self.manifest.run]

    def _commit(self, command: cmd.Commit) -> ev.Event:
        if self.faults.hits("index_down"):
            return ev.CommitFailed(command.records, "503")
        outcomes = []
        for record in command.records:
            if self.watchdog:
                self.watchdog.committing(record)
            is_known = record.alloc_id in self.entered
            self.entered.add(record.alloc_id)
            self.attempt_of[record.alloc_id] = record.attempt
            winner = self.index.setdefault(record.key, record.alloc_id)
            outcomes.append((record, "known" if is_known else "added" if winner == record.alloc_id else "superseded"))
        if self.faults.hits("index_answer_lost"):
            return ev.CommitFailed(command.records, "the answer was lost")
        givers = {key: self.attempt_of[alloc_id] for key, alloc_id in self.index.items()}
        return ev.Committed(tuple(outcomes), givers)

    # ── news ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _news(self, name: str, allocation: Allocation) -> None:
        region = self.regions[name]
        if region.cut in UNHEARD or region.is_token_expired:
            return
        if self.faults.hits("stream_gap"):
            self.later(self.faults.rng("gaps").uniform(1, 15), lambda: self._relist(region))
            return
        for _ in range(1 + self.faults.hits("news_twice")):
            late_s = self.faults.rng("news").uniform(1, 10) if self.faults.hits("news_late") else 0.0
            self._hear(name, ev.AllocationChanged(name, allocation), late_s)

    def _relist(self, region: VirtualRegion) -> None:
        """The watch (re)connects and lists."""
        if region.cut in UNHEARD or region.is_token_expired:
            if not self.faults.is_over:
                self.later(5.0, lambda: self._relist(region))
            return
        for child in list(region.children.values()):
            for allocation in child.allocations:
                self._hear(region.name, ev.AllocationChanged(region.name, allocation), 0.1)
        listed = frozenset(child.id for child in region.children.values() if child.allocations)
        self._hear(region.name, ev.Listed(region.name, listed), 0.2)

    def _hear(self, region: str, event: ev.Event, after_s: float) -> None:
        for seat in self.seats:
            if seat.brain is not None:
                life = seat.life
                self.later(
                    after_s,
                    lambda seat=seat, life=life: self._give(seat, event) if seat.life == life else None,  # type: ignore[misc]
                )

    def _published(self, name: str, child: Child, allocation: Allocation) -> None:
        record = ResultRecord(
            key=Key(self.manifest.run, child.slot, allocation.group, allocation.index), attempt=child.attempt, job="train",
            version="4", spec_hash=str(child.meta["fedml_spec"]), region=name, datacenter="dc1", node=NODE,
            alloc_id=allocation.id, job_id=child.id, store=STORE, manifest_sha256=manifest_sha256(FILES), files=FILES,
            created="2026-01-01T00:00:00Z",
        )  # fmt: skip
        if self.faults.hits("forged"):
            self.forged[allocation.id] = self.faults.rng("lies").choice(LIES)
            record = replace(record, **self.forged[allocation.id])
        else:
            self.published_at[child.slot, child.attempt] = self.now
        self.records[allocation.id] = record


class _SeatLog:
    """The run log as one coordinator sees it."""

    def __init__(self, world: World, seat: Seat) -> None:
        self._world = world
        self._seat = seat

    def append(self, changes: Sequence[Change], *, after: int) -> tuple[bool, Sequence[Entry]]:
        world, seat = self._world, self._seat
        if world.faults.hits("home_down"):
            raise Unavailable("503")
        if len(world.log) != after or seat.read != after:
            return False, self.news()
        entry = tuple(change.to_json() for change in changes)
        world.log.append(entry)
        if world.watchdog:
            world.watchdog.appended(seat, entry)
        if world.faults.hits("home_answer_lost"):
            raise Unavailable("the answer was lost")
        seat.own.add(len(world.log))
        return True, self.news()

    def news(self) -> Sequence[Entry]:
        world, seat = self._world, self._seat
        entries = [
            parse_entry(changes)
            for number, changes in enumerate(world.log[seat.read :], seat.read + 1)
            if number not in seat.own
        ]
        seat.read = len(world.log)
        return entries
