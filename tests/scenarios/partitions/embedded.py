"""Embedded regions on this machine; each way between two places is a relay of its own."""

from __future__ import annotations

import json
import socket
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.emulators.link import Fault, Link
from tests.scenarios.partitions.engine import BUCKETS, CPU_MHZ, DATACENTER, DESKS, MEMORY_MB, REGIONS, Engine, Way


class Embedded(Engine):
    """Three embedded regions and a server of buckets."""

    grace_s = 3.0

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.token_file = root / "token"
        self.token_file.write_text(str(uuid.uuid4()))
        sockets = {name: socket.create_server(("127.0.0.1", 0), backlog=128) for name in (*REGIONS, BUCKETS)}
        self._ports = {name: int(one.getsockname()[1]) for name, one in sockets.items()}
        self._links = {
            (source, target): Link(self._ports[target])
            for source in (*DESKS, *REGIONS)
            for target in (*REGIONS, BUCKETS)
            if source != target and (source in DESKS or target in REGIONS)
        }
        for name in REGIONS:
            settings = self._settings(name)
            command = [sys.executable, "-P", "-m", "regions.local", str(settings), "--fd", str(sockets[name].fileno())]
            self.launch(name, command, pass_fds=(sockets[name].fileno(),))
        self.serve_buckets(sockets[BUCKETS].fileno())
        for one in sockets.values():
            one.close()
        self.wait_until_ready()

    def _settings(self, name: str) -> Path:
        path = self.root / f"{name}.json"
        node = {"name": f"{name}-1", "datacenter": DATACENTER, "cpu_mhz": CPU_MHZ, "memory_mb": MEMORY_MB}
        settings = {
            "region": name,
            "datacenter": DATACENTER,
            "data_dir": str(self.root / f"data-{name}"),
            "token_file": str(self.token_file),
            "address": f"127.0.0.1:{self._ports[name]}",
            "peers": {other: self.address(name, other) for other in REGIONS if other != name},
            "peer_datacenters": dict.fromkeys(REGIONS, DATACENTER),
            "nodes": [node],
            "path_prepend": [str(Path(sys.executable).parent)],
        }
        path.write_text(json.dumps(settings))
        return path

    def address(self, source: str, target: str) -> str:
        return self._links[(source, target)].address

    def direct(self, region: str) -> str:
        return f"http://127.0.0.1:{self._ports[region]}"

    @contextmanager
    def inside(self, place: str) -> Iterator[None]:
        yield

    def suffer(self, way: Way, fault: Fault) -> None:
        if way in self._links:
            self._links[way].suffer(fault)

    def mend(self, way: Way) -> None:
        if way in self._links:
            self._links[way].mend()

    def why_not(self, fault: Fault) -> str:
        return ""

    def close(self) -> None:
        for link in self._links.values():
            link.close()
        self.end_processes()
