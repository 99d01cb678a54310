"""Endpoints that read jobs (see `job_changes` for those that change them)."""

from __future__ import annotations

from collections.abc import Iterator

from regions.local.http.context import Context, blocking, listing, namespace_of, single
from regions.local.http.messages import Failure, Reply, Request
from regions.local.http.views import alloc_stub, job_stub
from regions.local.state.snapshot import Record, Snapshot


def jobs(context: Context, request: Request) -> Reply:
    """/v1/jobs"""
    return _list(context, request, request.get("prefix"))


def in_pool(context: Context, request: Request) -> Reply:
    """/v1/node/pool/:name/jobs"""
    if request.get("prefix"):
        raise Failure(400, "prefix argument not allowed")
    return _list(context, request, "", request.name)


def _list(context: Context, request: Request, prefix: str, pool: str | None = None) -> Reply:
    namespace = namespace_of(request)
    with_meta = request.flag("meta") and pool is None

    def rows(state: Snapshot) -> Iterator[Record]:
        names = sorted(context.config.namespaces) if namespace == "*" else (namespace,)
        for name in names:
            for key, job in state.jobs.items((name, prefix)):
                if key[0] != name or not key[1].startswith(prefix):
                    break
                if pool in (None, job["NodePool"]):
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
    """/v1/job/:id"""
    key = (namespace_of(request), request.name)
    return single(context, request, "jobs", lambda state: state.jobs.get(key), "job not found")


def allocations(context: Context, request: Request) -> Reply:
    """/v1/job/:id/allocations"""
    namespace, job_id = namespace_of(request), request.name
    return blocking(
        context,
        request,
        lambda state: state.last("allocs"),
        lambda state: [alloc_stub(alloc) for alloc in _newest_first(state.job_allocs(namespace, job_id))],
    )


def evaluations(context: Context, request: Request) -> Reply:
    """/v1/job/:id/evaluations"""
    namespace, job_id = namespace_of(request), request.name
    return blocking(
        context,
        request,
        lambda state: state.last("evals"),
        lambda state: _newest_first(state.job_evals(namespace, job_id)),
    )


def summary(context: Context, request: Request) -> Reply:
    """/v1/job/:id/summary"""
    key = (namespace_of(request), request.name)
    return single(context, request, "summaries", lambda state: state.summaries.get(key), "job not found")


def versions(context: Context, request: Request) -> Reply:
    """/v1/job/:id/versions"""
    namespace, job_id = namespace_of(request), request.name
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
        context, request, lambda state: (state.jobs.get((namespace, job_id)) or {}).get("ModifyIndex", 0), build
    )


def deployment(_context: Context, _request: Request) -> Reply:
    """Answers null: batch jobs have no deployments."""
    return Reply(None, index=0)


def services(context: Context, request: Request) -> Reply:
    """/v1/job/:id/services: none, because batch jobs here have no services"""
    if context.store.snapshot.jobs.get((namespace_of(request), request.name)) is None:
        raise Failure(404, "job not found")
    return Reply([], index=1)


def submission(_context: Context, request: Request) -> Reply:
    """/v1/job/:id/submission: always 404, because a job's source isn't kept"""
    version = request.get("version")
    if not (version.isascii() and version.isdigit() and len(version) < 21 and int(version) < 2**64):
        raise Failure(400, "Unable to parse job submission version parameter")
    request.only("GET")
    raise Failure(404, "job source not found")


def _newest_first(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda record: -record["CreateIndex"])


def _diffs(versions: list[Record]) -> list[Record]:
    """Returns what each version changed, newest first."""
    from jobs.nomad_json.diff import job_diff  # the language is loaded on first use

    return [job_diff(old, new, {}) for old, new in zip(versions[1:], versions, strict=False)]
