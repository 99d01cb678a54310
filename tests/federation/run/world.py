"""A virtual world for the run's brain: regions, stores and an index that execute its commands, with seeded faults.

Nothing here waits: time is virtual. `World(seed).run(brain)` drives a brain to its end and checks after every step what
DESIGN 3 promises; `restart_at` kills the coordinator there and continues with a new brain from the run log.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from federation.result import Key, ResultFile, ResultRecord
from federation.run import commands as cmd
from federation.run import events as ev
from federation.run.brain import Brain
from federation.run.limits import Limits
from federation.run.manifest import Manifest
from regions.model import Allocation, TaskState

MANIFEST = Manifest(
    run="0193-run", job="train", job_file="train.nomad.hcl", spec_hash="5ec", version="4", slots=6, groups={"model": 1},
    regions=("us", "eu", "onprem"), one_each=False, meta={}, payload=b"", policy="spread", results="publish",
    max_attempts=3, author="tester", created="2026-01-01T00:00:00Z",
)  # fmt: skip


CALM_S = 400.0
"""From here on no region is cut any more."""


@dataclass
class Child:
    """One dispatched child of a virtual region."""

    pair: ev.Pair
    job_id: str
    ends_at: float
    is_bad: bool
    status: str = "running"
    allocations: list[Allocation] = field(default_factory=list)


@dataclass
class VirtualRegion:
    """A region with `size` slots. While it is cut nobody reaches it; its children go on."""

    name: str
    size: int
    children: dict[ev.Pair, Child] = field(default_factory=dict)
    is_cut: bool = False

    def free(self) -> int:
        return max(0, self.size - sum(child.status == "running" for child in self.children.values()))


class World:
    """Executes commands. `faults` is the probability of each fault at each occasion, `bad` of a child that fails, `cuts`
    of a region that is cut off (or comes back) in each half second."""

    def __init__(
        self,
        seed: int = 0,
        *,
        sizes: dict[str, int] | None = None,
        faults: float = 0.0,
        bad: float = 0.0,
        cuts: float = 0.0,
    ) -> None:
        self.random = random.Random(seed)
        self.regions = {
            name: VirtualRegion(name, size) for name, size in (sizes or {"us": 3, "eu": 2, "onprem": 1}).items()
        }
        self.faults, self.bad, self.cuts = faults, bad, cuts
        self.now = 1.0
        self.log: list[tuple[ev.Change, ...]] = []
        self.index: dict[Key, str] = {}
        self.records: dict[str, ResultRecord] = {}
        self.told: list[cmd.Tell] = []
        self.dispatched: list[tuple[int, int, str]] = []
        self.inbox: list[ev.Event] = []

    def chance(self) -> bool:
        return self.random.random() < self.faults

    def run(self, manifest: Manifest, *, restart_at: Iterable[int] = (), until_s: float = 5000.0) -> cmd.Close:
        restarts, steps = set(restart_at), 0
        brain = Brain(manifest, Limits(grace_s=30))
        while self.now < until_s:
            self._live()
            batch, self.inbox = [ev.Tick(self.now), *self.inbox], []
            self.random.shuffle(batch)
            for event in batch:
                steps += 1
                if steps in restarts:
                    brain, closed = self._restarted(manifest)
                    if closed:
                        return closed
                    break
                for command in brain.step(event):
                    if isinstance(command, cmd.Close):
                        self._check_nothing_is_left(brain)
                        return command
                    self._execute(command, manifest)
                self._check(brain, manifest)
            self.now += 0.5
        raise AssertionError(f"the run did not end; told: {self.told[-5:]}")

    def _restarted(self, manifest: Manifest) -> tuple[Brain, cmd.Close | None]:
        """The coordinator died: what was under way is forgotten, the log and the index remain."""
        self.inbox = []
        brain = Brain(manifest, Limits(grace_s=30))
        out: list[cmd.Command] = []
        for changes in self.log:
            out += brain.step(ev.Appended(changes, is_replay=True))
        out += brain.step(ev.Resumed(frozenset(self.index)))
        for command in out:
            if isinstance(command, cmd.Close):
                return brain, command
            self._execute(command, manifest)
        for region in self.regions.values():  # the watch lists first
            for child in region.children.values():
                self.inbox += [ev.AllocationChanged(region.name, one) for one in child.allocations]
        return brain, None

    def _check(self, brain: Brain, manifest: Manifest) -> None:
        bound = [(c["slot"], c["attempt"]) for changes in self.log for c in changes if c["type"] == "bind"]
        assert len(bound) == len(set(bound)), "an attempt was bound twice"
        logged = {
            (c["slot"], c["attempt"], c["region"]) for changes in self.log for c in changes if c["type"] == "bind"
        }
        assert set(self.dispatched) <= logged, "dispatched what the log doesn't have"
        for slot in brain.slots:
            assert len(slot.counting) <= manifest.max_attempts

    def _check_nothing_is_left(self, brain: Brain) -> None:
        left = [
            child.job_id
            for region in self.regions.values()
            for child in region.children.values()
            if child.status == "running" and not region.is_cut and not brain.regions[region.name].is_lost
        ]
        assert not left, "children still run in reachable regions after the end"

    def _live(self) -> None:
        """Children end; regions that are not cut tell of it, and give a heartbeat."""
        for region in self.regions.values():
            is_flipped = self.random.random() < self.cuts if self.now < CALM_S else region.is_cut
            if is_flipped:
                region.is_cut = not region.is_cut
            if is_flipped and not region.is_cut:  # the watch reconnects and lists
                self.inbox += [
                    ev.AllocationChanged(region.name, one) for c in region.children.values() for one in c.allocations
                ]
            for child in region.children.values():
                if child.status == "running" and child.ends_at <= self.now:
                    self._end(region, child)
            if not region.is_cut:
                self.inbox.append(ev.RegionHeard(region.name))

    def _end(self, region: VirtualRegion, child: Child) -> None:
        child.status = "dead"
        state = TaskState("dead", failed=child.is_bad, exit_code=1 if child.is_bad else 0, last_event="Exit Code: 1")
        child.allocations = [
            replace(one, client_status="failed" if child.is_bad else "complete", tasks={"t": state})
            for one in child.allocations
        ]
        for one in child.allocations:
            if not child.is_bad:
                self.records[one.id] = _record(child, region.name, one)
            if not region.is_cut:
                self.inbox.append(ev.AllocationChanged(region.name, one))

    def _execute(self, command: cmd.Command, manifest: Manifest) -> None:
        match command:
            case cmd.Tell():
                self.told.append(command)
            case cmd.Append():
                self.log.append(command.changes)
                self.inbox.append(ev.Appended(command.changes))
            case cmd.ReadLog():
                self.inbox.append(ev.LogRead(()))
            case cmd.KeepLogs():
                self.inbox.append(ev.LogsKept(command.slot, command.attempt))
            case cmd.Probe():
                region = self.regions[command.region]
                problem = "unreachable" if region.is_cut else ""
                self.inbox.append(ev.RegionProbed(command.region, region.free(), problem))
            case cmd.Ping():
                self.inbox.append(ev.Pinged(command.region, not self.regions[command.region].is_cut))
            case cmd.CheckParent():
                cut = self.regions[command.region].is_cut
                self.inbox.append(ev.ParentChecked(command.region, None if cut else manifest.spec_hash))
            case cmd.Dispatch():
                self._dispatch(command)
            case cmd.Find():
                self._find(command)
            case cmd.Verify():
                self.inbox += [ev.ChildSpec(job_id, manifest.spec_hash) for job_id in command.job_ids]
            case cmd.Inspect():
                self._inspect(command)
            case cmd.Look():
                self._look(command)
            case cmd.Stop():
                region = self.regions[command.region]
                is_done = not region.is_cut and not self.chance()
                for child in region.children.values():
                    if is_done and child.job_id == command.job_id:
                        child.status = "dead"
                self.inbox.append(ev.Stopped(command.region, command.job_id, is_done))
            case cmd.Commit():
                outcomes = []
                for record in command.records:
                    winner = self.index.setdefault(record.key, record.alloc_id)
                    outcomes.append((record, "added" if winner == record.alloc_id else "superseded"))
                self.inbox.append(ev.Committed(tuple(outcomes)))

    def _dispatch(self, command: cmd.Dispatch) -> None:
        region = self.regions[command.region]
        pair = (command.slot, command.attempt)
        self.dispatched.append((*pair, command.region))
        if region.is_cut:
            self.inbox.append(ev.DispatchFailed(*pair, "unknown", "timeout"))
            return
        if not self.chance():
            if pair not in region.children:  # the idempotency token
                child = Child(
                    pair, f"train/dispatch-{command.region}-{command.slot}-{command.attempt}",
                    self.now + self.random.uniform(1, 20), self.random.random() < self.bad,
                )  # fmt: skip
                child.allocations = [
                    Allocation(
                        f"alloc-{command.region}-{command.slot}-{command.attempt}", child.job_id, "model", 0, "n", "n-1",
                        "running", "run",
                    )
                ]  # fmt: skip
                region.children[pair] = child
            if not self.chance():  # else: the answer is lost after success
                self.inbox.append(ev.Acknowledged(*pair, region.children[pair].job_id))
                return
        self.inbox.append(ev.DispatchFailed(*pair, "unknown", "connection reset"))

    def _find(self, command: cmd.Find) -> None:
        region = self.regions[command.region]
        if region.is_cut or self.chance():
            self.inbox.append(ev.Found(command.region, {}, ()))
            return
        there = {pair: region.children[pair].job_id for pair in command.pairs if pair in region.children}
        self.inbox.append(ev.Found(command.region, there, tuple(pair for pair in command.pairs if pair not in there)))

    def _inspect(self, command: cmd.Inspect) -> None:
        region = self.regions[command.region]
        child = next((one for one in region.children.values() if one.job_id == command.job_id), None)
        if region.is_cut:
            self.inbox.append(ev.ChildInspected(command.slot, command.attempt, "unknown"))
        elif child is None:
            self.inbox.append(ev.ChildInspected(command.slot, command.attempt, "gone"))
        else:
            self.inbox.append(ev.ChildInspected(command.slot, command.attempt, child.status, tuple(child.allocations)))

    def _look(self, command: cmd.Look) -> None:
        if self.chance():
            alloc_id = command.allocation.id if command.allocation else ""
            self.inbox.append(ev.Looked(command.slot, command.attempt, alloc_id, (), "store unavailable"))
        elif command.allocation is None:
            found = tuple(one for one in self.records.values() if one.key.slot == command.slot)
            self.inbox.append(ev.Looked(command.slot, command.attempt, "", found))
        else:
            record = self.records.get(command.allocation.id)
            self.inbox.append(
                ev.Looked(command.slot, command.attempt, command.allocation.id, (record,) if record else ())
            )


def _record(child: Child, region: str, allocation: Allocation) -> ResultRecord:
    return ResultRecord(
        key=Key(MANIFEST.run, child.pair[0], allocation.group, allocation.index), attempt=child.pair[1], job="train",
        version="4", spec_hash=MANIFEST.spec_hash, region=region, datacenter="dc1", node="n-1", alloc_id=allocation.id,
        job_id=child.job_id, store="file:///x", manifest_sha256="0" * 64, files=(ResultFile("m", 1, "0" * 64),),
        created="2026-01-01T00:00:00Z",
    )  # fmt: skip
