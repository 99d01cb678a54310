"""Endpoints that read jobs (see `job_changes` for those that change them)."""

from __future__ import annotations

from collections.abc import Iterator

from regions.local.http.context import Context, blocking, is_reverse, listing, namespace_of, single
from regions.local.http.messages import Failure, Reply, Request
from regions.local.http.views import alloc_stub, job_stub
from regions.local.nomad_version import UNDATED
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
        found = (job for name in names for job in _with_prefix(state, name, prefix) if pool in (None, job["NodePool"]))
        if is_reverse(request) and context.config.answers_as >= UNDATED:
            return reversed(list(found))
        return found

    return listing(
        context,
        request,
        ("jobs", "summaries"),
        rows,
        lambda state, job: job_stub(state, job, with_meta=with_meta),
        lambda job: f"{job['Namespace']}.{job['ID']}",
    )


def _with_prefix(state: Snapshot, namespace: str, prefix: str) -> Iterator[Record]:
    """Yields a namespace's jobs whose ID begins with `prefix`, by ID."""
    for key, job in state.jobs.items((namespace, prefix)):
        if key[0] != namespace or not key[1].startswith(prefix):
            break
        yield job


def job(context: Context, request: Request) -> Reply:
    """/v1/job/:id"""
    key = (namespace_of(request), request.name)
    return single(context, request, "jobs", lambda state: state.jobs.get(key), "job not found", context.shown.job)


def allocations(context: Context, request: Request) -> Reply:
    """/v1/job/:id/allocations"""
    namespace, job_id = namespace_of(request), request.name
    return blocking(
        context,
        request,
        lambda state: state.last("allocs"),
        lambda state: [
            context.shown.alloc_stub(alloc_stub(alloc)) for alloc in _newest_first(state.job_allocs(namespace, job_id))
        ],
    )


def evaluations(context: Context, request: Request) -> Reply:
    """/v1/job/:id/evaluations"""
    namespace, job_id = namespace_of(request), request.name
    return blocking(
        context,
        request,
        lambda state: state.last("evals"),
        lambda state: [context.shown.evaluation(one) for one in _newest_first(state.job_evals(namespace, job_id))],
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
        current = state.jobs.get((namespace, job_id))
        if current is not None and context.config.answers_as >= UNDATED:  # earlier ones show the status at registration
            found = [{**one, "Status": current["Status"]} if one is found[0] else one for one in found]
        return {
            "Diffs": (_diffs(found) or None) if diffs else None,
            "Index": found[0]["ModifyIndex"],
            "KnownLeader": True,
            "LastContact": 0,
            "NextToken": "",
            "Versions": [context.shown.job(one) for one in found],
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
