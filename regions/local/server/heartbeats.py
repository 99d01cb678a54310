"""Handles nodes that are hurt on purpose: marks silent ones as down, and brings them back.

A pretend node sends no heartbeats: it lives as long as its region does. A hurt node counts as silent from then on.
After the grace it is down, and its jobs are evaluated, as when Nomad misses a node's heartbeats.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Protocol

from regions.local.server.worker import Worker
from regions.local.state import node_writes
from regions.local.state.snapshot import Record
from regions.local.state.store import Store


class Client(Protocol):
    """The part of the client that hurt nodes need."""

    def silence(self, node_id: str, how: str) -> None: ...
    def revive(self, node_id: str, allocs: list[Record], node: Record) -> None: ...


class Heartbeats:
    """Silent nodes by name: `killed` or `paused`. Kept in `hurt.json`, so that they survive a crash."""

    def __init__(self, store: Store, worker: Worker, client: Client, data_dir: Path, grace_s: float) -> None:
        self._store = store
        self._worker = worker
        self._client = client
        self._path = data_dir / "hurt.json"
        self._grace_s = grace_s
        self._lock = threading.RLock()
        self._timers: dict[str, threading.Timer] = {}
        self.hurt: dict[str, str] = {}

    def resume(self) -> None:
        """Makes hurt nodes silent again after a start of the region, before any task is restored."""
        if self._path.exists():
            known = json.loads(self._path.read_text())
            for node in self._store.snapshot.nodes.values():
                if how := known.get(node["Name"]):
                    self.silence(node, how)

    def silence(self, node: Record, how: str) -> None:
        """Hurts the node. It is down when the grace is over."""
        with self._lock:
            self._cancel(node["ID"])
            self.hurt[node["Name"]] = how
            self._save()
            self._client.silence(node["ID"], how)
            timer = self._timers[node["ID"]] = threading.Timer(self._grace_s, self._missed, (node["ID"],))
            timer.daemon = True
            timer.start()

    def restore(self, node: Record) -> None:
        """Brings the node back: it is ready, and learns what became of its allocations."""
        with self._lock:
            if node["Name"] not in self.hurt:
                return
            self._cancel(node["ID"])
            del self.hurt[node["Name"]]
            self._save()
            self._update(node["ID"], "ready", "Node reregistered by heartbeat")
            state = self._store.snapshot
            allocs = [alloc for alloc in state.allocs.values() if alloc["NodeID"] == node["ID"]]
            self._client.revive(node["ID"], allocs, state.nodes.get(node["ID"]))
            self._worker.room_appeared()

    def stop(self) -> None:
        """Cancels all timers."""
        with self._lock:
            for node_id in list(self._timers):
                self._cancel(node_id)

    def _missed(self, node_id: str) -> None:
        with self._lock:
            if self._timers.pop(node_id, None) is not None:
                self._update(node_id, "down", "Node heartbeat missed")

    def _update(self, node_id: str, status: str, message: str) -> None:
        evaluations, _ = self._store.commit(
            "NodeStreamEvent", lambda transaction: node_writes.set_status(transaction, node_id, status, message)
        )
        for evaluation in evaluations:
            self._worker.enqueue(evaluation)

    def _cancel(self, node_id: str) -> None:
        if timer := self._timers.pop(node_id, None):
            timer.cancel()

    def _save(self) -> None:
        beside = self._path.with_suffix(".new")
        beside.write_text(json.dumps(self.hurt))
        os.replace(beside, self._path)  # noqa: PTH105
