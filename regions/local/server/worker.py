"""The region's scheduling thread: processes open evaluations, commits decisions and hands them to the client."""

from __future__ import annotations

import heapq
import sys
import threading
import time
from typing import Protocol

from regions.local.scheduler import reschedule
from regions.local.scheduler.schedule import schedule
from regions.local.server.outcome import close_evaluation, commit_plan, follow_up
from regions.local.state import job_writes, node_writes
from regions.local.state.job_writes import new_id
from regions.local.state.snapshot import Record, is_client_terminal
from regions.local.state.store import Store
from regions.local.state.times import parse_time
from regions.local.state.transaction import Transaction


class Client(Protocol):
    """The part of the client that the scheduler uses."""

    def start(self, alloc: Record, job: Record, node: Record) -> None: ...
    def stop(self, alloc_id: str) -> None: ...


class Worker:
    """Processes evaluations by priority, then age. Wakes blocked ones in that order when room appears."""

    def __init__(self, store: Store, client: Client) -> None:
        self._store = store
        self._client = client
        self._ready: list[tuple[int, int, str]] = []
        self._delayed: list[tuple[int, str]] = []
        self._has_room = False
        self._wake = threading.Condition()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)

    def start(self) -> None:
        """Enqueues what an earlier process left open, and starts the thread."""
        for evaluation in self._store.snapshot.evals.values():
            if evaluation["Status"] == "pending":
                self.enqueue(evaluation)
        for node in self._store.snapshot.nodes.values():
            if node["DrainStrategy"] is not None and node["DrainStrategy"]["Deadline"] > 0:
                self.force_drain(node["ID"], parse_time(node["DrainStrategy"]["ForceDeadline"]))
        self._has_room = True
        self._thread.start()

    def stop(self) -> None:
        with self._wake:
            self._is_stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    def enqueue(self, evaluation: Record | None) -> None:
        """Enqueues a committed, pending evaluation. One with WaitUntil is processed at that time."""
        if evaluation is None:
            return
        with self._wake:
            if wait_until := evaluation.get("WaitUntil"):
                heapq.heappush(self._delayed, (parse_time(wait_until), evaluation["ID"]))
            else:
                heapq.heappush(self._ready, _by_priority(evaluation))
            self._wake.notify()

    def force_drain(self, node_id: str, at_ns: int) -> None:
        """Ends the node's drain by force at that time, if it is still due then."""
        with self._wake:
            heapq.heappush(self._delayed, (at_ns, node_id))
            self._wake.notify()

    def room_appeared(self) -> None:
        """Wakes blocked evaluations, which may fit now."""
        with self._wake:
            self._has_room = True
            self._wake.notify()

    def on_update(self, updates: list[Record]) -> None:
        """Commits the client's updates of allocations. Failures get an evaluation if their reschedule policy allows
        it."""

        def change(transaction: Transaction) -> list[Record]:
            evaluations: dict[tuple[str, str], Record] = {}
            for update in updates:
                alloc = transaction.state.allocs.get(update["ID"])
                if alloc is None:
                    continue
                was_terminal = is_client_terminal(alloc)
                alloc = {**alloc, **update}
                transaction.put_alloc(alloc)
                if is_client_terminal(alloc):
                    node_writes.complete_drain(transaction, alloc["NodeID"])
                key = (alloc["Namespace"], alloc["JobID"])
                job = transaction.state.jobs.get(key)
                if was_terminal or job is None or job["Stop"] or key in evaluations:
                    continue
                if alloc["ClientStatus"] == "failed" and reschedule.next_time(alloc) is not None:
                    evaluations[key] = job_writes.evaluate(transaction, job, "alloc-failure", time.time_ns())
            return list(evaluations.values())

        while True:
            try:
                evaluations, transaction = self._store.commit("AllocationUpdated", change)
                break
            except OSError as error:
                # Updates of tasks must not be lost: wait until the disk accepts them.
                self._complain(error)
                if self._is_stopping:
                    return
                time.sleep(_RETRY_S)
        for evaluation in evaluations:
            self.enqueue(evaluation)
        if transaction.freed_room or any(update.get("ClientStatus") in _ENDED for update in updates):
            self.room_appeared()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._promote()
                if self._is_stopping:
                    return
                if not self._ready and not self._has_room:
                    self._wake.wait(self._pause_s())
                    continue
                eval_id = heapq.heappop(self._ready)[2] if self._ready else None
                if eval_id is None:
                    self._has_room = False
            try:
                if eval_id is not None:
                    self._process(eval_id)
                else:
                    self._unblock()
            except OSError as error:
                self._complain(error)
                with self._wake:
                    self._has_room = True
                    if eval_id is not None:
                        heapq.heappush(self._delayed, (time.time_ns() + int(_RETRY_S * 1e9), eval_id))
                    self._wake.wait(_RETRY_S)

    def _complain(self, error: OSError) -> None:
        print(f"state can't be written, trying again: {error.strerror or error}", file=sys.stderr, flush=True)  # noqa: T201

    def _promote(self) -> None:
        now_ns = time.time_ns()
        while self._delayed and self._delayed[0][0] <= now_ns:
            due = heapq.heappop(self._delayed)[1]
            evaluation = self._store.snapshot.evals.get(due)
            if evaluation is not None and evaluation["Status"] == "pending":
                heapq.heappush(self._ready, _by_priority(evaluation))
            elif due in self._store.snapshot.nodes:
                heapq.heappush(self._ready, (_FIRST, 0, due))

    def _pause_s(self) -> float | None:
        return max(0.0, (self._delayed[0][0] - time.time_ns()) / 1e9) if self._delayed else None

    def _unblock(self) -> None:
        """Tries blocked evaluations by priority, then age. Skips jobs of a shape that already found no room."""
        full = set()
        for eval_id, shape in self._store.snapshot.blocked.values():
            if shape not in full and self._process(eval_id):
                full.add(shape)

    def _process(self, eval_id: str) -> bool:
        """Schedules one evaluation and commits the result. Returns whether something found no room.

        The ID of a node stands for the end of its drain.
        """
        if eval_id in self._store.snapshot.nodes:
            now_ns = time.time_ns()
            moving, _ = self._store.commit("NodeDrain", lambda txn: node_writes.force_drain(txn, eval_id, now_ns))
            for evaluation in moving:
                self.enqueue(evaluation)
            return False
        with self._store.writing:
            state = self._store.snapshot
            evaluation = state.evals.get(eval_id)
            if evaluation is None or evaluation["Status"] not in ("pending", "blocked"):
                return False
            now_ns = time.time_ns()
            decision = schedule(state, evaluation, now_ns, new_id)
            later = [
                (follow_up(evaluation, allocs[0]["Job"]["JobModifyIndex"], at_ns, now_ns), allocs)
                for at_ns, allocs in decision.later
            ]
            if not decision.is_noop or later:
                self._store.commit(
                    "PlanResult", lambda transaction: commit_plan(transaction, decision, later, evaluation)
                )
            created, _ = self._store.commit(
                "EvaluationUpdated",
                lambda transaction: close_evaluation(
                    transaction, evaluation, decision, [one for one, _ in later], now_ns
                ),
            )
        for successor in created:
            if successor["Status"] == "pending":
                self.enqueue(successor)
        state = self._store.snapshot
        for alloc in decision.stops:
            self._client.stop(alloc["ID"])
        for alloc in decision.placed:
            self._client.start(state.allocs.get(alloc["ID"]), alloc["Job"], state.nodes.get(alloc["NodeID"]))
        if decision.stops:
            self.room_appeared()
        return bool(decision.failed)


def _by_priority(evaluation: Record) -> tuple[int, int, str]:
    return -evaluation["Priority"], evaluation["CreateIndex"], evaluation["ID"]


_FIRST = -1000
_RETRY_S = 1.0
_ENDED = ("complete", "failed", "lost")
