"""Asks a region how children stand: one by one, or many by lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from federation.manifest import Manifest
from federation.run.brain.commands import Inspect, InspectAll
from federation.run.brain.events import ChildInspected, Event
from federation.run.ports import Ports, RegionReader
from jobs.errors import FedmlError
from jobs.spec import deciding_tasks
from regions.errors import NotFound
from regions.model import Allocation

LOG_TAIL_BYTES = 2000
LINE_CHARS = 300


def inspect(ports: Ports, command: Inspect) -> Sequence[Event]:
    """Asks for one child's status, its allocations, and the last line of what failed."""
    pair, client = (command.slot, command.attempt), ports.clients[command.region]
    try:
        job = client.job(command.job_id)
        allocations, _ = client.allocations(job_id=command.job_id)
        status, is_queued = str(job.get("Status", "")), False
        if status == "pending":
            evaluations = client.evaluations(command.job_id)
            is_queued = any(map(_waits_for_room, evaluations))
            if not (allocations or evaluations):
                client.evaluate(command.job_id)
    except NotFound:
        return [ChildInspected(*pair, "gone")]
    except FedmlError:
        return [ChildInspected(*pair, "unknown")]
    line = last_line(client, allocations, ports.redact)
    return [
        ChildInspected(
            *pair,
            status,
            tuple(allocations),
            line,
            is_stopped=bool(job.get("Stop")),
            is_queued=is_queued,
            deciding=deciding_tasks(job),
        )
    ]


def inspect_all(manifest: Manifest, ports: Ports, command: InspectAll) -> Sequence[Event]:
    """Inspects children by three lists: jobs that aren't dead, and evaluations that wait."""
    client, prefix = ports.clients[command.region], f"{manifest.parent_id}/dispatch-"
    try:
        listed = {str(stub["ID"]): stub for stub in client.jobs(prefix, is_alive=True)}
        waiting = {
            str(evaluation.get("JobID", "")): evaluation
            for status in ("pending", "blocked")
            for evaluation in client.evaluations(status=status)
        }
    except FedmlError:
        return [ChildInspected(*pair, "unknown") for pair in command.children]
    told = []
    for pair, job_id in command.children.items():
        stub, evaluation = listed.get(job_id, {}), waiting.get(job_id)
        status = "" if stub.get("Stop") else str(stub.get("Status", ""))
        if status == "pending" and evaluation is not None and pair not in command.running:
            told.append(ChildInspected(*pair, status, is_queued=_waits_for_room(evaluation)))
        elif status == "running":  # its end isn't missed: it is dead then
            told.append(ChildInspected(*pair, status))
        else:
            told.append(ChildInspected(*pair, "unlisted"))
    return told


def _waits_for_room(evaluation: Mapping[str, Any]) -> bool:
    """Whether Nomad holds what this evaluation is to place until a node that fits has room, or a quota allows it."""
    if evaluation.get("Status") != "blocked":
        return False
    shortfalls = (evaluation.get("FailedTGAllocs") or {}).values()
    return all(one.get("NodesExhausted") or one.get("QuotaExhausted") for one in shortfalls)


def last_line(client: RegionReader, allocations: Sequence[Allocation], redact: Callable[[bytes], bytes]) -> str:
    """The last line of stderr of the first task that failed, or that crashed and is restarted, without credentials; "" where
    there is none or it can't be read."""
    tasks = [
        (allocation.id, task)
        for allocation in allocations
        for task, state in allocation.tasks.items()
        if (allocation.client_status == "failed" and state.failed)
        or (not allocation.is_over and state.trouble and state.exit_code is not None)
    ]
    try:
        text = client.logs(*tasks[0], kind="stderr", tail_bytes=LOG_TAIL_BYTES) if tasks else b""
    except FedmlError:
        return ""
    stripped = (line.strip() for line in redact(text).decode(errors="replace").splitlines())
    lines = [line for line in stripped if line and not line.startswith("→")]  # a hint isn't what happened
    words = "".join(char if char.isprintable() else " " for char in lines[-1]).split() if lines else []
    return " ".join(words)[:LINE_CHARS]
