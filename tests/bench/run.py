"""The run's figures: what its brain costs, how near a run comes to the lower bound, what a coordinator adds to dispatching."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from federation.app import App, JobRequest
from federation.config.load import load
from federation.errors import Interrupted
from federation.result import Key
from federation.run.brain import commands as cmd
from federation.run.brain import events as ev
from federation.run.brain.brain import Brain
from federation.run.brain.changes import Ack, Bind, Change, Entry
from federation.run.coordinator import Coordinator
from federation.run.ports import Ports
from federation.workflows.open_run import open_run
from federation.workflows.request import RunRequest, check_for_job, check_request
from federation.workflows.runs import Runs
from regions.model import Allocation, Dispatched
from tests.bench import makespan
from tests.bench.main_job import MOCK_JOB, project
from tests.bench.measure import Figure, at_least
from tests.bench.virtual_run import VirtualRun, manifest_of

SLOTS = 100_000
RUNNING = 10_000
UNCOMMITTED = 1_000
DISPATCHES = 600
IDLE_S = 8.0


def below(name: str, value: float, unit: str, against: str, limit: float) -> Figure:
    """A figure that has a limit of its own."""
    return Figure(name, round(value, 3), unit, against, round(value / limit, 3), f"≤ {limit:g} {unit}", value <= limit)


def events_figure() -> Figure:
    """Events a second of one core in the brain, heartbeats and ticks not counted (their cost is)."""
    sizes = makespan.sizes_of(1)
    run = VirtualRun(makespan.durations_of("uniform, 1 to 1,199 s", 5_000, 1), sizes, results="publish")
    run.run()
    return at_least("events of a run through its brain", run.events / run.brain_s, "1/s", "10,000 a second",
                    run.events / run.brain_s / 10_000, 1.0)  # fmt: skip


def brain_with(slots: int, *, committed: int = 0) -> tuple[Brain, list[cmd.Command]]:
    """A brain after a restart: every slot was bound and acknowledged, so many are committed; and what it commanded."""
    names = [f"r{number}" for number in range(100)]
    brain = Brain(manifest_of(slots, names, results="publish"))
    out: list[cmd.Command] = []
    for first in range(0, slots, 500):
        batch = range(first, min(slots, first + 500))
        binds = tuple(Bind(n, 1, names[n % 100]) for n in batch)
        acks = tuple(Ack(n, 1, f"train/dispatch-1764028800-{n:08x}") for n in batch)
        out += brain.step(ev.Appended(binds, is_replay=True)) + brain.step(ev.Appended(acks, is_replay=True))
    out += brain.step(ev.Resumed({Key("0193-bench", n, "g", 0): 1 for n in range(committed)}))
    return brain, out


def memory_figure() -> Figure:
    """What 100,000 open slots take, all of them running; a process of its own, since only that tells."""
    done = subprocess.run([sys.executable, "-m", "tests.bench.run"], check=True, capture_output=True, text=True)
    return below("memory of a brain with 100,000 open slots", float(done.stdout), "MB", "a limit of 500 MB", 500)


def measure_memory() -> float:
    """MB that this process has grown by."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    brain, _ = brain_with(SLOTS)
    brain.step(ev.Tick(1.0))
    for number in range(SLOTS):
        child = f"train/dispatch-1764028800-{number:08x}"
        one = Allocation(f"alloc-{number}", child, "g", 0, "n", "n-1", "running", "run")
        brain.step(ev.AllocationChanged(f"r{number % 100}", one))
    assert sum(region.running for region in brain.regions.values()) == SLOTS
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def resume_figure() -> Figure:
    """What a resumed run of 100,000 slots asks regions and stores for, a slot that isn't committed."""
    brain, out = brain_with(SLOTS, committed=SLOTS - UNCOMMITTED)
    for now_s in (1.0, 2.0, 60.0):
        out += brain.step(ev.Tick(now_s))
        for name in brain.regions:
            out += brain.step(ev.RegionHeard(name))
    asked = [one for one in out if isinstance(one, cmd.Inspect | cmd.Look | cmd.Find | cmd.Stop | cmd.Dispatch)]
    asked += [child for one in out if isinstance(one, cmd.InspectAll) for child in one.children]
    assert len(asked) >= UNCOMMITTED
    return Figure("resume of 100,000 slots, 1,000 uncommitted", len(asked), "questions", "one an uncommitted slot",
                  len(asked) / UNCOMMITTED, "≤ 1.05", len(asked) <= 1.05 * UNCOMMITTED)  # fmt: skip


def makespan_figure() -> Figure:
    """40,000 slots whose durations nobody knows over 100 unequal regions."""
    found = makespan.measured(makespan.GOAL, slots=40_000)
    return Figure(
        f"makespan, 40,000 slots over 100 unequal regions, {found.shape}", round(found.late_s / 3600, 3), "h",
        f"the lower bound (bound early {found.early_s / found.bound_s:.2f}, equal counts {found.equal_s / found.bound_s:.1f})",
        round(found.late_s / found.bound_s, 4), "≤ 1.05", found.late_s <= 1.05 * found.bound_s,
    )  # fmt: skip


# ── with a coordinator ────────────────────────────────────────────────────────────────────────────────────────────────


class StillRegion:
    """A region in which every child runs for ever."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.on_allocation: Callable[[Allocation], None] = lambda _: None

    def job(self, job_id: str) -> dict[str, Any]:
        return {"ID": job_id, "Status": "running", "Meta": {"fedml_spec": "5ec"}}

    def jobs(self, prefix: str = "", *, meta: bool = False, is_alive: bool = False) -> list[dict[str, Any]]:
        return []

    def dispatch(
        self, job_id: str, *, meta: Mapping[str, str], payload: bytes = b"", idempotency_token: str = ""
    ) -> Dispatched:
        child = f"{job_id}/dispatch-{idempotency_token}"
        self.on_allocation(Allocation(f"a-{idempotency_token}", child, "g", 0, "n", "n-1", "running", "run"))
        return Dispatched(child, "e")

    def allocations(self, *, job_id: str | None = None) -> tuple[list[Allocation], int]:
        return [Allocation(f"a-{job_id}", str(job_id), "g", 0, "n", "n-1", "running", "run")], 1


class MemoryLog:
    """A run log that is nowhere."""

    def append(self, changes: Sequence[Change], *, after: int) -> tuple[bool, Sequence[Entry]]:
        return True, ()

    def news(self) -> Sequence[Entry]:
        return ()


def idle_figure() -> Figure:
    """Share of one core that a coordinator takes while 10,000 slots run and nothing happens."""
    names = [f"r{number}" for number in range(10)]
    regions = {name: StillRegion(name) for name in names}
    all_run = threading.Event()
    started = 0

    def watch(name: str, on_allocation: Any, on_heard: Any, on_listed: Any, stop: threading.Event) -> None:
        regions[name].on_allocation = on_allocation
        while not stop.wait(10.0):
            on_heard(False)

    def observe(tell: cmd.Tell) -> None:
        nonlocal started
        started += tell.kind == "running"
        if started == RUNNING:
            all_run.set()

    ports = Ports(
        clients=regions,  # type: ignore[arg-type]
        run_log=MemoryLog(),
        index=None,  # type: ignore[arg-type]
        probe=lambda name, _slots: ev.RegionProbed(name, 2 * RUNNING // len(names)),
        ping=lambda name: ev.Pinged(name, is_alive=True),
        list_allocations=lambda name: (regions[name].allocations()[0], ""),
        read=lambda region, key, allocation: None,
        search=lambda region, slot: (),
        watch=watch,
        observe=observe,
        inputs=lambda slot: ({}, b""),
        sites={},
    )
    manifest = replace(manifest_of(RUNNING, names, results="publish"), run="0193-idle")
    coordinator = Coordinator(Brain(manifest), ports)

    def drive() -> None:
        with suppress(Interrupted):
            coordinator.run()

    thread = threading.Thread(target=drive, daemon=True)
    thread.start()
    assert all_run.wait(120), "not all slots run"
    time.sleep(12.0)  # until children whose news came before their acknowledgement were looked at once
    before, start = time.process_time(), time.perf_counter()
    time.sleep(IDLE_S)
    share = (time.process_time() - before) / (time.perf_counter() - start)
    coordinator.abandon(Interrupted("measured"))
    thread.join(30)
    return below("idle watch of 10,000 running slots", share * 100, "% of a core", "a limit of 3 %", 3.0)


def coordinator_figure(folder: Path) -> Figure:
    """Dispatches a second by a whole run, against the same pooled clients without one, on the same servers in turn."""
    (folder / "bench.nomad.hcl").write_text(MOCK_JOB)
    app = App(load(folder / "fedml.toml"))
    request = RunRequest(JobRequest(str(folder / "bench.nomad.hcl")), slots=DISPATCHES)
    prepared = app.prepare(request.job)
    assert not app.deploy(prepared).failed
    pairs = []
    for _ in range(3):
        ours, shares = _whole_run(app, request)
        pairs.append((ours, _pooled_clients(app, shares)))
    app.close()
    ours, theirs = sorted(pairs, key=lambda pair: pair[0] / pair[1])[1]
    against = "the same pooled clients without a coordinator"
    return at_least("dispatches by a coordinator, three regions", ours, "1/s", against, ours / theirs, 0.8)


def _whole_run(app: App, request: RunRequest) -> tuple[float, Mapping[str, int]]:
    """Dispatches a second, from the first binding to the last acknowledgement; and how many each region got."""
    runs, prepared = Runs(app), app.prepare(request.job)
    times: list[float] = []
    begun: list[float] = []
    shares: Counter[str] = Counter()

    def observe(tell: cmd.Tell) -> None:
        if tell.kind == "dispatched":
            times.append(time.perf_counter())
            shares[tell.region] += 1
        elif tell.kind == "bound" and not begun:
            begun.append(time.perf_counter())

    outcome = runs.start(
        open_run(
            app, check_for_job(check_request(request, app.config), prepared.shape), prepared, list(app.config.regions)
        ),
        prepared,
        observe,
    )
    assert (outcome.state, len(times)) == ("done", DISPATCHES), outcome
    return DISPATCHES / (max(times) - begun[0]), shares


def _pooled_clients(app: App, shares: Mapping[str, int]) -> float:
    """The same dispatches by eight threads a region, as a coordinator has, each with its kept-alive connection."""
    pools = {name: ThreadPoolExecutor(8) for name in shares}
    start = time.perf_counter()
    waiting = [
        pools[name].submit(app.client(name).dispatch, "bench", meta={}, idempotency_token=f"{start}-{name}-{number}")
        for name, share in shares.items()
        for number in range(share)
    ]
    for one in waiting:
        one.result()
    seconds = time.perf_counter() - start
    for pool in pools.values():
        pool.shutdown()
    return len(waiting) / seconds


def figures(folder: Path) -> Iterator[Figure]:
    """All of them, one after another; folders and servers are gone afterwards."""
    yield events_figure()
    yield memory_figure()
    yield resume_figure()
    yield idle_figure()
    yield makespan_figure()
    mocks = {"memory_mb = 8192 }": 'memory_mb = 8192, count = 20, drivers = ["mock_driver"] }',
             "memory_mb = 4096 }": 'memory_mb = 4096, count = 20, drivers = ["mock_driver"] }',
             "memory_mb = 2048 }": 'memory_mb = 2048, count = 40, drivers = ["mock_driver"] }',
             "[federation]\n": '[federation]\nresults = "none"\n'}  # fmt: skip
    with project(folder / "mocks", edit=mocks) as folder_of_mocks:
        yield coordinator_figure(folder_of_mocks)


if __name__ == "__main__":
    print(measure_memory())
