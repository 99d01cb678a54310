"""Nodes and jobs enter, running regions of either engine leave, for the figures of `engine`."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conformance.conftest import BINARIES, CPU_MHZ, MEMORY_MB, Federation, start_nomad, stop, unmount_below


@contextmanager
def embedded(
    folder: Path, nodes: Sequence[Mapping[str, Any]] = (), *, keep: bool = False
) -> Iterator[tuple[Federation, float]]:
    """A region that runs, and the seconds until it answered; its state stays in `folder`/us with `keep`."""
    place = folder if keep else Path(tempfile.mkdtemp(dir=folder))
    token = "00000000-0000-0000-0000-000000000b0b"
    (place / "token").write_text(token)
    node = {"name": "us-1", "cpu_mhz": CPU_MHZ, "memory_mb": MEMORY_MB}
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    config = {
        "region": "us",
        "datacenter": "us-east-1",
        "data_dir": str(place / "us"),
        "token_file": str(place / "token"),
        "address": address,
        "nodes": [{"drivers": ["raw_exec", "mock_driver"], **one} for one in nodes or [node]],
    }
    (place / "us.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "regions.local", str(place / "us.json"), "--fd", str(listener.fileno())]
    start = time.perf_counter()
    with listener, (place / "us.log").open("wb") as log:
        process = subprocess.Popen(command, pass_fds=(listener.fileno(),), stderr=log)
    region = Federation("embedded", {}, {"us": f"http://{address}"}, token, [process])
    try:
        wait_for(lambda: bool(region.get("/v1/status/leader")))
        yield region, time.perf_counter() - start
    finally:
        stop(region)


@contextmanager
def real(folder: Path) -> Iterator[tuple[Federation, tuple[str, int]]]:
    """A dev agent with a ready node of the same size, and its RPC address."""
    place = Path(tempfile.mkdtemp(dir=folder))
    region = start_nomad(BINARIES[0], place, names=("us",))
    try:
        wait_for(lambda: any(one["Status"] == "ready" for one in region.get("/v1/nodes")))
        port = re.search(r"rpc *= (\d+)", (place / "us.hcl").read_text())
        assert port
        yield region, ("127.0.0.1", int(port[1]))
    finally:
        stop(region)
        unmount_below(place)


def wait_for(is_done: Callable[[], bool], *, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            if is_done():
                return
        except (OSError, AssertionError):
            pass  # no server yet, or no leader
        assert time.monotonic() < until, "it lasts too long"
        time.sleep(0.02)


def summary(region: Federation, job_id: str) -> dict[str, int]:
    """The counters of the job's one group."""
    found: dict[str, int] = region.get(f"/v1/job/{job_id}/summary")["Summary"]["g"]
    return found


def job(
    job_id: str, driver: str, config: Mapping[str, Any], *, count: int = 1, tasks: int = 1, cpu: int = 20, **fields: Any
) -> dict[str, Any]:
    """A batch job of one group of equal tasks."""
    task = {
        "Driver": driver,
        "Config": config,
        "Resources": {"CPU": cpu, "MemoryMB": 10},
        "LogConfig": {"MaxFiles": 1, "MaxFileSizeMB": 1},
    }
    group = {
        "Name": "g",
        "Count": count,
        "EphemeralDisk": {"SizeMB": 10},
        "RestartPolicy": {"Attempts": 0, "Mode": "fail", "Interval": 10**12, "Delay": 10**9},
        "Tasks": [{"Name": f"t{number}", **task} for number in range(tasks)],
    }
    place = {"Region": "us", "Datacenters": ["us-east-1"]}
    return {"ID": job_id, "Name": job_id, "Type": "batch", **place, "TaskGroups": [group], **fields}


def register_parent(region: Federation) -> None:
    wanted = job("parent", "mock_driver", {"run_for": "1ms"}, ParameterizedJob={"MetaRequired": ["slot"]})
    status, _, text = region.raw("PUT", "/v1/jobs", body={"Job": wanted})
    assert status == 200, text
