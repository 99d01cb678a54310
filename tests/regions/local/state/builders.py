"""Small jobs, nodes and regions for the tests of the embedded region."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from jobs.nomad_json.canonical import canonical_job
from regions.local.config import NodeConfig, RegionConfig
from regions.local.state import job_writes
from regions.local.state.nodes import declare
from regions.local.state.snapshot import DERIVED, PRIMARY, Record, Snapshot
from regions.local.state.store import Store


def job(job_id: str = "train", *, count: int = 1, cpu: int = 500, memory_mb: int = 100, **fields: Any) -> Record:
    """A canonical batch job of one group `g` with one task `t`; `fields` are the job's own."""
    task = {
        "Name": "t",
        "Driver": "raw_exec",
        "Config": {"command": "/bin/true"},
        "Resources": {"CPU": cpu, "MemoryMB": memory_mb},
    }
    group = {"Name": "g", "Count": count, "Tasks": [task]}
    raw = {"ID": job_id, "Type": "batch", "TaskGroups": [group], "Datacenters": ["dc1"], **fields}
    return canonical_job(raw, "us", "1.6.3")


def parameterized(job_id: str = "train", **fields: Any) -> Record:
    return job(job_id, ParameterizedJob={"MetaRequired": ["slot"], "MetaOptional": ["note"]}, **fields)


def config(
    folder: Path,
    *nodes: dict[str, Any],
    version: str = "1.6.3",
    peers: dict[str, str] | None = None,
    namespaces: dict[str, str] | None = None,
    tokens: list[dict[str, Any]] | None = None,
) -> RegionConfig:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "token").write_text("00000000-0000-0000-0000-00000000abcd")
    return RegionConfig(
        {
            "region": "us",
            "datacenter": "dc1",
            "version": version,
            "data_dir": str(folder / "data"),
            "token_file": str(folder / "token"),
            "address": "127.0.0.1:0",
            "tokens": tokens or [],
            "peers": peers or {},
            "namespaces": namespaces or {},
            "nodes": list(nodes) or [{"name": "us-1", "cpu_mhz": 2000, "memory_mb": 4000}],
        }
    )


def store_with(folder: Path, *nodes: dict[str, Any], version: str = "1.6.3") -> Store:
    """A store in which the nodes are declared."""
    made = config(folder, *nodes, version=version)
    store = Store(made.data_dir, answers_as=made.answers_as)
    declare(store, made, "127.0.0.1:4646")
    return store


def register(store: Store, wanted: Record) -> Record | None:
    """Registers a job; its evaluation."""
    return store.commit("JobRegistered", lambda txn: job_writes.register(txn, wanted, now_ns=time.time_ns()))[0]


def dispatch(store: Store, job_id: str = "train", *, slot: str = "1", token: str = "") -> Record:
    """Dispatches a child and evaluates it; the child."""
    (child, is_new), _ = store.commit(
        "JobRegistered",
        lambda txn: job_writes.dispatch(
            txn, "default", job_id, {"slot": slot}, "", 0, token=token, now_ns=time.time_ns()
        ),
    )
    if is_new:
        stored = store.snapshot.jobs.get(("default", child["ID"]))
        store.commit("EvaluationUpdated", lambda txn: job_writes.evaluate(txn, stored, "job-register", time.time_ns()))
    return child


def contents(state: Snapshot) -> dict[str, Any]:
    """All that a snapshot holds, to be compared (what a blocked evaluation asks for is an address in memory)."""
    tables = {name: list(getattr(state, name).items()) for name in (*PRIMARY, *DERIVED)}
    tables["blocked"] = [(key, eval_id) for key, (eval_id, _) in tables["blocked"]]
    return {**tables, "index": state.index, "table_index": state.table_index}


class StillClient:
    """Runs nothing; remembers what it was told, and tells what a test wants to have happened."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.stopped: list[str] = []

    def start(self, alloc: Record, job: Record, node: Record) -> None:
        assert alloc["JobID"] == job["ID"]
        assert alloc["NodeID"] == node["ID"]
        self.started.append(alloc["ID"])

    def stop(self, alloc_id: str) -> None:
        self.stopped.append(alloc_id)

    def silence(self, node_id: str, how: str) -> None:
        """Its tasks run nowhere anyway."""

    def revive(self, node_id: str, allocs: list[Record], node: Record) -> None:
        """Likewise."""


def ended(alloc_id: str, status: str = "complete", *, finished: str = "2026-01-01T00:00:00Z") -> Record:
    """The update that a client sends when an allocation's one task has ended."""
    state = {"State": "dead", "Failed": status == "failed", "FinishedAt": finished, "Events": [], "Restarts": 0}
    return {
        "ID": alloc_id,
        "ClientStatus": status,
        "ClientDescription": "",
        "TaskStates": {"t": state},
        "ModifyTime": time.time_ns(),
    }


def declared(name: str, **fields: Any) -> NodeConfig:
    return NodeConfig({"name": name, **fields}, "dc1")
