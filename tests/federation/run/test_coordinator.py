"""The run's shell: commands are executed in threads, what goes wrong there ends the run in the main thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from federation.claims import Site
from federation.errors import LogConflict
from federation.index.columns import Row
from federation.manifest import Manifest
from federation.result import Key, ResultRecord, manifest_sha256
from federation.run.brain.brain import Brain
from federation.run.brain.changes import Bind, Change, Entry
from federation.run.brain.commands import Close, Tell
from federation.run.brain.events import Pinged, RegionProbed
from federation.run.brain.timing import Limits
from federation.run.coordinator import Coordinator
from federation.run.ports import Ports
from federation.run.redaction import Redactor
from regions.errors import NotFound, RegionUnreachable
from regions.model import Allocation, Dispatched, TaskState
from regions.storage.errors import Unavailable
from tests.federation.run.brain.world import FILES, MANIFEST, STORE

ONE = replace(MANIFEST, slots=4, regions=("us",))


class Region:
    """Every dispatch ends at once; what it does is told through `watch`."""

    name = "us"

    def __init__(self) -> None:
        self.children: dict[str, dict[str, Any]] = {}
        self.on_allocation: Callable[[Allocation], None] = lambda _: None
        self.lose_answers = 0
        self.ends = "complete"
        self.stderr = b"first\n  out of  \x07 memory\n\n"
        self.stopped: list[str] = []
        self.is_watched = threading.Event()

    def job(self, job_id: str) -> dict[str, Any]:
        if job_id == ONE.job:
            return {"Meta": {"fedml_spec": ONE.spec_hash}}
        if job_id not in self.children:
            raise NotFound("job not found", region="us")
        return {"ID": job_id, "Status": "dead", "Meta": self.children[job_id]}

    def jobs(self, prefix: str = "", *, meta: bool = False, is_alive: bool = False) -> list[dict[str, Any]]:
        return [{"ID": child, "Meta": children} for child, children in self.children.items()]

    def dispatch(
        self, job_id: str, *, meta: Mapping[str, str], payload: bytes = b"", idempotency_token: str = ""
    ) -> Dispatched:
        child = f"{job_id}/dispatch-{idempotency_token}"
        self.children[child] = {**meta, "fedml_spec": ONE.spec_hash}
        self.is_watched.wait(60)
        self.on_allocation(self.allocation(child))
        if self.lose_answers:
            self.lose_answers -= 1
            raise RegionUnreachable("connection reset", region="us")
        return Dispatched(child, "eval")

    def allocation(self, child: str) -> Allocation:
        failed = self.ends == "failed"
        state = TaskState("dead", failed=failed, last_event="Exit Code: 1", exit_code=1 if failed else 0)
        return Allocation(f"alloc-{child[-3:]}", child, "model", 0, "n", "n-1", self.ends, "run", tasks={"t": state})

    def allocations(self, *, job_id: str | None = None) -> tuple[list[Allocation], int]:
        return [self.allocation(child) for child in self.children if job_id in (None, child)], 1

    def stop_job(self, job_id: str, *, purge: bool = False) -> None:
        self.stopped.append(job_id)

    def evaluations(self, job_id: str | None = None, status: str = "") -> list[dict[str, Any]]:
        return []

    def evaluate(self, job_id: str) -> str:
        return "eval"

    def logs(self, alloc_id: str, task: str, *, kind: str = "stdout", tail_bytes: int | None = None) -> bytes:
        return self.stderr


class RunLog:
    def __init__(self, fails_at: int = 0) -> None:
        self.entries: list[Sequence[Change]] = []
        self.fails_at = fails_at

    def append(self, changes: Sequence[Change], *, after: int) -> tuple[bool, Sequence[Entry]]:
        if len(self.entries) + 1 == self.fails_at:
            raise LogConflict("nobody can write")
        assert after == len(self.entries)
        self.entries.append(changes)
        return True, ()

    def news(self) -> Sequence[Entry]:
        return ()


class Index:
    def __init__(self) -> None:
        self.batches: list[int] = []

    def commit(self, records: Sequence[ResultRecord]) -> Mapping[str, str]:
        self.batches.append(len(records))
        return {record.alloc_id: "added" for record in records}

    def won(self, run: str, slots: Iterable[int] | None = None) -> Sequence[Row]:
        return ()


def ports(region: Region, run_log: RunLog, told: list[Tell], index: Index | None = None, **changes: Any) -> Ports:
    def read(name: str, key: Key, allocation: Allocation) -> ResultRecord:
        return ResultRecord(
            key=key, attempt=1, job="train", version="4", spec_hash=ONE.spec_hash, region="us", datacenter="dc1", node="n-1",
            alloc_id=allocation.id, job_id=allocation.job_id, store=STORE, manifest_sha256=manifest_sha256(FILES),
            files=FILES, created="2026-01-01T00:00:00Z",
        )  # fmt: skip

    def watch(
        name: str,
        on_allocation: Callable[[Allocation], None],
        on_heard: Callable[[bool], None],
        on_listed: Callable[[Any], None],
        stop: threading.Event,
    ) -> None:
        region.on_allocation = on_allocation
        region.is_watched.set()
        on_heard(False)
        stop.wait(30)

    made = Ports(
        clients={"us": region},  # type: ignore[dict-item]
        run_log=run_log,
        index=index or Index(),
        probe=lambda name, _slots: RegionProbed(name, 10),
        ping=lambda name: Pinged(name, is_alive=True),
        list_allocations=lambda name: (region.allocations()[0], ""),
        inputs=lambda slot: ({}, b""),
        sites={"us": Site(("us",), {"dc1": STORE})},
        read=read,
        search=lambda name, slot: (),
        watch=watch,
        observe=told.append,
    )
    return replace(made, **changes)


def run(made: Ports, manifest: Manifest = ONE) -> Close:
    return Coordinator(
        Brain(manifest, Limits(find_s=0.1, look_again_s=0.1, look_retry_s=0.1, inspect_s=0.1)), made
    ).run()


def test_a_run_to_its_end() -> None:
    region, log, index = Region(), RunLog(), Index()
    assert run(ports(region, log, [], index)) == Close("done", "")
    assert sum(index.batches) == 4
    bound = [change for entry in log.entries for change in entry if isinstance(change, Bind)]
    assert [change.slot for change in bound] == [0, 1, 2, 3]


def test_answers_that_are_lost_after_success_make_no_second_child() -> None:
    region = Region()
    region.lose_answers = 3
    assert run(ports(region, RunLog(), [])).state == "done"
    assert len(region.children) == 4


def test_a_failed_task_is_told_with_its_last_line() -> None:
    region, told = Region(), []
    region.ends = "failed"
    assert run(ports(region, RunLog(), told), replace(ONE, slots=1, max_attempts=1)).state == "failed"
    assert [tell.detail for tell in told if tell.kind == "failed"] == ["task t: Exit Code: 1: out of memory"]


def test_the_run_log_gets_no_credential_from_a_last_line() -> None:
    region, log = Region(), RunLog()
    region.ends, region.stderr = "failed", b"Error: can't log in with password=hunter2hunter2 as known-secret\n"
    given = replace(ports(region, log, []), redact=Redactor(["known-secret"]))
    assert run(given, replace(ONE, slots=1, max_attempts=1)).state == "failed"
    assert "password=[redacted] as [redacted]" in str(log.entries)
    assert "hunter2" not in str(log.entries)


def test_a_log_that_somebody_else_writes_ends_the_run_here() -> None:
    region = Region()
    with pytest.raises(LogConflict):
        run(ports(region, RunLog(fails_at=1), []))
    assert region.children == {}


def test_a_store_that_does_not_answer_is_asked_again() -> None:
    asked: list[str] = []
    good = ports(Region(), RunLog(), [])

    def read(name: str, key: Key, allocation: Allocation) -> ResultRecord | None:
        asked.append(allocation.id)
        if len(asked) < 3:
            raise Unavailable("503")
        return good.read(name, key, allocation)

    assert run(replace(good, read=read), replace(ONE, slots=1)).state == "done"
    assert len(asked) == 3


def test_a_bug_in_a_thread_is_raised_not_lost() -> None:
    def probe(name: str, slots: int) -> RegionProbed:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(ports(Region(), RunLog(), [], probe=probe))
