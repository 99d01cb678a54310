"""Real Nomad agents, each in a network namespace of its own on one bridge; ways are hurt by packet filters and queues."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conformance.conftest import unmount_below
from tests.emulators.link import STREAM, Delayed, Dripped, Dropped, Fault, Limited, Oversized, Refused, StreamStalled
from tests.scenarios.partitions.engine import BUCKETS, CPU_MHZ, DATACENTER, DESKS, MEMORY_MB, REGIONS, Engine, Way

PLACES = (*DESKS, *REGIONS, BUCKETS)
HUB = "hub"
HTTP_PORT, BUCKETS_PORT = 4646, 9000
MARK = "7"
"""What connections of event streams are marked with."""
CLONE_NEWNET = 0x40000000
NO_FINGERPRINTS = "env_aws,env_gce,env_azure,env_digitalocean,consul,vault,cni,bridge,cgroup"


def ip_of(place: str) -> str:
    """Its address on the bridge."""
    return f"10.213.0.{1 + PLACES.index(place)}"


def why_no_namespaces() -> str:
    """Why none can be made here; empty where they can."""
    if missing := [tool for tool in ("ip", "iptables", "tc") if shutil.which(tool) is None]:
        return f"network namespaces need {', '.join(missing)}: install iproute2 and iptables"
    if os.geteuid() != 0:
        return "network namespaces are made by root"
    probe = f"fp{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespace can be made here: {made.stderr.strip()}"
    filtered = subprocess.run(
        ["ip", "netns", "exec", probe, "iptables", "-A", "INPUT", "-m", "length", "--length", "600:", "-j", "DROP"],
        capture_output=True,
        text=True,
        check=False,
    )
    subprocess.run(["ip", "netns", "del", probe], check=True)
    return f"iptables doesn't work here: {filtered.stderr.strip()}" if filtered.returncode else ""


class Namespaces(Engine):
    """Three agents of one binary, and a server of buckets. Each place has one interface, `eth0`."""

    grace_s = 4.0

    def __init__(self, root: Path, binary: str) -> None:
        super().__init__(root)
        self._binary = binary
        self._prefix = f"fp{os.getpid()}"
        self._undo: dict[Way, list[tuple[str, ...]]] = {}
        """The commands that mend a way, each with its place first."""
        try:
            self._make_network()
            for name in REGIONS:
                self._launch_agent(name)
            with self.inside(BUCKETS), socket.create_server((ip_of(BUCKETS), BUCKETS_PORT), backlog=128) as listener:
                self.serve_buckets(listener.fileno())
            self.wait_until_ready()
        except BaseException:
            self.close()
            raise

    # ── the network ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _namespace(self, place: str) -> str:
        return f"{self._prefix}-{place}"

    def _make_network(self) -> None:
        for place in (HUB, *PLACES):
            run("ip", "netns", "add", self._namespace(place))
            self._in(place, "ip", "link", "set", "lo", "up")
        self._in(HUB, "ip", "link", "add", "bridge", "type", "bridge")
        self._in(HUB, "ip", "link", "set", "bridge", "up")
        for place in PLACES:
            ends = ("type", "veth", "peer", "name", "eth0", "netns", self._namespace(place))
            self._in(HUB, "ip", "link", "add", f"to-{place}", *ends)
            self._in(HUB, "ip", "link", "set", f"to-{place}", "master", "bridge", "up")
            self._in(place, "ip", "address", "add", f"{ip_of(place)}/24", "dev", "eth0")
            self._in(place, "ip", "link", "set", "eth0", "up")
        for name in REGIONS:
            stream = ("-p", "tcp", "-m", "string", "--algo", "bm", "--string", STREAM.decode())
            marked = ("-j", "CONNMARK", "--set-mark", MARK)
            self._in(name, "iptables", "-t", "mangle", "-A", "INPUT", *stream, *marked, check=False)

    def _in(self, place: str, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return run("ip", "netns", "exec", self._namespace(place), *command, check=check)

    @contextmanager
    def inside(self, place: str) -> Iterator[None]:
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        other = os.open(f"/run/netns/{self._namespace(place)}", os.O_RDONLY)
        try:
            enter(other)
            try:
                yield
            finally:
                enter(own)
        finally:
            os.close(own)
            os.close(other)

    def address(self, source: str, target: str) -> str:
        return f"http://{ip_of(target)}:{BUCKETS_PORT if target == BUCKETS else HTTP_PORT}"

    def direct(self, region: str) -> str:
        return self.address(region, region)

    # ── agents ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _launch_agent(self, name: str) -> None:
        folder = self.root / name
        folder.mkdir()
        join = [ip_of(other) for other in REGIONS if other != name]
        settings = {
            "region": name,
            "datacenter": DATACENTER,
            "name": f"{name}-1",
            "bind_addr": ip_of(name),
            "disable_update_check": True,
            "log_level": "INFO",
            "limits": {"http_max_conns_per_client": 0, "rpc_max_conns_per_client": 0},
            "consul": {"auto_advertise": False, "server_auto_join": False, "client_auto_join": False},
            "server": {
                "enabled": True,
                "authoritative_region": REGIONS[0],
                "server_join": {"retry_join": join, "retry_interval": "1s"},
            },
            "client": {
                "enabled": True,
                "alloc_dir": str(folder / "alloc"),
                "state_dir": str(folder / "state"),
                "cpu_total_compute": CPU_MHZ,
                "memory_total_mb": MEMORY_MB,
                "options": {
                    "fingerprint.denylist": NO_FINGERPRINTS,
                    "driver.denylist": "docker,java,qemu,exec,podman",
                },
            },
        }
        path = self.root / f"{name}.json"
        path.write_text(json.dumps(settings, indent=1))
        with self.inside(name):
            self.launch(name, [self._binary, "agent", "-dev", "-config", str(path)])

    def close(self) -> None:
        self.end_processes()
        unmount_below(self.root)
        for place in (*PLACES, HUB):
            run("ip", "netns", "del", self._namespace(place), check=False)

    # ── faults ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def suffer(self, way: Way, fault: Fault) -> None:
        self.mend(way)
        source, target = way
        rules = self._rules(ip_of(source), fault)
        for rule in rules:
            self._in(target, "iptables", "-A", *rule)
        self._undo[way] = [(target, "iptables", "-D", *rule) for rule in rules]
        if queue := queue_of(fault):
            self._in(target, "tc", "qdisc", "replace", "dev", "eth0", "root", *queue)
            self._undo[way].append((target, "tc", "qdisc", "del", "dev", "eth0", "root"))

    @staticmethod
    def _rules(source: str, fault: Fault) -> list[tuple[str, ...]]:
        """The packet filter's rules in the target's namespace."""
        comes, goes = ("INPUT", "-s", source), ("OUTPUT", "-d", source)
        match fault:
            case Dropped(direction):
                chains = {"in": [comes], "out": [goes], "both": [comes, goes]}[direction]
                return [(*chain, "-j", "DROP") for chain in chains]
            case Refused():
                return [(*comes, "-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset")]
            case Oversized(over_bytes):
                large = ("-m", "length", "--length", f"{over_bytes + 1}:", "-j", "DROP")
                return [(*comes, *large), (*goes, *large)]
            case StreamStalled():
                return [(*goes, "-m", "connmark", "--mark", MARK, "-j", "DROP")]
            case _:
                return []

    def mend(self, way: Way) -> None:
        for place, *command in self._undo.pop(way, []):
            # A queue is that of all ways to a place: the first that is mended takes it away.
            self._in(place, *command, check=command[0] != "tc")

    def why_not(self, fault: Fault) -> str:
        """Queues aren't in every kernel."""
        queue = queue_of(fault)
        if not queue:
            return ""
        tried = self._in(HUB, "tc", "qdisc", "add", "dev", "lo", "root", *queue, check=False)
        self._in(HUB, "tc", "qdisc", "del", "dev", "lo", "root", check=False)
        return f"this kernel has no queue for {fault}: {tried.stderr.strip()}" if tried.returncode else ""


def queue_of(fault: Fault) -> tuple[str, ...]:
    """The queue that a fault is made by; empty for those that are made by filters."""
    match fault:
        case Delayed(delay_s):
            return ("netem", "delay", f"{delay_s * 1000:.0f}ms")
        case Limited(bytes_per_s):
            return ("tbf", "rate", f"{8 * bytes_per_s}bit", "burst", "1600", "latency", "60s")
        case Dripped(piece_bytes, pause_s):
            return ("tbf", "rate", f"{max(8, round(8 * piece_bytes / pause_s))}bit", "burst", "1600", "latency", "60s")
        case _:
            return ()


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A command, to its end. Raises AssertionError with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not (check and done.returncode), f"{' '.join(command)}: {done.stderr}"
    return done


def enter(namespace: int) -> None:
    """Move this thread into a network namespace; processes that it starts are there too."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
