"""A real Nomad server is asked what it makes of the first 200 worlds; its answers are kept in `real_placements-VERSION.json`.

    NOMAD_BIN=/path/to/nomad python -m tests.regions.local.scheduler.record_placements

Of each job: what a dry run says, and then on which nodes it was placed when it was registered (which differs from run to
run: the scheduler shuffles), so that the next job is asked of the embedded scheduler in the same situation. Where one instance
found a place: how the nodes were scored for it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.conformance import nomad_nodes
from tests.conformance.conftest import BINARIES, Federation, start_nomad, stop
from tests.regions.local.scheduler import worlds
from tests.regions.local.scheduler.agreement import WORLDS, kept, reasons
from tests.regions.local.state.builders import store_with


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        agent = start_nomad(BINARIES[0], Path(folder), names=("us",))
        try:
            server = _rpc_address(agent)
            answers = [_world(agent, server, seed, Path(folder)) for seed in range(WORLDS)]
            version = agent.get("/v1/agent/self")["config"]["Version"]["Version"]
        finally:
            stop(agent)
    lines = ",\n".join(json.dumps(one, sort_keys=True) for one in answers)
    kept(version).write_text(f"[\n{lines}\n]\n")


def _rpc_address(agent: Federation) -> tuple[str, int]:
    until = time.monotonic() + 60
    while True:
        try:
            if agent.get("/v1/status/leader"):
                host, _, port = agent.get("/v1/agent/self")["config"]["AdvertiseAddrs"]["RPC"].rpartition(":")
                return host, int(port)
        except (OSError, AssertionError):
            assert time.monotonic() < until
        time.sleep(0.2)  # no event to wait for before there is a server


def _world(agent: Federation, server: tuple[str, int], seed: int, folder: Path) -> list[dict[str, Any]]:
    store = store_with(folder / f"world-{seed}", *worlds.cluster(seed))
    nodes = [_pretended(node) for node in store.snapshot.nodes.values()]
    store.close()
    nomad_nodes.register(server, "us", nodes)
    names = {node["ID"]: node["Name"] for node in nodes}
    answers = []
    for job in worlds.jobs(seed, names_models=True):
        status, _, text = agent.raw("PUT", f"/v1/job/{job['ID']}/plan", body={"Job": job})
        assert status == 200, text
        failed = json.loads(text)["FailedTGAllocs"] or {}
        status, _, text = agent.raw("PUT", "/v1/jobs", body={"Job": job})
        assert status == 200, text
        agent.wait(f"/v1/evaluation/{json.loads(text)['EvalID']}", lambda one: one["Status"] == "complete")
        allocs = agent.get(f"/v1/job/{job['ID']}/allocations")
        placed = Counter(names[one["NodeID"]] for one in allocs)
        answer = {"failed": reasons(failed), "placed": dict(placed)}
        if len(allocs) == 1:
            metrics = agent.get(f"/v1/allocation/{allocs[0]['ID']}")["Metrics"]
            scored = {names[one["NodeID"]]: one for one in metrics["ScoreMetaData"]}
            answer["scores"] = {name: [one["NormScore"], one["Scores"]] for name, one in scored.items()}
        answers.append(answer)
    print(seed, [sum(one["placed"].values()) for one in answers], file=sys.stderr)
    return answers


def _pretended(node: dict[str, Any]) -> dict[str, Any]:
    """A node of the embedded region, to be registered with a real server."""
    resources = node["NodeResources"]
    made = nomad_nodes.pretended(
        node["Name"],
        node["Datacenter"],
        cpu_mhz=resources["Cpu"]["CpuShares"],
        memory_mb=resources["Memory"]["MemoryMB"],
        drivers=node["Drivers"],
        Attributes=node["Attributes"],
        Meta=node["Meta"],
        NodeClass=node["NodeClass"],
        HostVolumes=node["HostVolumes"] or {},
    )
    made["NodeResources"]["Disk"] = resources["Disk"]
    made["NodeResources"]["Devices"] = [
        {**{name: one[name] for name in ("Vendor", "Type", "Name")}, "Instances": _instances(one)}
        for one in resources["Devices"] or ()
    ]
    return made


def _instances(device: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"ID": one["ID"], "Healthy": True} for one in device["Instances"]]


if __name__ == "__main__":
    main()
