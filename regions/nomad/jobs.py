"""Calls about jobs: read, plan, register, dispatch, stop, evaluate."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import nomad.api  # noqa: TID253 - this module is loaded only when a region is really called

from regions.errors import Conflict, NotFound
from regions.model import Dispatched, DryRun
from regions.nomad.calls import RegionCalls, checked_as, quoted
from regions.nomad.decode import (
    RegisteredJob,
    dry_run_from_json,
    evaluation_from_json,
    job_from_json,
    summary_from_json,
)
from regions.nomad.request import Request
from regions.nomad.versions import has_race_safe_tokens


class JobCalls(RegionCalls):
    """The calls of `NomadRegion` about jobs."""

    def jobs(
        self,
        prefix: str = "",
        *,
        meta: bool = False,
        is_alive: bool = False,
        namespace: str = "",
        items_max: int | None = None,
    ) -> list[dict[str, Any]]:
        """The stubs of all jobs whose ID starts with `prefix`, as Nomad gives them; with `meta`, each has its `Meta`.
        `is_alive`: without those that are dead. `namespace` `*`: of all readable namespaces. Reads no further page when it
        has `items_max`."""
        status = 'Status != "dead"' if is_alive else None
        params = {"prefix": prefix or None, "meta": "true" if meta else None, "filter": status}
        params |= {"namespace": namespace} if namespace else {}
        listed = self._pages("jobs", nomad.api.Jobs, params=params, items_max=items_max)[0]
        return self._parse("jobs", lambda: [job_from_json(one) for one in listed if checked_as(str, one["ID"])])

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as Nomad holds it. Raises NotFound."""
        job = self._get("read", nomad.api.Job, quoted(job_id), about=f"job {job_id}")
        return self._parse("read", lambda: job_from_json(job))

    def job_versions(self, job_id: str) -> list[dict[str, Any]]:
        """The versions of the job that Nomad still keeps (six, unless servers are configured otherwise), newest first. Raises
        NotFound."""
        about = f"versions of job {job_id}"
        answer = self._get("read", nomad.api.Job, quoted(job_id), "versions", about=about)
        return self._parse("read", lambda: [job_from_json(one) for one in answer["Versions"]])

    def plan_job(self, job: Mapping[str, Any], *, diff: bool = False) -> DryRun:
        """A dry run of the scheduler; nothing is registered. Raises InvalidJob, and RegionSlow where it takes too long."""
        path = (quoted(job["ID"]), "plan")
        body = {"Job": dict(job), "Diff": diff}
        request = Request("plan", nomad.api.Job, path, "post", json=body, about=f"job {job['ID']}", is_costly=True)
        answer = self._transport.call(request).value
        return self._parse("plan", lambda: dry_run_from_json(answer))

    def register(self, job: Mapping[str, Any], *, enforce_index: int | None) -> RegisteredJob:
        """Register the job as a whole; never repeated.

        `enforce_index`: the JobModifyIndex that the registered job must have (0: it must not exist), else Conflict;
        None: whatever is there is replaced. Raises InvalidJob.
        """
        body: dict[str, Any] = {"Job": dict(job)}
        if enforce_index is not None:
            body |= {"EnforceIndex": True, "JobModifyIndex": enforce_index}
        about = f"job {job['ID']}"
        answer = self._post("register", nomad.api.Jobs, json=body, about=about, is_repeatable=False)
        return self._parse(
            "register",
            lambda: RegisteredJob(
                eval_id=answer["EvalID"] or "",
                job_modify_index=int(answer["JobModifyIndex"]),
                warnings=answer.get("Warnings") or "",
            ),
        )

    def try_to_submit(self, unused_id: str) -> None:
        """Find out whether the token may register jobs, by one that its modify index forbids: no job has that ID, so its index
        is 0. Nothing is changed. Raises PermissionDenied, and InvalidJob where the servers refuse even the smallest job."""
        with suppress(Conflict):
            self.register(self.smallest_job(unused_id), enforce_index=1)

    def try_to_dispatch(self, unused_id: str) -> None:
        """Find out whether the token may dispatch jobs, by one that doesn't exist: permissions are looked at before. Nothing
        is changed. Raises PermissionDenied."""
        with suppress(NotFound):
            self.dispatch(unused_id, meta={})

    def smallest_job(self, job_id: str) -> dict[str, Any]:
        """A job that any servers take, for tries."""
        task = {
            "Name": "main",
            "Driver": "raw_exec",
            "Config": {"command": "true"},
            "Resources": {"CPU": 1, "MemoryMB": 10},
        }
        return {
            "ID": job_id,
            "Name": job_id,
            "Region": self.region.nomad_region,
            "Namespace": self.region.namespace,
            "Type": "batch",
            "Datacenters": list(self.region.datacenters),
            "TaskGroups": [{"Name": "main", "Count": 1, "Tasks": [task]}],
        }

    def dispatch(
        self, job_id: str, *, meta: Mapping[str, str], payload: bytes = b"", idempotency_token: str = ""
    ) -> Dispatched:
        """Dispatch a child of a parameterized job. Raises NotFound and InvalidJob (meta, payload, a stopped job).

        Repeated only with an idempotency token that the servers are known to honour without a race (since 1.11.2, 1.10.8,
        1.8.20): before, two dispatches of one token at the same moment can give two children. Otherwise a lost answer
        raises RegionUnreachable, and a child may or may not exist.
        """
        body = {"Meta": dict(meta), "Payload": base64.b64encode(payload).decode() if payload else None}
        is_safe = has_race_safe_tokens(self._known_version())
        answer = self._post(
            "dispatch",
            nomad.api.Job,
            quoted(job_id),
            "dispatch",
            params={"idempotency_token": idempotency_token or None},
            json=body,
            about=f"job {job_id}",
            is_repeatable=is_safe and bool(idempotency_token),
        )
        return self._parse("dispatch", lambda: Dispatched(answer["DispatchedJobID"], answer.get("EvalID") or ""))

    def stop_job(self, job_id: str, *, purge: bool = False) -> None:
        """Stop the job and its allocations; with `purge` it is forgotten. Raises NotFound where Nomad says so."""
        params = {"purge": "true" if purge else None}
        path = (quoted(job_id),)
        self._transport.call(Request("stop", nomad.api.Job, path, "delete", params=params, about=f"job {job_id}"))

    def evaluate(self, job_id: str) -> str:
        """Have the scheduler look at the job again; the evaluation's ID. Raises NotFound, InvalidJob."""
        answer = self._post(
            "evaluate", nomad.api.Job, quoted(job_id), "evaluate", json={"JobID": job_id}, about=f"job {job_id}"
        )
        return self._parse("evaluate", lambda: checked_as(str, answer["EvalID"]))

    def summary(self, job_id: str) -> dict[str, Any]:
        """Nomad's job summary: counts by group, and of children for a parameterized job. Raises NotFound."""
        summary = self._get("read", nomad.api.Job, quoted(job_id), "summary", about=f"summary of job {job_id}")
        return self._parse("read", lambda: summary_from_json(summary))

    def evaluations(self, job_id: str | None = None, status: str = "") -> list[dict[str, Any]]:
        """Evaluations of one job or of the namespace, of one `status` (blocked, pending …) or all; Nomad's JSON."""
        if job_id is None:
            evals = self._pages("evaluations", nomad.api.Evaluations, params={"status": status or None})[0]
        else:
            evals = self._pages("evaluations", nomad.api.Job, quoted(job_id), "evaluations", params={})[0]
        return self._parse(
            "evaluations", lambda: [one for one in map(evaluation_from_json, evals) if status in ("", one["Status"])]
        )

    def variable_names(self, path: str) -> frozenset[str]:
        """The names in a Nomad variable, not what they hold. Raises NotFound."""
        answer = self._get("variable", nomad.api.Variable, path, about=f"variable {path}")
        return self._parse("variable", lambda: frozenset(answer["Items"]))
