"""What holds for every cluster and every job: on 600 random ones, and on 200 of them as a real Nomad has it.

With SOAK=1 (`make soak`) on 20,000.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from jobs.nomad_json.canonical import canonical_job
from regions.local.scheduler.placement import GroupPlacer, Room
from regions.local.scheduler.properties import Hosts
from regions.local.scheduler.reconcile import Decision
from regions.local.scheduler.schedule import schedule
from regions.local.server.worker import Worker
from regions.local.state.job_writes import new_id, next_version
from regions.local.state.snapshot import Record, Snapshot
from regions.local.state.store import Store
from tests.regions.local.scheduler import worlds
from tests.regions.local.scheduler.agreement import VERSIONS, WORLDS, kept, reasons
from tests.regions.local.state.builders import StillClient, ended, register, store_with

_WORLDS = 20_000 if os.environ.get("SOAK") else 600
_AT_ONCE = 100


@pytest.mark.parametrize("first", range(0, _WORLDS, _AT_ONCE))
def test_capacity_holds_room_is_used_and_dry_runs_tell_the_truth(tmp_path: Path, first: int) -> None:
    placed = blocked = 0
    for seed in range(first, first + _AT_ONCE):
        store = store_with(tmp_path / str(seed), *worlds.cluster(seed))
        worker = Worker(store, StillClient())
        for raw in worlds.jobs(seed):
            wanted = canonical_job(raw, "us")
            promised = dry_run(store.snapshot, wanted)
            evaluation = register(store, wanted)
            assert evaluation is not None
            worker._process(evaluation["ID"])
            assert len(store.snapshot.job_allocs("default", wanted["ID"])) == len(promised.placed), seed
            done = store.snapshot.evals.get(evaluation["ID"])
            assert reasons(done.get("FailedTGAllocs") or {}) == reasons(promised.failed), seed
            _check(store.snapshot, seed)
        chance = random.Random(seed)
        while live := [one for one in store.snapshot.allocs.values() if one["ClientStatus"] == "pending"]:
            over = chance.sample(live, chance.randrange(1, len(live) + 1))
            worker.on_update([_ended(one) for one in over])
            worker._unblock()
            _check(store.snapshot, seed)
        placed += len(store.snapshot.allocs)
        blocked += len(store.snapshot.blocked)
        store.close()
    assert placed > blocked > 0, "the worlds are neither empty nor without want"


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_real_nomad_says_of_the_same_clusters_and_jobs(tmp_path: Path, version: str) -> None:
    real = json.loads(kept(version).read_text())
    assert len(real) == WORLDS
    for seed in range(WORLDS):
        store = store_with(tmp_path / str(seed), *worlds.cluster(seed), version=version)
        for raw, said in zip(worlds.jobs(seed, names_models=True), real[seed], strict=True):
            wanted = canonical_job(raw, "us")
            decision = dry_run(store.snapshot, wanted)
            assert len(decision.placed) == sum(said["placed"].values()), (seed, raw["ID"])
            assert reasons(decision.failed) == said["failed"], (seed, raw["ID"])
            for name, (norm, scores) in said.get("scores", {}).items():
                expected = {part: value for part, value in scores.items() if value or part == "binpack"}
                assert _scores(store.snapshot, wanted, name) == (pytest.approx(norm), pytest.approx(expected)), (
                    seed,
                    name,
                )
            for node, number in said["placed"].items():
                _place_there(store, wanted, node, number)
        store.close()


def _scores(state: Snapshot, job: Record, name: str) -> tuple[float, dict[str, float]]:
    """The node's score for the job's first instance, and what it is the mean of."""
    nodes = {node["Name"]: node for node in state.nodes.values()}
    placer = GroupPlacer(job, job["TaskGroups"][0], list(nodes.values()), Room(state), Hosts(state.nodes), {})
    scores = placer._scores(nodes[name], "")
    parts = {part: value for part, value in scores.items() if value or part == "binpack"}
    return sum(parts.values()) / len(parts), parts


def _place_there(store: Store, job: Record, node: str, number: int) -> None:
    """That many of the job's instances on the node, as the recorded server placed them."""
    here = {"LTarget": "${node.unique.name}", "Operand": "=", "RTarget": node}
    [group] = job["TaskGroups"]
    pinned = {**job, "Constraints": [here], "TaskGroups": [{**group, "Count": number, "Constraints": None}]}
    placed = dry_run(store.snapshot, pinned).placed
    assert len(placed) == number, (job["ID"], node)
    store.commit(
        "PlanResult",
        lambda transaction: [transaction.put_alloc({**one, "ID": new_id(), "Job": job}) for one in placed] and None,
    )


def dry_run(state: Snapshot, wanted: Record) -> Decision:
    trial, numbers, now_ns = state.copy(), count(), time.time_ns()
    key = (wanted["Namespace"], wanted["ID"])
    trial.jobs = trial.jobs.put(key, next_version(state.jobs.get(key), wanted, state.index + 1, now_ns))
    evaluation = {"ID": "e", "JobID": wanted["ID"], "Namespace": wanted["Namespace"], "Priority": 50, "Type": "batch"}
    return schedule(trial, evaluation, now_ns, lambda: f"id-{next(numbers)}")


def _ended(alloc: Record) -> Record:
    states = {name: {"State": "dead", "Failed": False} for name in alloc["TaskResources"]}
    return ended(alloc["ID"]) | {"TaskStates": states}


# --- an oracle of its own: small, slow and plain ----------------------------------------------------------------------


def _check(state: Snapshot, seed: int) -> None:
    live: dict[str, list[Record]] = {node["ID"]: [] for node in state.nodes.values()}
    for alloc in state.allocs.values():
        if alloc["ClientStatus"] == "pending":
            live[alloc["NodeID"]].append(alloc)
    for node in state.nodes.values():
        free, held = _free(node, live[node["ID"]])
        assert min(free) >= 0, (seed, node["Name"], free)
        assert not [one for one, number in held.items() if number > 1], (seed, node["Name"], held)
    for eval_id, _ in state.blocked.values():
        evaluation = state.evals.get(eval_id)
        job = state.jobs.get((evaluation["Namespace"], evaluation["JobID"]))
        for node in state.nodes.values():
            assert not _fits(job, node, live, state), (seed, job["ID"], node["Name"])


def _need(resources: dict[str, tuple[Any, int, int]]) -> tuple[int, int]:
    sums: dict[str, Counter[str]] = {}
    for lifecycle, cpu, memory in resources.values():
        kind = "main" if lifecycle is None else lifecycle["Hook"] + str(lifecycle["Sidecar"])
        sums.setdefault(kind, Counter()).update(cpu=cpu, memory=memory)
    turns = [sums.get(kind, Counter()) for kind in ("main", "prestartFalse", "poststopFalse")]
    always = sums.get("prestartTrue", Counter())
    cpu, memory = (max(turn[what] for turn in turns) + always[what] for what in ("cpu", "memory"))
    return cpu, memory


def _free(node: Record, allocs: list[Record]) -> tuple[tuple[int, int, int], Counter[str]]:
    total = node["NodeResources"]
    cpu, memory, disk = total["Cpu"]["CpuShares"], total["Memory"]["MemoryMB"], total["Disk"]["DiskMB"]
    held: Counter[str] = Counter()
    for alloc in allocs:
        given = alloc["AllocatedResources"]
        used = _need(
            {
                name: (given["TaskLifecycles"][name], task["Cpu"]["CpuShares"], task["Memory"]["MemoryMB"])
                for name, task in given["Tasks"].items()
            }
        )
        cpu, memory, disk = cpu - used[0], memory - used[1], disk - given["Shared"]["DiskMB"]
        held.update(f"port {port['Value']}" for port in given["Shared"]["Ports"] or ())
        held.update(
            one for task in given["Tasks"].values() for device in task["Devices"] or () for one in device["DeviceIDs"]
        )
    return (cpu, memory, disk), held


def _fits(job: Record, node: Record, live: dict[str, list[Record]], state: Snapshot) -> bool:
    group = job["TaskGroups"][0]
    tasks = group["Tasks"]
    patterns = [re.escape(one).replace(r"\*", ".*") for one in job["Datacenters"]]
    if not any(re.fullmatch(one, node["Datacenter"]) for one in patterns):
        return False
    if any(task["Driver"] not in node["Drivers"] for task in tasks):
        return False
    if group["Volumes"] and not node["HostVolumes"]:
        return False
    free, held = _free(node, live[node["ID"]])
    ask = _need({t["Name"]: (t["Lifecycle"], t["Resources"]["CPU"], t["Resources"]["MemoryMB"]) for t in tasks})
    if any(have < need for have, need in zip(free, (*ask, group["EphemeralDisk"]["SizeMB"]), strict=True)):
        return False
    ports = [port["Value"] for network in group["Networks"] or () for port in network["ReservedPorts"]]
    if any(held[f"port {port}"] for port in ports):
        return False
    if not _has_devices(tasks, node, held):
        return False
    mine = [one for allocs in live.values() for one in allocs if one["JobID"] == job["ID"]]
    return all(_holds(one, node, mine, state) for one in (*(job["Constraints"] or ()), *(group["Constraints"] or ())))


def _has_devices(tasks: list[Record], node: Record, held: Counter[str]) -> bool:
    left = {
        f"{one['Vendor']}/{one['Type']}/{one['Name']}": sum(not held[each["ID"]] for each in one["Instances"])
        for one in node["NodeResources"]["Devices"] or ()
    }
    asks = [(one["Name"], one["Count"]) for task in tasks for one in task["Resources"]["Devices"] or ()]
    return _can_give(asks, left)


def _can_give(asks: list[tuple[str, int]], left: dict[str, int]) -> bool:
    """Whether each ask finds a model of its own in the order in which Nomad gives: the first that has enough."""
    for name, number in asks:
        models = [model for model, have in left.items() if have >= number and _is_model(name, model)]
        if not models:
            return False
        left[models[0]] -= number
    return True


def _is_model(name: str, model: str) -> bool:
    vendor, kind, _ = model.split("/")
    return name in (kind, f"{vendor}/{kind}", model)


def _holds(constraint: Record, node: Record, mine: list[Record], state: Snapshot) -> bool:
    left, operand, right = (constraint[name] for name in ("LTarget", "Operand", "RTarget"))
    value = _value(left, node)
    if operand == "distinct_hosts":
        return not any(one["NodeID"] == node["ID"] for one in mine)
    if operand == "distinct_property":
        used = [_value(left, state.nodes.get(one["NodeID"])) for one in mine]
        return value is not None and used.count(value) < int(right)
    if operand in ("is_set", "is_not_set"):
        return (value is not None) == (operand == "is_set")
    if operand == "!=":
        return value != right
    if value is None:
        return False
    if operand in ("set_contains", "set_contains_any"):
        found = [one in value.split(",") for one in right.split(",")]
        return all(found) if operand == "set_contains" else any(found)
    if operand == "version":
        return value == "1.4.2"
    if operand == "semver":
        return value in ("1.4.2", "2.0.0", "1.5.0-beta")
    if operand == "regexp":
        return re.search(right, value) is not None
    return {"=": value == right, ">=": value in ("64", "128"), "<": value in ("9", "64")}[operand]


def _value(target: str, node: Record) -> str | None:
    plain = {"${node.class}": node["NodeClass"], "${node.unique.name}": node["Name"]}
    found: str | None = plain.get(target) if target in plain else node["Meta"].get(target[7:-1])
    return found
