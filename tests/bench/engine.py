"""The embedded region's figures, against a real agent where there is a binary (the first of NOMAD_BIN), else without it."""

from __future__ import annotations

import compileall
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import which
from typing import Any
from urllib.parse import quote

from regions.local.state import job_writes
from regions.local.state.store import Store
from regions.local.state.transaction import Transaction
from tests.bench.engines import embedded, job, real, register_parent, summary, wait_for
from tests.bench.measure import Figure, at_least, at_most, process_s, ratio_of
from tests.conformance import nomad_nodes
from tests.conformance.conftest import (
    BINARIES,
    NO_BINARY,
    Federation,
)

RUNS = 5
THREADS = 32
DISPATCHES = 1500
WRK_S = 3
ALLOCATIONS = 100
DRY_RUN = 5000
NODES = 100
FINISHED = 100_000
CALLS = 60
FLEET, RUNNING = 1000, 10_000
MB = 1024 * 1024
REAL = f"a real agent's ({Path(BINARIES[0]).name})" if BINARIES else ""


def figures(folder: Path) -> Iterator[Figure]:
    """All of them, one after another; processes and folders are gone afterwards."""
    yield parse_figure()
    yield ready_figure(folder)
    yield idle_figure(folder)
    yield from against_real(folder)
    yield from finished_figures(folder)
    yield fleet_figure(folder)


# --- the language -----------------------------------------------------------------------------------------------------


def parse_figure() -> Figure:
    """Source text to Nomad's JSON, against pygohcl's bare parse of the same text."""
    import pygohcl

    from jobs.hcl import parse_job

    golden = Path(__file__).parents[1] / "jobs/hcl/golden"
    texts = [path.read_text(encoding="utf-8") for path in sorted(golden.glob("*.nomad.hcl"))]

    def timed(parse: Callable[[str], Any]) -> float:
        start = time.perf_counter()
        for _ in range(20):
            for text in texts:
                parse(text)
        return (time.perf_counter() - start) / (20 * len(texts))

    ours, ratio = ratio_of(
        lambda: timed(lambda text: parse_job(text, base_dir=golden)), lambda: timed(pygohcl.loads), runs=RUNS
    )
    return at_most("a jobspec's text to Nomad's JSON", ours, "pygohcl's bare parse", ratio, 6.0)


# --- an idle region ---------------------------------------------------------------------------------------------------


def ready_figure(folder: Path) -> Figure:
    """A process from its start to its first answer; modules are compiled before, as an installation has them."""
    for package in ("regions", "jobs"):
        compileall.compile_dir(Path(__file__).parents[2] / package, quiet=1)

    def ours() -> float:
        with embedded(folder) as (region, seconds):
            assert region.addresses
            return seconds

    seconds, ratio = ratio_of(ours, lambda: process_s([sys.executable, "-c", "pass"], folder), runs=RUNS)
    return at_most("an embedded region ready", seconds, "a bare Python start", ratio, 6.0)


def idle_figure(folder: Path) -> Figure:
    """Memory of a region with one node that has answered, all its processes together."""
    with embedded(folder) as (region, _):
        region.get("/v1/nodes")
        return memory("an idle embedded region", region, 60)


def fleet_figure(folder: Path) -> Figure:
    """Memory with 1,000 nodes on which 10,000 mock tasks run."""
    nodes = [{"name": f"n-{number}", "cpu_mhz": 1000, "memory_mb": 1000} for number in range(FLEET)]
    with embedded(folder, nodes) as (region, _):
        region.raw("PUT", "/v1/jobs", body={"Job": job("fleet", "mock_driver", {"run_for": "1h"}, count=RUNNING)})
        wait_for(lambda: summary(region, "fleet")["Running"] == RUNNING)
        return memory(f"{FLEET} nodes with {RUNNING} running mock tasks", region, 1024)


def memory(name: str, region: Federation, limit_mb: int) -> Figure:
    """The resident memory (RSS) of the region's process and of all that it started, added up."""
    found = sum(_resident_bytes(pid) for pid in _tree(region.processes[0].pid)) / MB
    return Figure(name, round(found, 1), "MB", f"{limit_mb} MB", round(found / limit_mb, 3), "≤ 1", found <= limit_mb)


def _tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task").glob("*/children")
    return [pid, *(one for path in children for child in path.read_text().split() for one in _tree(int(child)))]


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# --- both engines -----------------------------------------------------------------------------------------------------


def against_real(folder: Path) -> Iterator[Figure]:
    """What both engines are asked by the same client; without a binary, the embedded region's alone."""
    if not BINARIES:
        print(f"figures against a real agent are left out: {NO_BINARY}", file=sys.stderr)
    nodes = [{"name": f"us-{number}", "cpu_mhz": 4000, "memory_mb": 8192} for number in range(NODES)]
    with embedded(folder) as (region, _):
        ours = {name: measure(region) for name, (measure, _, _) in MEASURES.items()}
    with embedded(folder, nodes) as (region, _):
        dry_run_s = dry_run(region)
    if not BINARIES:
        for name, (_, unit, _) in MEASURES.items():
            yield Figure(name, round(ours[name], 1), unit, "nothing", 1.0, "none", None)
        yield Figure(f"dry run of {DRY_RUN} on {NODES} nodes", round(dry_run_s, 3), "s", "nothing", 1.0, "none", None)
        return
    with real(folder) as (region, rpc):
        theirs = {name: measure(region) for name, (measure, _, _) in MEASURES.items()}
    with real(folder) as (region, rpc):
        names = [f"us-{number}" for number in range(NODES)]
        same = [nomad_nodes.pretended(name, "us-east-1", cpu_mhz=4000, memory_mb=8192) for name in names]
        nomad_nodes.register(rpc, "us", same)
        real_s = dry_run(region)
    for name, (_, unit, limit) in MEASURES.items():
        if theirs[name]:
            yield at_least(name, ours[name], unit, REAL, ours[name] / theirs[name], limit)
    yield at_most(f"dry run of {DRY_RUN} on {NODES} nodes", dry_run_s, REAL, dry_run_s / real_s, 1.0)


def dispatch_rate(region: Federation) -> float:
    """Dispatches a second by python-nomad, a client a thread; the children are mocks that end at once."""
    import nomad

    register_parent(region)
    host, _, port = region.addresses["us"].removeprefix("http://").partition(":")
    local = threading.local()

    def one(number: int) -> None:
        if not hasattr(local, "client"):
            import requests

            local.client = nomad.Nomad(host=host, port=int(port), token=region.token, session=requests.Session())
        local.client.job.dispatch_job("parent", meta={"slot": str(number)})

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(one, range(THREADS * 4)))
        start = time.perf_counter()
        list(pool.map(one, range(DISPATCHES)))
        return DISPATCHES / (time.perf_counter() - start)


def wrk_rate(region: Federation) -> float:
    """Dispatches a second by wrk, 0 where it isn't installed."""
    if which("wrk") is None:
        return 0.0
    register_parent(region)
    lines = ['wrk.method = "PUT"', """wrk.body = '{"Meta":{"slot":"1"}}'"""]
    url = f"{region.addresses['us']}/v1/job/parent/dispatch"
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write("\n".join([*lines, f'wrk.headers["X-Nomad-Token"] = "{region.token}"']))
        script.flush()
        command = ["wrk", "-t2", f"-c{THREADS}", f"-d{WRK_S}s", "-s", script.name, url]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in said, said
    return float(said.partition("Requests/sec:")[2].split()[0])


def finish_rate(region: Federation) -> float:
    """Allocations finished a second: two raw_exec tasks that do nothing, on a node with room for all of them."""
    wanted = job("finish", "raw_exec", {"command": "/bin/true"}, count=ALLOCATIONS, tasks=2, cpu=5)
    start = time.perf_counter()
    region.raw("PUT", "/v1/jobs", body={"Job": wanted})
    wait_for(lambda: summary(region, "finish")["Complete"] == ALLOCATIONS)
    return ALLOCATIONS / (time.perf_counter() - start)


def dry_run(region: Federation) -> float:
    """Seconds of one dry run that has room for all."""
    wanted = job("probe", "raw_exec", {"command": "/bin/true"}, count=DRY_RUN, cpu=20)
    start = time.perf_counter()
    status, _, text = region.raw("PUT", "/v1/job/probe/plan", body={"Job": wanted})
    seconds = time.perf_counter() - start
    assert status == 200, text
    assert json.loads(text)["FailedTGAllocs"] is None, text[:1000]
    return seconds


Measure = Callable[[Federation], float]
# The dispatches come last: a real agent is busy with their children long after.
MEASURES: Mapping[str, tuple[Measure, str, float]] = {
    "allocations of two raw_exec tasks finished": (finish_rate, "1/s", 2.0),
    f"dispatches by python-nomad, {THREADS} threads": (dispatch_rate, "1/s", 1.0),
    f"dispatches by wrk, {THREADS} connections": (wrk_rate, "1/s", 1.0),
}


# --- a full state -----------------------------------------------------------------------------------------------------


def finished_figures(folder: Path) -> Iterator[Figure]:
    """What 100,000 finished children cost a page of 100, a status and a dispatch, against the same with 100 of them."""
    few, many = folder / "few", folder / "many"
    for place, count in ((few, 100), (many, FINISHED)):
        place.mkdir()
        with embedded(place, keep=True) as (region, _):
            register_parent(region)
            status, _, text = region.raw("PUT", "/v1/job/parent/dispatch", body={"Meta": {"slot": "0"}})
            assert status == 200, text
            child = quote(json.loads(text)["DispatchedJobID"], safe="")
            wait_for(lambda child=child: region.get(f"/v1/job/{child}")["Status"] == "dead")  # type: ignore[misc]
        fill(place / "us", count)
    with embedded(many, keep=True) as (full, _), embedded(few, keep=True) as (empty, _):
        for name, call in (("a page of 100 jobs", _page), ("a child's status", _status), ("a dispatch", _dispatch)):
            seconds, ratio = ratio_of(lambda call=call: call(full), lambda call=call: call(empty), runs=RUNS)  # type: ignore[misc]
            yield at_most(f"{name} with {FINISHED} finished children", seconds, "with 100", ratio, 1.5)


def fill(data_dir: Path, count: int) -> None:
    """Copies the one finished child in a region's state, which isn't running, so often."""
    store = Store(data_dir)
    (child,) = (one for one in store.snapshot.jobs.values() if one["ParentID"])
    (alloc,), (evaluation,) = (
        store.snapshot.job_allocs("default", child["ID"]),
        store.snapshot.job_evals("default", child["ID"]),
    )

    def copies(transaction: Transaction) -> None:
        for _ in range(min(1000, count)):
            made, _ = job_writes.dispatch(
                transaction, "default", "parent", {"slot": "1"}, "", 0, token=job_writes.new_id(), now_ns=time.time_ns()
            )
            same = {"JobID": made["ID"]}
            done = {**evaluation, **same, "ID": job_writes.new_id()}
            del done["CreateIndex"]
            transaction.put_eval(done)
            transaction.put_alloc({**alloc, **same, "ID": job_writes.new_id(), "EvalID": done["ID"], "Job": made})

    for _ in range(max(1, count // 1000)):
        store.commit("JobRegistered", copies)
    store.close()


def _page(region: Federation) -> float:
    return _timed(lambda: region.get("/v1/jobs", prefix="parent/", per_page=100))


def _status(region: Federation) -> float:
    child = quote(region.get("/v1/jobs", prefix="parent/", per_page=1)[0]["ID"], safe="")
    return _timed(lambda: region.get(f"/v1/job/{child}"))


def _dispatch(region: Federation) -> float:
    def call() -> None:
        status, _, text = region.raw(
            "PUT", "/v1/job/parent/dispatch", body={"Meta": {"slot": "1"}}, idempotency_token=job_writes.new_id()
        )
        assert status == 200, text

    return _timed(call)


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - start) / CALLS
