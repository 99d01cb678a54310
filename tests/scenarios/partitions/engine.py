"""What a partition is played on: three regions, a server of buckets, and the ways between them, which can be hurt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.emulators.link import Fault

REGIONS = ("us", "eu", "onprem")
DESKS = ("desk", "other")
"""Machines that a coordinator runs on."""
BUCKETS = "buckets"
BUCKET_NAMES = ("fedml-home", "fedml-us")
DATACENTER = "dc1"
CPU_MHZ, MEMORY_MB = 4000, 2048
START_S = 120.0

Way = tuple[str, str]
"""From whom to whom: `("desk", "us")`, `("eu", "us")`, `("desk", "buckets")`."""


def ways_to(target: str) -> list[Way]:
    """All ways to a region or to the buckets."""
    return [(source, target) for source in (*DESKS, *REGIONS) if source != target]


class Engine(ABC):
    """Running regions. Its ways are whole at the beginning."""

    grace_s: float

    def __init__(self, root: Path) -> None:
        self.root = root
        self.token_file: Path | None = None
        self.processes: list[subprocess.Popen[bytes]] = []

    @abstractmethod
    def address(self, source: str, target: str) -> str:
        """Where `source` reaches `target`."""

    @abstractmethod
    def direct(self, region: str) -> str:
        """Where the test itself reaches a region, whatever its ways suffer; to be asked `inside` the region."""

    @abstractmethod
    def inside(self, place: str) -> AbstractContextManager[None]:
        """What is started or asked within it comes from that place."""

    @abstractmethod
    def suffer(self, way: Way, fault: Fault) -> None:
        """Hurt a way."""

    @abstractmethod
    def mend(self, way: Way) -> None:
        """The way is whole again."""

    @abstractmethod
    def why_not(self, fault: Fault) -> str:
        """Why a way can't suffer that here; empty where it can."""

    @abstractmethod
    def close(self) -> None:
        """End all that runs, and leave nothing."""

    def ask(self, region: str, path: str) -> Any:
        """The JSON of a GET from a region."""
        token = self.token_file.read_text() if self.token_file else ""
        request = urllib.request.Request(f"{self.direct(region)}{path}", headers={"X-Nomad-Token": token})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with self.inside(region), opener.open(request, timeout=30) as answer:
            return json.load(answer)

    def children(self, region: str, job: str) -> list[dict[str, Any]]:
        """The children of a job in a region, as its list has them."""
        found = self.ask(region, f"/v1/jobs?prefix={job}/dispatch-")
        return [child for child in found if child["ID"].startswith(f"{job}/dispatch-")]

    def still_open(self, region: str, job: str) -> list[str]:
        """Those that aren't over."""
        return [child["ID"] for child in self.children(region, job) if child["Status"] != "dead"]

    # ── processes ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def launch(self, name: str, command: list[str], **options: Any) -> None:
        """Start a server, its output in a file."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("NOMAD_")}
        path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
        with (self.root / f"{name}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**kept, "PATH": path}, **options
                )
            )

    def serve_buckets(self, fd: int) -> None:
        """A server of buckets on a listening socket."""
        server = [sys.executable, "-P", "-m", "federation.dev.s3_server", str(self.root / BUCKETS), *BUCKET_NAMES]
        self.launch(BUCKETS, [*server, "--fd", str(fd)], pass_fds=(fd,))

    def wait_until_ready(self) -> None:
        """Each region has a leader and a node, and knows the others."""
        for region in REGIONS:
            self.wait_for(
                region,
                lambda region=region: (
                    self.ask(region, "/v1/status/leader")
                    and self.ask(region, "/v1/regions") == sorted(REGIONS)
                    and [node for node in self.ask(region, "/v1/nodes") if node["Status"] == "ready"]
                ),
            )

    def wait_for(self, name: str, is_so: Callable[[], Any]) -> None:
        """Until it is so, for as long as the servers run."""
        until_s = time.monotonic() + START_S
        while True:
            try:
                if is_so():
                    return
            except OSError:
                pass
            is_dead = any(process.poll() is not None for process in self.processes)
            assert not is_dead and time.monotonic() < until_s, (self.root / f"{name}.log").read_text()[-3000:]  # noqa: PT018
            time.sleep(0.1)  # no event to wait for before there is a server

    def end_processes(self) -> None:
        """End the servers."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
