"""Routes requests: authenticates them, forwards those for another region, and calls their handler.

The table has the handler of each path and method, and the right that Nomad requires.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from regions.local.http import (
    agent,
    allocations,
    catalog,
    event_stream,
    fault_api,
    files,
    job_changes,
    jobs,
    nodes,
    variables,
)
from regions.local.http.context import Context, namespace_of
from regions.local.http.forwarding import forward, job_region
from regions.local.http.messages import Failure, Relay, Reply, Request
from regions.local.nomad_version import JOB_STATUSES, LOGS_FORBIDDEN, SILENT_STREAM, NomadVersion

Handle = Callable[[Context, Request], Reply]
Allows = Callable[[Context, Request], bool]


class Route(NamedTuple):
    """A handler and its right. `refused_with`: the status of a refusal where Nomad asks the client with the files;
    `until`: up to which version."""

    handle: Handle
    allows: Allows
    refused_with: int = 403
    until: NomadVersion | None = None


# --- rights -----------------------------------------------------------------------------------------------------------


def _may(*capabilities: str) -> Allows:
    """Requires one of these in the request's namespace."""
    return lambda _, request: request.rights.may(namespace_of(request), *capabilities)


def _may_in_jobs(*capabilities: str) -> Allows:
    """Requires one of these in the namespace of the body's job. The query's namespace overrides the job's."""

    def allows(_: Context, request: Request) -> bool:
        job = request.json().get("Job") if request.body else None
        own = job.get("Namespace") if isinstance(job, dict) else None
        return request.rights.may(request.get("namespace") or str(own or "default"), *capabilities)

    return allows


def _may_in(table: str, *capabilities: str) -> Allows:
    """Requires one of these in the namespace of the object in the path, or the request's where there is none."""

    def allows(context: Context, request: Request) -> bool:
        found = getattr(context.store.snapshot, table).get(request.name)
        return request.rights.may(found["Namespace"] if found else namespace_of(request), *capabilities)

    return allows


def _may_variable(capability: str) -> Allows:
    return lambda _, request: request.rights.may_variable(namespace_of(request), request.name, capability)


def _may_deregister(_: Context, request: Request) -> bool:
    finer = () if request.flag("purge") else ("deregister-job",)
    return request.rights.may(namespace_of(request), "submit-job", "purge-job", *finer)


def _may_search(_: Context, request: Request) -> bool:
    return request.rights.may(namespace_of(request), "list-jobs", "read-job") or request.rights.may_read("node")


def _may_follow(_: Context, request: Request) -> bool:
    def may(topic: str) -> bool:
        if topic in ("Deployment", "Evaluation", "Allocation", "Job", "Service"):
            return request.rights.may(namespace_of(request), "read-job")
        return topic == "Node" and request.rights.may_read("node")

    return all(may(text.partition(":")[0]) for text in request.query.get("topic", ["*"]))


def _reads(area: str) -> Allows:
    return lambda _, request: request.rights.may_read(area)


def _writes(area: str) -> Allows:
    return lambda _, request: request.rights.may_write(area)


def _any_token(_: Context, _request: Request) -> bool:
    """Allows any token. The handler chooses what it sees."""
    return True


def _nobody(_: Context, _request: Request) -> bool:
    """Allows only the region's own token."""
    return False


# --- the table --------------------------------------------------------------------------------------------------------


def _unsupported(_: Context, request: Request) -> Reply:
    raise Failure(501, f"{request.path} is not supported by this development engine")


_read_job, _of_alloc = _may("read-job"), _may_in("allocs", "read-job")
_read_fs = _may_in("allocs", "read-fs")
_STREAM = "/v1/event/stream"
_UNSUPPORTED = {"*": Route(_unsupported, _any_token)}
_EMPTY = Route(catalog.empty_list, _read_job)
_TABLE: dict[str, dict[str, Route]] = {
    "/v1/acl/token/self": {"GET": Route(catalog.token_self, _any_token)},
    "/v1/agent/health": {"GET": Route(agent.health, _any_token)},
    "/v1/agent/members": {"GET": Route(agent.members, _reads("node"))},
    "/v1/agent/self": {"GET": Route(agent.self_, _reads("agent"))},
    "/v1/allocations": {"GET": Route(allocations.allocations, _read_job)},
    "/v1/allocation/*/stop": {"PUT": Route(allocations.stop, _may_in("allocs", "alloc-lifecycle"))},
    "/v1/allocation/*": {"GET": Route(allocations.allocation, _of_alloc)},
    "/v1/client/allocation/*/checks": {"GET": Route(files.checks, _of_alloc)},
    "/v1/client/allocation/*/restart": {"PUT": Route(files.restart, _may_in("allocs", "alloc-lifecycle"))},
    "/v1/client/allocation/*/stats": {"GET": Route(files.usage, _of_alloc)},
    "/v1/client/fs/cat/*": {"GET": Route(files.cat, _read_fs, 200)},
    "/v1/client/fs/logs/*": {"GET": Route(files.logs, _may_in("allocs", "read-fs", "read-logs"), 500, LOGS_FORBIDDEN)},
    "/v1/client/fs/ls/*": {"GET": Route(files.ls, _read_fs)},
    "/v1/client/fs/readat/*": {"GET": Route(files.readat, _read_fs, 200)},
    "/v1/client/fs/stat/*": {"GET": Route(files.stat, _read_fs)},
    "/v1/client/fs/stream/*": {"GET": Route(files.follow, _read_fs, 500, LOGS_FORBIDDEN)},
    "/v1/client/stats": {"GET": Route(nodes.host_stats, _reads("node"))},
    "/v1/deployments": {"GET": _EMPTY},
    "/v1/evaluations": {"GET": Route(allocations.evaluations, _read_job)},
    "/v1/evaluation/*/allocations": {"GET": Route(allocations.of_evaluation, _may_in("evals", "read-job"))},
    "/v1/evaluation/*": {"GET": Route(allocations.evaluation, _may_in("evals", "read-job"))},
    _STREAM: {"GET": Route(event_stream.events, _may_follow, 500)},
    f"{fault_api.PREFIX}*": {"*": Route(fault_api.hurting, _nobody)},
    "/v1/jobs": {
        "GET": Route(jobs.jobs, _may("list-jobs")),
        "PUT": Route(job_changes.register, _may_in_jobs("submit-job", "register-job")),
    },
    "/v1/jobs/parse": {"PUT": Route(job_changes.parse, _may("parse-job", "submit-job"))},
    "/v1/job/*/allocations": {"GET": Route(jobs.allocations, _read_job)},
    "/v1/job/*/deployment": {"GET": Route(jobs.deployment, _read_job)},
    "/v1/job/*/deployments": {"GET": _EMPTY},
    "/v1/job/*/dispatch": {"PUT": Route(job_changes.dispatch, _may("dispatch-job"))},
    "/v1/job/*/evaluate": {"PUT": Route(job_changes.evaluate, _may("submit-job", "evaluate-job"))},
    "/v1/job/*/evaluations": {"GET": Route(jobs.evaluations, _read_job)},
    "/v1/job/*/plan": {"PUT": Route(job_changes.plan, _may_in_jobs("submit-job", "plan-job"))},
    "/v1/job/*/submission": {"GET": Route(jobs.submission, _read_job)},
    "/v1/job/*/summary": {"GET": Route(jobs.summary, _read_job)},
    "/v1/job/*/versions": {"GET": Route(jobs.versions, _read_job)},
    **{f"/v1/job/*/{what}": _UNSUPPORTED for what in ("periodic/force", "revert", "scale", "services", "stable")},
    "/v1/job/*": {
        "GET": Route(jobs.job, _read_job),
        "PUT": Route(job_changes.register, _may_in_jobs("submit-job", "register-job")),
        "DELETE": Route(job_changes.deregister, _may_deregister),
    },
    "/v1/namespaces": {"GET": Route(catalog.namespaces, _any_token)},
    "/v1/namespace/*": {
        "GET": Route(catalog.namespace, lambda _, request: request.rights.may_any(request.name)),
        **_UNSUPPORTED,
    },
    "/v1/nodes": {"GET": Route(nodes.nodes, _reads("node"))},
    "/v1/node/pools": {"GET": Route(catalog.pools, _any_token)},
    "/v1/node/*/allocations": {"GET": Route(nodes.allocations, _reads("node"))},
    "/v1/node/*/drain": {"PUT": Route(nodes.drain, _writes("node"))},
    "/v1/node/*/eligibility": {"PUT": Route(nodes.eligibility, _writes("node"))},
    "/v1/node/*/evaluate": _UNSUPPORTED,
    "/v1/node/*/purge": _UNSUPPORTED,
    "/v1/node/*": {"GET": Route(nodes.node, _reads("node"))},
    "/v1/plugins": {"GET": Route(catalog.empty_list, _any_token)},
    "/v1/regions": {"GET": Route(agent.regions, _any_token)},
    "/v1/scaling/policies": {"GET": _EMPTY},
    "/v1/search": {"PUT": Route(catalog.search, _may_search)},
    "/v1/services": {"GET": _EMPTY},
    "/v1/status/leader": {"GET": Route(agent.leader, _any_token)},
    "/v1/status/peers": {"GET": Route(agent.peers, _any_token)},
    "/v1/system/gc": {"PUT": Route(agent.collect, _nobody)},
    "/v1/validate/job": {"PUT": Route(job_changes.validate, _may_in_jobs("read-job"))},
    "/v1/vars": {"GET": Route(variables.variables, _any_token)},
    "/v1/var/*": {
        "GET": Route(variables.read, _may_variable("read")),
        "PUT": Route(variables.put, _may_variable("write")),
        "DELETE": Route(variables.delete, _may_variable("destroy")),
    },
    "/v1/volumes": {"GET": Route(catalog.empty_list, _any_token)},
}
_OPEN = ("/v1/status/leader", "/v1/status/peers", "/v1/regions", "/v1/agent/health")
"""Paths that Nomad answers without a token."""
_LOCAL = ("/v1/agent/health", "/v1/agent/members", "/v1/agent/self", "/v1/client/stats", "/v1/regions")
"""Paths that a region answers itself, whatever region the request names."""
_ELSEWHERE = frozenset((
    "acl", "agent", "client", "deployment", "metrics", "operator", "plugin", "scaling", "search", "service", "system",
    "volume", "volumes",
))  # fmt: skip
"""Nomad's paths under these that the table lacks are refused by name."""


def _segment(path: str) -> str:
    return path.split("/", 3)[2] if path.startswith("/v1/") else ""


_BY_SEGMENT: dict[str, list[tuple[str, str, str]]] = {}
for _pattern in _TABLE:
    if "*" in _pattern:
        _prefix, _, _suffix = _pattern.partition("*")
        _BY_SEGMENT.setdefault(_segment(_pattern), []).append((_prefix, _suffix, _pattern))


def _ways(context: Context, request: Request) -> dict[str, Route]:
    """Finds the routes by method and sets the request's `name`. A job's ID may contain slashes, so ends are matched."""
    pattern, path = request.path, request.path
    if pattern not in _TABLE:
        for prefix, suffix, one in _BY_SEGMENT.get(_segment(path), ()):
            if path.startswith(prefix) and path.endswith(suffix) and len(path) >= len(prefix) + len(suffix):
                pattern, request.name = one, path[len(prefix) : len(path) - len(suffix)]
                break
    if pattern in _TABLE:
        return _TABLE[pattern]
    if _segment(path) in _ELSEWHERE or (path == "/v1/jobs/statuses" and context.config.answers_as >= JOB_STATUSES):
        return _UNSUPPORTED
    raise Failure(404, "", {})


def answer(context: Context, request: Request) -> Reply | Relay:
    """Answers one request. Raises Failure."""
    if request.path == _STREAM and context.config.answers_as >= SILENT_STREAM:
        try:
            return _answer(context, request)
        except Failure as failure:
            if failure.status in (400, 405):  # what is wrong with the request itself is told
                raise
            return event_stream.nothing()
    return _answer(context, request)


def _answer(context: Context, request: Request) -> Reply | Relay:
    ways = _ways(context, request)
    route = ways.get("PUT" if request.method == "POST" else request.method) or ways.get("*")
    if route is None:
        raise Failure(405, "Invalid method")
    region = request.get("region")
    if request.body and request.path.startswith(("/v1/job", "/v1/validate/")) and request.method in ("PUT", "POST"):
        region = job_region(request) or region
    if region and region != context.config.region and not _is_local(context, request):
        return forward(context, request, region)
    if request.path not in _OPEN:
        context.tokens.authenticate(request)
        if not request.rights.is_management and not route.allows(context, request):
            is_over = route.until is not None and context.config.answers_as >= route.until
            raise Failure(403 if is_over else route.refused_with, "Permission denied")
    return route.handle(context, request)


def _is_local(context: Context, request: Request) -> bool:
    """Returns whether this region answers itself. This includes requests about its own allocations."""
    if request.path in _LOCAL:
        return True
    return request.path.startswith("/v1/client/") and request.name in context.store.snapshot.allocs
