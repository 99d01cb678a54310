"""Jobs that real servers accept, and what each server kept of them, recorded.

To record anew what the agent at ADDRESS keeps:  python -m tests.jobs.nomad_json.readbacks ADDRESS
"""

from __future__ import annotations

import json
import lzma
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jobs.hcl import parse_job
from tests.jobs.accepted import jobspec
from tests.jobs.hcl.test_golden import GOLDEN

FOLDER = Path(__file__).parent / "recorded"
VERSIONS = ("1.6.3", "2.0.5")
UPGRADED = "1.6.3-upgraded-to-2.0.5"
"""What 2.0.5 reads of the jobs that 1.6.3 stored: the agent was started anew on the same data."""
BUILT = 400
Job = dict[str, Any]


def golden_jobs() -> Iterator[tuple[str, Job]]:
    """Yields each golden jobspec's job, without what takes Nomad Enterprise, Vault or Consul."""
    for path in sorted(GOLDEN.glob("*.nomad.hcl")):
        job = parse_job(path.read_text(encoding="utf-8"), filename=path.name, base_dir=GOLDEN).job
        yield path.name.removesuffix(".nomad.hcl"), _accepted(_plain(job))


def built_jobs() -> Iterator[tuple[str, Job]]:
    """Yields jobs drawn by a seed: every other one with fields that came after 1.6.3."""
    for seed in range(BUILT):
        yield f"built-{seed}", _plain(parse_job(jobspec(seed, newer=seed % 2 == 1)).job)


def recorded(version: str) -> dict[str, Job]:
    """What a server of that version kept, by the names of the jobs."""
    found: dict[str, Job] = json.loads(lzma.decompress((FOLDER / f"nomad-{version}.json.xz").read_bytes()))
    return found


def _plain(job: Job) -> Job:
    job = json.loads(json.dumps(job))
    return job | {"Region": "us", "Namespace": "default", "Datacenters": job["Datacenters"] or ["*"]}


def _accepted(job: Job) -> Job:
    job |= {"Type": "batch", "Multiregion": None, "Update": None, "Migrate": None, "NodePool": None, "Periodic": None}
    job["ParameterizedJob"] = job["ParameterizedJob"] or {}
    for group in job["TaskGroups"]:
        _make_accepted(group)
        for task in group["Tasks"]:
            task |= {"Vault": None, "Services": _services(task["Services"]), "Kind": ""}
            task |= {"Secrets": [one for one in task.get("Secrets") or () if one["Provider"] == "nomad"]}
            _without(task, "Schedule", "CSIPluginConfig")
            _without(task.get("Consul"), "Cluster")
            _without(task["Resources"], "NUMA", "Cores")
            _without(task["Identity"], "TTL")
    return job


def _make_accepted(group: Job) -> None:
    group |= {"Update": None, "Migrate": None, "Services": _services(group["Services"])}
    group |= {"StopAfterClientDisconnect": None, "PreventRescheduleOnLost": None}  # beside newer fields
    for network in group["Networks"] or ():
        network["Mode"] = "host" if network["Mode"].startswith("cni") else network["Mode"]
    _without(group.get("Disconnect"), "StopOnClientAfter")
    _without(group["Consul"], "Cluster", "Partition")


def _without(block: Job | None, *names: str) -> None:
    for name in names if block else ():
        block.pop(name, None)


def _services(services: list[Job] | None) -> list[Job] | None:
    """Drops Consul Connect (its rules are those of the whole group) and clusters of Consul."""
    for one in services or ():
        one |= {"Connect": None, "PortLabel": one["PortLabel"] or "8080", "OnUpdate": ""}
        one["Checks"] = [check | {"Expose": False, "OnUpdate": "", "Timeout": 10**9} for check in one["Checks"] or ()]
        _without(one, "Cluster")
    return services


def register(address: str, job: Job) -> Job:
    """Registers the job at an agent and returns what its server keeps."""
    _call(address, "/v1/jobs", json.dumps({"Job": job}).encode())
    there: Job = _call(address, f"/v1/job/{job['ID']}?namespace={job['Namespace']}")
    return there


def _call(address: str, path: str, body: bytes | None = None) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(address + path, data=body), timeout=30) as response:
        return json.loads(response.read())


def main(address: str) -> None:
    version = _call(address, "/v1/agent/self")["config"]["Version"]["Version"]
    kept = {name: register(address, job) for name, job in (*golden_jobs(), *built_jobs())}
    FOLDER.mkdir(exist_ok=True)
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    (FOLDER / f"nomad-{version}.json.xz").write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    main(sys.argv[1])
