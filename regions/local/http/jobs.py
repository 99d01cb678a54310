"""Requests about jobs enter, Nomad's answers leave; those that change something go on to `job_changes`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from regions.local.http import job_changes
from regions.local.http.context import Context, blocking, listing, namespace_of
from regions.local.http.messages import Failure, Reply, Request
from regions.local.http.views import alloc_stub, job_stub
from regions.local.state.snapshot import Record, Snapshot


def jobs(context: Context, request: Request) -> Reply:
    """/v1/jobs"""
    if request.method in ("PUT", "POST"):
        return job_changes.register(context, request, "")
    request.only("GET")
    prefix, namespace = request.get("prefix"), namespace_of(request)
    with_meta = context.config.has(1, 4, 3) and request.flag("meta")

    def rows(state: Snapshot) -> Any:
        names = sorted(context.config.namespaces) if namespace == "*" else (namespace,)
        for name in names:
            for key, job in state.jobs.items((name, prefix)):
                if key[0] != name or not key[1].startswith(prefix):
                    break
                yield job

    return listing(
        context,
        request,
        ("jobs", "summaries"),
        rows,
        lambda state, job: job_stub(state, job, with_meta=with_meta),
        lambda job: f"{job['Namespace']}.{job['ID']}",
    )


def job(context: Context, request: Request) -> Reply:
    """/v1/job/…: the ID may hold slashes, so what is asked about it is told by the path's end."""
    rest = request.path.removeprefix("/v1/job/")
    for suffix, handler in _BY_SUFFIX.items():
        if rest.endswith(suffix):
            return handler(context, request, rest.removesuffix(suffix))
    for suffix in ("/periodic/force", "/scale", "/services", "/revert", "/stable"):
        if rest.endswith(suffix):
            raise Failure(501, f"{suffix.strip('/')} of a job is not supported by this development engine")
    if request.method in ("PUT", "POST"):
        return job_changes.register(context, request, rest)
    if request.method == "DELETE":
        return job_changes.deregister(context, request, rest)
    request.only("GET")
    key = (namespace_of(request), rest)

    def build(state: Snapshot) -> Record:
        found: Record | None = state.jobs.get(key)
        if found is None:
            raise Failure(404, "job not found")
        return found

    return blocking(
        context, request, lambda state: (state.jobs.get(key) or _NOTHING)["ModifyIndex"] or state.last("jobs"), build
    )


_NOTHING: Record = {"ModifyIndex": 0}


def _allocations(context: Context, request: Request, job_id: str) -> Reply:
    namespace = namespace_of(request)
    return blocking(
        context,
        request,
        lambda state: state.last("allocs"),
        lambda state: [alloc_stub(alloc) for alloc in _newest_first(state.job_allocs(namespace, job_id))],
    )


def _evaluations(context: Context, request: Request, job_id: str) -> Reply:
    namespace = namespace_of(request)
    return blocking(
        context,
        request,
        lambda state: state.last("evals"),
        lambda state: _newest_first(state.job_evals(namespace, job_id)),
    )


def _summary(context: Context, request: Request, job_id: str) -> Reply:
    key = (namespace_of(request), job_id)

    def build(state: Snapshot) -> Record:
        found: Record | None = state.summaries.get(key)
        if found is None:
            raise Failure(404, "job not found")
        return found

    return blocking(context, request, lambda state: (state.summaries.get(key) or _NOTHING)["ModifyIndex"], build)


def _versions(context: Context, request: Request, job_id: str) -> Reply:
    namespace = namespace_of(request)
    diffs = request.flag("diffs")

    def build(state: Snapshot) -> Record:
        found = state.job_versions(namespace, job_id)
        if not found:
            raise Failure(404, "job versions not found")
        return {
            "Diffs": (_diffs(found) or None) if diffs else None,
            "Index": found[0]["ModifyIndex"],
            "KnownLeader": True,
            "LastContact": 0,
            "NextToken": "",
            "Versions": found,
        }

    return blocking(
        context, request, lambda state: (state.jobs.get((namespace, job_id)) or _NOTHING)["ModifyIndex"], build
    )


def _deployments(_context: Context, _request: Request, _job_id: str) -> Reply:
    return Reply([], index=0)


def _deployment(_context: Context, _request: Request, _job_id: str) -> Reply:
    return Reply(None, index=0)


def _submission(_context: Context, _request: Request, _job_id: str) -> Reply:
    raise Failure(404, "job source not found")


def _newest_first(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda record: -record["CreateIndex"])


_BY_SUFFIX: dict[str, Callable[[Context, Request, str], Reply]] = {
    "/evaluate": job_changes.evaluate,
    "/allocations": _allocations,
    "/evaluations": _evaluations,
    "/plan": job_changes.plan,
    "/summary": _summary,
    "/dispatch": job_changes.dispatch,
    "/versions": _versions,
    "/deployments": _deployments,
    "/deployment": _deployment,
    "/submission": _submission,
}


def _diffs(versions: list[Record]) -> list[Record]:
    """What each version changed, newest first."""
    from jobs.diff import job_diff  # the language is loaded when it is first needed

    return [job_diff(old, new, {}) for old, new in zip(versions[1:], versions, strict=False)]
