"""Two federated regions of one engine, to be asked the same questions: the embedded region and each real Nomad at hand.

Real binaries are those named in NOMAD_BIN (separated as PATH is), else `nomad` on PATH. Without any, their tests are
skipped, unless FEDML_REQUIRE names `nomad`: then they fail.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from regions.credentials import SecretRef
from regions.errors import RegionError
from regions.local.nomad_version import FINER_RIGHTS, REFERENCES, NomadVersion, parse
from regions.model import Allocation, Region
from regions.nomad.client import NomadRegion

REGIONS = {"us": "us-east-1", "eu": "eu-west-1"}
NAMESPACE = "ml"
"""A namespace beside the default one."""
CPU_MHZ, MEMORY_MB = 4000, 2048
START_S = 60.0
BINARIES = [path for path in os.environ.get("NOMAD_BIN", "").split(os.pathsep) if path] or [
    path for path in [shutil.which("nomad")] if path
]
NO_BINARY = "no Nomad binary: name one in NOMAD_BIN or put `nomad` on PATH"

AGENT = """
region = "{region}"
datacenter = "{datacenter}"
name = "{region}-1"
bind_addr = "127.0.0.1"
disable_update_check = true
log_level = "WARN"
ports {{
  http = {http}
  rpc  = {rpc}
  serf = {serf}
}}
server {{
  enabled = true
  server_join {{
    retry_join     = ["127.0.0.1:{join}"]
    retry_interval = "1s"
  }}
}}
client {{
  enabled           = true
  alloc_dir         = "{folder}/alloc"
  state_dir         = "{folder}/state"
  cpu_total_compute = {cpu_mhz}
  memory_total_mb   = {memory_mb}
  options = {{
    "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean,consul,vault,cni,bridge,cgroup"
    "driver.denylist"      = "docker,java,qemu,exec,podman"
  }}
}}
"""


@dataclass
class Federation:
    """Two running regions. `raw` is for what NomadRegion doesn't show: status codes, headers, bodies."""

    engine: str
    regions: dict[str, NomadRegion]
    addresses: dict[str, str]
    token: str = ""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def answers_as(self) -> NomadVersion:
        """The version of Nomad that answers: what it changed is named in `regions.local.nomad_version`."""
        return parse(self.regions["us"].version())

    def raw(
        self, method: str, endpoint: str, *, body: Any = None, via: str = "us", token: str | None = None, **query: Any
    ) -> tuple[int, Mapping[str, str], str]:
        """Status, headers and text of one request, as it is: `endpoint` must be quoted."""
        url = f"{self.addresses[via]}{endpoint}" + (f"?{urlencode(query, doseq=True)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method)
        secret = self.token if token is None else token
        if secret:
            request.add_header("X-Nomad-Token", secret)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=120) as response:
                return response.status, response.headers, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read().decode()

    def begins(self, endpoint: str, *, token: str, via: str = "us", **query: Any) -> tuple[int, str]:
        """Status of a stream, and what it says in its first second."""
        host, _, port = self.addresses[via].removeprefix("http://").partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        with contextlib.closing(connection):
            headers = {"X-Nomad-Token": token} if token else {}
            connection.request("GET", f"{endpoint}?{urlencode(query, doseq=True)}", headers=headers)
            assert connection.sock is not None
            sock = connection.sock
            response = connection.getresponse()
            sock.settimeout(1.0)
            try:
                return response.status, response.read1(1000).decode()
            except TimeoutError:
                return response.status, ""

    def get(self, endpoint: str, *, via: str = "us", **query: Any) -> Any:
        """The JSON of a GET that succeeds."""
        status, _, text = self.raw("GET", endpoint, via=via, **query)
        assert status == 200, (status, text)
        return json.loads(text)

    def wait(self, path: str, is_done: Callable[[Any], Any], *, via: str = "us", seconds: float = 120) -> Any:
        """The JSON of a blocking query, asked again at each change, once `is_done` holds for it."""
        index, until = 0, time.monotonic() + seconds
        while True:
            status, headers, text = self.raw("GET", path, via=via, index=index, wait="5s")
            assert status == 200, (status, text)
            value = json.loads(text)
            if is_done(value):
                return value
            assert time.monotonic() < until, f"{path} is still {text[:2000]}"
            index = int(headers["X-Nomad-Index"])

    def wait_for_allocations(
        self, job_id: str, is_done: Callable[[list[dict[str, Any]]], Any], *, via: str = "us"
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.wait(f"/v1/job/{quote(job_id, safe='')}/allocations", is_done, via=via)
        return found

    def finished(self, job_id: str, *, via: str = "us") -> Allocation:
        """The job's only allocation, when it has ended."""
        (stub,) = self.wait_for_allocations(job_id, all_in("complete", "failed"), via=via)
        return self.regions[via].allocation(stub["ID"])


def all_in(*states: str) -> Callable[[list[dict[str, Any]]], bool]:
    """Whether there are allocations and all of them are in one of these client states."""
    return lambda stubs: bool(stubs) and all(stub["ClientStatus"] in states for stub in stubs)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        return [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]


def start_nomad(binary: str, folder: Path, *, names: Sequence[str] = tuple(REGIONS), extra: str = "") -> Federation:
    """Dev agents of that binary, one a region, joined. Their tasks end with them."""
    ports = {name: free_ports(3) for name in names}
    federation = Federation(binary, {}, {})
    for name in names:
        http, rpc, serf = ports[name]
        config = folder / f"{name}.hcl"
        config.write_text(
            AGENT.format(
                region=name,
                datacenter=REGIONS[name],
                http=http,
                rpc=rpc,
                serf=serf,
                join=ports["us"][2],
                folder=folder / name,
                cpu_mhz=CPU_MHZ,
                memory_mb=MEMORY_MB,
            )
            + extra
        )
        launch(federation, [binary, "agent", "-dev", "-config", str(config)], folder, name)
        federation.addresses[name] = f"http://127.0.0.1:{http}"
    return federation


def start_embedded(
    folder: Path,
    version: str = "1.6.3",
    *,
    names: Sequence[str] = tuple(REGIONS),
    rules: Mapping[str, str] | None = None,
) -> Federation:
    """Two processes of the embedded region, that behave as that version of Nomad."""
    token_file = folder / "token"
    token_file.write_text(str(uuid.uuid4()))
    sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in names}
    tokens = []
    for name, text in (rules or {}).items():
        (folder / f"token-of-{name}").write_text(str(uuid.uuid4()))
        tokens.append({"name": name, "file": str(folder / f"token-of-{name}"), "policies": {name: text}})
    addresses = {name: f"http://127.0.0.1:{one.getsockname()[1]}" for name, one in sockets.items()}
    federation = Federation("embedded", {}, addresses, token_file.read_text())
    for name in names:
        datacenter = REGIONS[name]
        node = {"name": f"{name}-1", "datacenter": datacenter, "cpu_mhz": CPU_MHZ, "memory_mb": MEMORY_MB}
        config = {
            "region": name,
            "datacenter": datacenter,
            "version": version,
            "data_dir": str(folder / name),
            "token_file": str(token_file),
            "address": addresses[name].removeprefix("http://"),
            "peers": {other: address for other, address in addresses.items() if other != name},
            "peer_datacenters": REGIONS,
            "namespaces": {NAMESPACE: ""},
            "tokens": tokens,
            "nodes": [node | {"drivers": ["raw_exec", "mock_driver"]}],
        }
        path = folder / f"{name}.json"
        path.write_text(json.dumps(config))
        number = sockets[name].fileno()
        command = [sys.executable, "-m", "regions.local", str(path), "--fd", str(number)]
        launch(federation, command, folder, name, pass_fds=(number,))
        sockets[name].close()
    return federation


def launch(federation: Federation, command: list[str], folder: Path, name: str, **options: Any) -> None:
    (folder / name).mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NOMAD_")}
    with (folder / f"{name}.log").open("wb") as log:
        federation.processes.append(
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=environment, **options
            )
        )


def stop(federation: Federation) -> None:
    for process in federation.processes:
        process.terminate()
    for process in federation.processes:
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def unmount_below(folder: Path) -> None:
    """What an agent that ended left mounted: each task's secrets, where it ran as root."""
    for line in Path("/proc/mounts").read_text().splitlines():
        if (place := line.split()[1]).startswith(f"{folder}/"):
            subprocess.run(["umount", "-l", place], check=False, capture_output=True)


def wait_until_ready(federation: Federation, folder: Path) -> None:
    """Each region has a leader and a ready node, and knows the other."""
    until = time.monotonic() + START_S
    for name, region in federation.regions.items():
        while True:
            try:
                ready = [node for node in region.nodes() if node.is_ready and "raw_exec" in node.drivers]
                if ready and region.leader() and region.federation_regions() == sorted(REGIONS) and region.version():
                    break
            except RegionError:
                pass
            dead = [process for process in federation.processes if process.poll() is not None]
            assert not dead and time.monotonic() < until, (folder / f"{name}.log").read_text()[-4000:]  # noqa: PT018
            time.sleep(0.2)  # no event to wait for before there is a server


REAL = [pytest.param(path, id=Path(path).name) for path in BINARIES] or [pytest.param("", id="nomad")]
EMBEDDED = [pytest.param(f"embedded-{version}", id=f"embedded-{version}") for version in REFERENCES]
ENGINES = [*EMBEDDED, *REAL]


def require_binary(binary: str) -> None:
    """Skips without a binary; fails where one was promised."""
    if binary == "":
        if "nomad" in os.environ.get("FEDML_REQUIRE", "").split(","):
            pytest.fail(f"FEDML_REQUIRE=nomad, but {NO_BINARY}")
        pytest.skip(NO_BINARY)


@pytest.fixture(scope="session", params=ENGINES)
def federation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    require_binary(request.param)
    folder = tmp_path_factory.mktemp("region")
    engine, _, version = request.param.rpartition("-")
    is_embedded = engine == "embedded"
    started = start_embedded(folder, version) if is_embedded else start_nomad(request.param, folder)
    try:
        for name in REGIONS:
            token = SecretRef(file=folder / "token") if is_embedded else None
            region = Region(name=name, addresses=(started.addresses[name],), datacenters={}, token=token)
            started.regions[name] = NomadRegion(region, deadline_s=60)
        wait_until_ready(started, folder)
        if not is_embedded:  # where they are declared
            for name in REGIONS:
                assert started.raw("PUT", f"/v1/namespace/{NAMESPACE}", via=name, body={"Name": NAMESPACE})[0] == 200
        yield started
    finally:
        stop(started)
        unmount_below(folder)
        for one in started.regions.values():
            one.close()


@dataclass
class Guarded:
    """One agent with ACLs on, and its management token. An embedded region's other tokens are declared, not made."""

    address: str
    token: str
    answers_as: NomadVersion
    declared: Mapping[str, Path] = field(default_factory=dict)

    def token_with(self, rules: str) -> str:
        """The secret of a token whose policy has these rules."""
        if self.declared:
            return self.declared[rules].read_text()
        name = f"p-{uuid.uuid4().hex[:8]}"
        self.post(f"/v1/acl/policy/{name}", {"Name": name, "Rules": rules})
        secret: str = self.post("/v1/acl/token", {"Name": name, "Type": "client", "Policies": [name]})["SecretID"]
        return secret

    def post(self, endpoint: str, body: Any) -> Any:
        status, _, text = Federation("", {}, {"us": self.address}, self.token).raw("POST", endpoint, body=body)
        assert status == 200, text
        return json.loads(text) if text else None


DISPATCHER = 'namespace "default" { capabilities = ["dispatch-job", "read-job", "list-jobs", "read-logs"] }'
PLANNER = 'namespace "default" { capabilities = ["plan-job", "read-job"] }'
DEPLOYER = 'namespace "default" { capabilities = ["submit-job", "read-job", "list-jobs"] }\nnode { policy = "read" }'


@pytest.fixture(scope="module", params=ENGINES)
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    require_binary(request.param)
    folder = tmp_path_factory.mktemp("acl")
    if request.param.startswith("embedded-"):
        version = parse(request.param.rpartition("-")[2])
        rules = {"dispatcher": DISPATCHER, "deployer": DEPLOYER}
        if version >= FINER_RIGHTS:
            rules["planner"] = PLANNER
        started = start_embedded(folder, str(version), names=("us",), rules=rules)
        declared = {text: folder / f"token-of-{name}" for name, text in rules.items()}
        try:
            yield Guarded(started.addresses["us"], started.token, version, declared)
        finally:
            stop(started)
        return
    started = start_nomad(request.param, folder, names=("us",), extra="acl {\n  enabled = true\n}\n")
    try:
        agent = Guarded(started.addresses["us"], "", REFERENCES[0])
        client = NomadRegion(Region(name="us", addresses=(agent.address,), datacenters={}), deadline_s=START_S)
        until = time.monotonic() + START_S
        while True:
            try:
                if client.leader():
                    agent.token = agent.post("/v1/acl/bootstrap", {})["SecretID"]
                    break
            except (RegionError, AssertionError, OSError):
                assert time.monotonic() < until, (folder / "us.log").read_text()[-4000:]
            time.sleep(0.2)  # no event to wait for before there is a server
        client.close()
        there = Federation("", {}, started.addresses, agent.token)
        agent.answers_as = parse(there.get("/v1/agent/self")["config"]["Version"]["Version"])
        yield agent
    finally:
        stop(started)
        unmount_below(folder)
