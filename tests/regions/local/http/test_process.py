from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.regions.local.http.served import TOKEN
from tests.regions.local.http.test_jobs import parameterized

_ROOT = Path(__file__).parents[4]


class Region:
    """A region's own process on an inherited socket."""

    def __init__(self, folder: Path, *, program: Sequence[str] = ("-m", "regions.local"), **more: Any) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        folder.mkdir(exist_ok=True)
        (folder / "token").write_text(TOKEN)
        config = {
            "region": "us",
            "datacenter": "dc1",
            "data_dir": str(folder / "data"),
            "token_file": str(folder / "token"),
            "address": f"127.0.0.1:{self.port}",
            "nodes": [{"name": "us-1", "cpu_mhz": 2000, "memory_mb": 2000}],
        } | more
        (folder / "config.json").write_text(json.dumps(config))
        command = [sys.executable, *program, str(folder / "config.json"), "--fd", str(listener.fileno())]
        with (folder / "stderr").open("wb") as stderr:
            self.process = subprocess.Popen(command, pass_fds=[listener.fileno()], cwd=_ROOT, stderr=stderr)
        listener.close()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"X-Nomad-Token": TOKEN})
        response = connection.getresponse()
        text = response.read()
        connection.close()
        assert response.status == 200, text
        return json.loads(text) if text else None

    def until(self, path: str, holds: Any) -> Any:
        """What `path` answers once `holds` is true of it, by blocking queries."""
        deadline = time.monotonic() + 60
        while not holds(found := self.ask("GET", path)):
            assert time.monotonic() < deadline, found
            self.ask("GET", f"{path}?index={max(1, self._index(path))}&wait=2s")
        return found

    def _index(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path, headers={"X-Nomad-Token": TOKEN})
        index = connection.getresponse().headers["X-Nomad-Index"]
        connection.close()
        return int(index)


@contextmanager
def running(folder: Path, **more: Any) -> Iterator[Region]:
    region = Region(folder, **more)
    try:
        yield region
    finally:
        if region.process.poll() is None:
            region.process.terminate()
        region.process.wait(30)


def sleeper(seconds: str) -> dict[str, Any]:
    wanted = parameterized()
    task = wanted["TaskGroups"][0]["Tasks"][0]
    task["Config"] = {"command": "/bin/sh", "args": ["-c", f"echo ran ${{NOMAD_META_slot}}; sleep {seconds}"]}
    return wanted


def test_a_job_runs_and_the_region_ends_cleanly_with_its_tasks(tmp_path: Path) -> None:
    with running(tmp_path) as region:
        region.ask("PUT", "/v1/jobs", {"Job": sleeper("0.2")})
        child = region.ask("PUT", "/v1/job/train/dispatch", {"Meta": {"slot": "7"}})["DispatchedJobID"]
        region.until(f"/v1/job/{child}", lambda job: job["Status"] == "dead")
        [alloc] = region.ask("GET", f"/v1/job/{child}/allocations")
        assert alloc["ClientStatus"] == "complete"
        logs = region.ask("GET", f"/v1/client/fs/logs/{alloc['ID']}?task=t&type=stdout")
        assert logs["Data"] == "cmFuIDcK"
        region.process.terminate()
        assert region.process.wait(30) == 0
    banner = (tmp_path / "stderr").read_text()
    assert "a development engine" in banner
    assert banner.count("\n") == 1


def test_killed_at_any_moment_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    last_index = 0
    with running(tmp_path) as region:
        region.ask("PUT", "/v1/jobs", {"Job": sleeper("600")})
    for round_ in range(3):
        with running(tmp_path) as region:
            for slot in range(7 + 3 * round_):
                done = region.ask("PUT", "/v1/job/train/dispatch", {"Meta": {"slot": str(slot)}})
                assert done["Index"] > last_index
                last_index = done["Index"]
                acknowledged.add(done["DispatchedJobID"])
            os.kill(region.process.pid, signal.SIGKILL)
            region.process.wait(30)
    with running(tmp_path) as region:
        there = {one["ID"] for one in region.ask("GET", "/v1/jobs")}
        assert acknowledged <= there
        running_now = region.until(
            "/v1/allocations",
            lambda allocs: sum(one["ClientStatus"] == "running" for one in allocs) == 4,
        )
        assert len(running_now) == 4
        evaluations = region.ask("GET", "/v1/evaluations")
        assert {one["Status"] for one in evaluations} == {"complete", "blocked"}


def test_a_bad_configuration_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"region": "us"}')
    done = subprocess.run(
        [sys.executable, "-m", "regions.local", str(tmp_path / "config.json")],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "has no 'data_dir'" in done.stderr
