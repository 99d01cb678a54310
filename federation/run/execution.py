"""Executes one command of the brain and gives what happened as events: the only place where a run calls regions and stores.

Each command is executed in a pool's thread and may wait. An error of a region or store is part of the answer; only what ends
the run is raised. Load: a dispatch is one request, its check one for a whole batch; a search for lost dispatches is one list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from federation.manifest import Manifest, idempotency_token
from federation.run.brain.commands import (
    Append,
    CheckParent,
    Command,
    Dispatch,
    Find,
    Inspect,
    InspectAll,
    Join,
    List,
    Look,
    Ping,
    Probe,
    ReadLog,
    Revert,
    Stop,
    Verify,
)
from federation.run.brain.events import (
    Acknowledged,
    AllocationChanged,
    Appended,
    AppendRefused,
    ChildSpec,
    DispatchFailed,
    Event,
    Found,
    Listed,
    LogRead,
    NotListed,
    Pair,
    ParentChecked,
    Reverted,
    Stopped,
)
from federation.run.inspection import inspect, inspect_all
from federation.run.ports import Ports, RegionClient
from federation.run.records import look
from jobs.errors import FedmlError
from jobs.spec import SPEC_KEY
from regions.errors import InvalidJob, NotFound, PermissionDenied, Throttled
from regions.storage.errors import Unavailable

GONE = ("is stopped", "not a parameterized job")
"""Nomad's words for a job that can't be dispatched any more; other refusals are about the dispatch's own meta or payload."""


class Execution:
    """Executes the commands of one run."""

    def __init__(self, manifest: Manifest, ports: Ports) -> None:
        self._manifest = manifest
        self._ports = ports
        self._checked: dict[str, int] = {}
        """The JobModifyIndex of the registered job in each region, when it was last found to be the run's."""
        self._dispatched: dict[str, int] = {}
        """Children that this process made, not verified yet: the last such index before their dispatch."""
        self._acts: dict[type, Callable[..., Sequence[Event]]] = {
            Append: self._append,
            ReadLog: self._read_log,
            Dispatch: self._dispatch,
            CheckParent: self._check_parent,
            Ping: lambda command: [ports.ping(command.region)],
            Join: lambda command: [ports.join(command.region)],
            List: self._list,
            Probe: lambda command: [ports.probe(command.region, command.slots)],
            Find: self._find,
            Verify: self._verify,
            Inspect: lambda command: inspect(ports, command),
            InspectAll: lambda command: inspect_all(manifest, ports, command),
            Stop: self._stop,
            Look: lambda command: [look(manifest, ports, command)],
            Revert: self._revert,
        }

    def do(self, command: Command) -> Sequence[Event]:
        """Executes one command (any but Tell, Commit, KeepLogs and Close), and gives what happened, in order."""
        return self._acts[type(command)](command)

    # ── the run log ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _append(self, command: Append) -> Sequence[Event]:
        try:
            stands, entries = self._ports.run_log.append(command.changes, after=command.after)
        except Unavailable as error:
            return [AppendRefused(command.changes, (), error.message)]
        if not stands:
            return [AppendRefused(command.changes, tuple(entries))]
        return [Appended(command.changes), *([LogRead(tuple(entries))] if entries else [])]

    def _read_log(self, command: ReadLog) -> Sequence[Event]:
        try:
            return [LogRead(tuple(self._ports.run_log.news()))]
        except Unavailable:
            return [LogRead(())]

    # ── dispatching ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _dispatch(self, command: Dispatch) -> Sequence[Event]:
        manifest, pair = self._manifest, (command.slot, command.attempt)
        token = idempotency_token(manifest.run, *pair)
        client = self._ports.clients[command.region]
        checked = self._checked.get(command.region)
        try:
            inputs, payload = self._ports.inputs(command.slot)
            meta = {**inputs, **manifest.own_meta(*pair)}
            done = client.dispatch(manifest.parent_id, meta=meta, payload=payload, idempotency_token=token)
        except NotFound as error:
            return [DispatchFailed(*pair, "refused", error.message)]
        except InvalidJob as error:
            is_gone = any(text in error.message for text in GONE)
            return [DispatchFailed(*pair, "refused" if is_gone else "input", error.message)]
        except PermissionDenied as error:
            return [DispatchFailed(*pair, "denied", error.message)]
        except Throttled as error:
            return [DispatchFailed(*pair, "throttled", error.message)]
        except FedmlError as error:
            return [DispatchFailed(*pair, "unknown", error.message)]
        if not done.eval_id:
            _ensure_evaluation(client, done.job_id)
        elif checked is not None:
            self._dispatched[done.job_id] = checked
        return [Acknowledged(*pair, done.job_id)]

    def _check_parent(self, command: CheckParent) -> Sequence[Event]:
        try:
            parent = self._ports.clients[command.region].job(self._manifest.parent_id)
        except NotFound:
            return [ParentChecked(command.region, "gone")]
        except PermissionDenied:
            return [ParentChecked(command.region, None, is_denied=True)]
        except FedmlError:
            return [ParentChecked(command.region, None)]
        spec_hash = self._standing(command.region, parent)
        try:
            return [ParentChecked(command.region, spec_hash, budgets=self._ports.budgets(command.region))]
        except FedmlError:  # the other runs can't be read now: nothing is sent until they can
            return [ParentChecked(command.region, None)]

    def _standing(self, region: str, parent: Mapping[str, Any]) -> str:
        """The spec hash of the region's registered job. Remembers its index where that is the run's own."""
        spec_hash = "gone" if parent.get("Stop") else self._manifest.spec_in(region, parent)
        index = int(parent.get("JobModifyIndex") or 0)
        if spec_hash == self._manifest.spec_hash and index:
            self._checked[region] = index
        return spec_hash

    def _find(self, command: Find) -> Sequence[Event]:
        """Finds the children of these attempts, by meta or token."""
        manifest = self._manifest
        client = self._ports.clients[command.region]
        wanted = set(command.pairs)
        found: dict[Pair, str] = {}
        try:
            has_meta = manifest.declared_meta is None
            for stub in client.jobs(f"{manifest.parent_id}/dispatch-", meta=has_meta):
                has_own_meta = has_meta and stub.get("Meta") is not None
                pair = manifest.child_of(stub if has_own_meta else client.job(str(stub["ID"])))
                if pair in wanted:
                    found[pair] = str(stub["ID"])
                if len(found) == len(wanted):
                    break
            for job_id in found.values():
                _ensure_evaluation(client, job_id)
        except FedmlError:
            return [Found(command.region, {}, ())]
        missing = tuple(pair for pair in command.pairs if pair not in found)
        return [Found(command.region, found, missing)]

    def _verify(self, command: Verify) -> Sequence[Event]:
        client = self._ports.clients[command.region]
        told: list[Event] = []
        # A failure is ignored: the record holds the hash too, and a result of another spec never wins.
        with suppress(FedmlError):
            wanted = self._unproven(command.region, command.job_ids)
            if len(wanted) > 3:
                for stub in client.jobs(f"{self._manifest.parent_id}/dispatch-", meta=True):
                    if stub["ID"] in wanted and stub.get("Meta") is not None:
                        wanted.discard(str(stub["ID"]))
                        told.append(ChildSpec(str(stub["ID"]), str(stub["Meta"].get(SPEC_KEY, ""))))
            told.extend(
                ChildSpec(job_id, str((client.job(job_id).get("Meta") or {}).get(SPEC_KEY, ""))) for job_id in wanted
            )
        return told

    def _unproven(self, region: str, job_ids: Sequence[str]) -> set[str]:
        """The children that may carry another spec hash.

        Nomad copies the registered job into a child, and each registration raises the job's index. So a child is the run's
        where the registered job was the run's before its dispatch, and is so now, at the same index. One request tells that
        for all of them.
        """
        before = {job_id: self._dispatched.pop(job_id, 0) for job_id in job_ids}
        if not any(before.values()):
            return set(job_ids)
        parent = self._ports.clients[region].job(self._manifest.parent_id)
        is_own = self._standing(region, parent) == self._manifest.spec_hash
        now = int(parent.get("JobModifyIndex") or 0) if is_own else -1
        return {job_id for job_id, index in before.items() if index != now}

    # ── watching ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _list(self, command: List) -> Sequence[Event]:
        region, prefix = command.region, f"{self._manifest.parent_id}/dispatch-"
        try:
            allocations, via = self._ports.list_allocations(region)
        except PermissionDenied:
            return [NotListed(region, is_denied=True)]
        except FedmlError:
            return [NotListed(region)]
        own = [one for one in allocations if one.job_id.startswith(prefix)]
        news = (AllocationChanged(region, one) for one in own)
        return [*news, Listed(region, frozenset(one.job_id for one in own), via)]

    def _stop(self, command: Stop) -> Sequence[Event]:
        done = Stopped(command.region, command.job_id, is_done=True)
        try:
            self._ports.clients[command.region].stop_job(command.job_id, purge=command.is_purge)
        except NotFound:
            pass
        except PermissionDenied as error:
            done = replace(done, problem=error.message)
        except FedmlError:
            done = replace(done, is_done=False)
        return [done]

    def _revert(self, command: Revert) -> Sequence[Event]:
        self._ports.revert(command)
        return [Reverted(command.region)]


def _ensure_evaluation(client: RegionClient, job_id: str) -> None:
    """Evaluates a pending child: a dispatch that repeats a token may name one that never got its evaluation."""
    with suppress(FedmlError):
        if client.job(job_id).get("Status") == "pending" and not client.allocations(job_id=job_id)[0]:
            client.evaluate(job_id)
