"""Routes requests: authenticates them, forwards those for another region, and calls their handler.

The table has the handler of each path and method, and the right that Nomad requires.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

from regions.local.http import (
    agent,
    allocations,
    catalog,
    event_stream,
    fault_api,
    files,
    job_changes,
    job_specs,
    jobs,
    logs,
    nodes,
    permissions,
    variables,
)
from regions.local.http.context import Context
from regions.local.http.forwarding import forward, job_region
from regions.local.http.messages import Failure, Relay, Reply, Request
from regions.local.http.refused import ENTERPRISE, LATER, NOT_SUPPORTED
from regions.local.nomad_version import LOGS_FORBIDDEN, SILENT_STREAM, NomadVersion

Handle = Callable[[Context, Request], Reply]


class Route(NamedTuple):
    """A handler and its right; None: Nomad answers without a token.

    `refused_with`: the status of a refusal where Nomad asks the client with the files; `until`: up to which version.
    """

    handle: Handle
    allows: permissions.Allows | None
    refused_with: int = 403
    until: NomadVersion | None = None


def _not_supported(_: Context, request: Request) -> Reply:
    raise Failure(501, f"{request.path} is not supported by this development engine")


def _always(status: int, text: str, allows: permissions.Allows | None = None) -> Route:
    """Makes the route of what never exists here, or nowhere."""

    def fail(_: Context, _request: Request) -> Reply:
        raise Failure(status, text)

    return Route(fail, allows)


_any_token = permissions.any_token
_read_job, _read_node = permissions.may("read-job"), permissions.reads("node")
_of_alloc, _read_fs = permissions.may_in("allocs", "read-job"), permissions.may_in("allocs", "read-fs")
_read_logs = permissions.may_in("allocs", "read-fs", "read-logs")
_run_alloc = permissions.may_in("allocs", "alloc-lifecycle")
_register = permissions.may_in_jobs("submit-job", "register-job")
_STREAM = "/v1/event/stream"
_EMPTY = Route(catalog.empty_list, _read_job)
_ENTERPRISE = _always(501, "Nomad Enterprise only endpoint")
_NO_METHOD = _always(405, "Invalid method")
_NO_METHOD_FOUND, _NO_RESOURCE = _always(404, "Invalid method"), _always(404, "resource not found")
_TABLE: dict[str, dict[str, Route]] = {
    "/v1/acl/policy/": {"*": _always(400, "Missing Policy Name")},
    "/v1/acl/token/": {"*": _always(400, "Missing Token Accessor")},
    "/v1/acl/token/self": {"GET": Route(catalog.token_self, _any_token)},
    "/v1/agent/health": {"GET": Route(agent.health, None)},
    "/v1/agent/keyring/*": {"*": _NO_RESOURCE},
    "/v1/agent/members": {"GET": Route(agent.members, _read_node)},
    "/v1/agent/self": {"GET": Route(agent.self_, permissions.reads("agent"))},
    "/v1/allocations": {"GET": Route(allocations.allocations, _read_job)},
    "/v1/allocation/*/*": {"*": _NO_RESOURCE},
    "/v1/allocation/*/checks": {"*": Route(files.checks, _of_alloc)},
    "/v1/allocation/*/services": {"GET": Route(allocations.services, _of_alloc)},
    "/v1/allocation/*/stop": {"PUT": Route(allocations.stop, _run_alloc)},
    "/v1/allocation/*": {"GET": Route(allocations.allocation, _of_alloc)},
    "/v1/client/allocation/*": {"*": _NO_RESOURCE},
    "/v1/client/allocation/*/checks": {"*": Route(files.checks, _of_alloc)},
    "/v1/client/allocation/*/restart": {"*": Route(files.restart, _run_alloc)},
    "/v1/client/allocation/*/stats": {"*": Route(files.usage, _of_alloc)},
    "/v1/client/fs/*": {"*": _NO_METHOD_FOUND},
    "/v1/client/fs/cat/*": {"*": Route(files.cat, _read_fs, 200)},
    "/v1/client/fs/logs/*": {"*": Route(logs.logs, _read_logs, 500, LOGS_FORBIDDEN)},
    "/v1/client/fs/ls/*": {"*": Route(files.ls, _read_fs)},
    "/v1/client/fs/readat/*": {"*": Route(files.readat, _read_fs, 200)},
    "/v1/client/fs/stat/*": {"*": Route(files.stat, _read_fs)},
    "/v1/client/fs/stream/*": {"*": Route(logs.follow, _read_fs, 500, LOGS_FORBIDDEN)},
    "/v1/client/stats": {"*": Route(nodes.host_stats, _read_node)},
    "/v1/deployments": {"GET": Route(catalog.no_deployments, _read_job)},
    "/v1/deployment/allocations/*": {"GET": _EMPTY},
    "/v1/deployment/*": {"GET": Route(catalog.no_deployment, _read_job)},
    "/v1/evaluations": {"GET": Route(allocations.evaluations, _read_job)},
    "/v1/evaluations/count": {"GET": Route(allocations.count_evaluations, _read_job)},
    "/v1/evaluation/*/allocations": {"GET": Route(allocations.of_evaluation, permissions.may_in("evals", "read-job"))},
    "/v1/evaluation/*": {"GET": Route(allocations.evaluation, permissions.may_in("evals", "read-job"))},
    _STREAM: {"GET": Route(event_stream.events, permissions.may_follow, 500)},
    f"{fault_api.PREFIX}*": {"*": Route(fault_api.hurting, permissions.nobody)},
    "/v1/jobs": {
        "GET": Route(jobs.jobs, permissions.may("list-jobs")),
        "PUT": Route(job_changes.register, _register),
    },
    "/v1/jobs/parse": {"PUT": Route(job_specs.parse, permissions.may("parse-job", "submit-job"))},
    "/v1/job/*/allocations": {"GET": Route(jobs.allocations, _read_job)},
    "/v1/job/*/deployment": {"GET": Route(jobs.deployment, _read_job)},
    "/v1/job/*/deployments": {"GET": _EMPTY},
    "/v1/job/*/dispatch": {"PUT": Route(job_changes.dispatch, permissions.may("dispatch-job"))},
    "/v1/job/*/evaluate": {"PUT": Route(job_changes.evaluate, permissions.may("submit-job", "evaluate-job"))},
    "/v1/job/*/evaluations": {"GET": Route(jobs.evaluations, _read_job)},
    "/v1/job/*/plan": {"PUT": Route(job_changes.plan, permissions.may_in_jobs("submit-job", "plan-job"))},
    "/v1/job/*/services": {"GET": Route(jobs.services, _read_job)},
    "/v1/job/*/submission": {"*": Route(jobs.submission, _read_job)},
    "/v1/job/*/summary": {"*": Route(jobs.summary, _read_job)},
    "/v1/job/*/versions": {"*": Route(jobs.versions, _read_job)},
    "/v1/job/*": {
        "GET": Route(jobs.job, _read_job),
        "PUT": Route(job_changes.register, _register),
        "DELETE": Route(job_changes.deregister, permissions.may_deregister),
    },
    "/v1/namespaces": {"GET": Route(catalog.namespaces, _any_token)},
    "/v1/namespace/": {"*": _always(400, "Missing Namespace Name")},
    "/v1/namespace/*": {"GET": Route(catalog.namespace, lambda _, request: request.rights.may_any(request.name))},
    "/v1/nodes": {"GET": Route(nodes.nodes, _read_node)},
    "/v1/node/pools": {"GET": Route(catalog.pools, _any_token)},
    "/v1/node/pool/*/jobs": {"GET": Route(jobs.in_pool, permissions.may_read_pool)},
    "/v1/node/pool/*/nodes": {
        "GET": Route(nodes.in_pool, lambda c, request: _read_node(c, request) and permissions.may_read_pool(c, request))
    },
    "/v1/node/pool/*": {"GET": Route(catalog.pool, permissions.may_read_pool)},
    "/v1/node/*/allocations": {"GET": Route(nodes.allocations, _read_node)},
    "/v1/node/*/drain": {"PUT": Route(nodes.drain, permissions.writes("node"))},
    "/v1/node/*/eligibility": {"PUT": Route(nodes.eligibility, permissions.writes("node"))},
    "/v1/node/*": {"GET": Route(nodes.node, _read_node)},
    "/v1/operator/autopilot/configuration": {"POST": _NO_METHOD_FOUND, "*": _NO_METHOD_FOUND},
    "/v1/operator/autopilot/health": {"*": _NO_METHOD_FOUND},
    "/v1/operator/keyring/*": {},
    "/v1/operator/license": {"GET": Route(catalog.no_licence, None), "PUT": _ENTERPRISE, "POST": _NO_METHOD},
    "/v1/operator/raft/configuration": {"*": _always(405, "")},
    "/v1/operator/raft/*": {"*": _NO_METHOD_FOUND},
    "/v1/operator/raft/peer": {"*": _NO_METHOD_FOUND},
    "/v1/plugins": {"GET": Route(catalog.of_csi, _any_token)},
    "/v1/plugin/csi/": {"GET": _always(500, "missing plugin ID", _any_token)},
    "/v1/plugin/csi/*": {"GET": _always(404, "plugin not found", _any_token)},
    "/v1/regions": {"GET": Route(agent.regions, None)},
    "/v1/scaling/policies": {"GET": _EMPTY},
    "/v1/scaling/policy/*": {"GET": _always(404, "policy not found", _any_token)},
    "/v1/search": {"PUT": Route(catalog.search, permissions.may_search)},
    "/v1/services": {"GET": _EMPTY},
    "/v1/service/": {"GET": _always(400, "missing service name")},
    "/v1/service/*": {"GET": _EMPTY},
    "/v1/status/leader": {"GET": Route(agent.leader, None)},
    "/v1/status/peers": {"GET": Route(agent.peers, None)},
    "/v1/system/gc": {"PUT": Route(agent.collect, permissions.nobody), "POST": _NO_METHOD},
    "/v1/system/reconcile/summaries": {"POST": _NO_METHOD},
    "/v1/validate/job": {"PUT": Route(job_specs.validate, permissions.may_in_jobs("read-job"))},
    "/v1/vars": {"GET": Route(variables.variables, _any_token)},
    "/v1/var/": {"*": _always(400, "missing variable path")},
    "/v1/var/*": {
        "GET": Route(variables.read, permissions.may_variable("read")),
        "PUT": Route(variables.put, permissions.may_variable("write")),
        "DELETE": Route(variables.delete, permissions.may_variable("destroy")),
        "*": _always(400, "Invalid method"),
    },
    "/v1/volumes": {"GET": Route(catalog.of_csi, _any_token)},
    "/v1/volume/csi/": {"GET": _always(500, "missing volume ID", _any_token), "POST": _NO_METHOD},
    "/v1/volume/csi/*/create": {"DELETE": _NO_RESOURCE, "POST": _NO_METHOD},
    "/v1/volume/csi/*/delete": {"PUT": _NO_RESOURCE, "POST": _NO_METHOD},
    "/v1/volume/csi/*/detach": {"PUT": _NO_RESOURCE, "POST": _NO_METHOD},
    "/v1/volume/csi/*/*": {"PUT": _NO_RESOURCE, "POST": _NO_METHOD, "DELETE": _NO_RESOURCE},
    "/v1/volume/csi/*": {"GET": _always(404, "volume not found", _any_token), "POST": _NO_METHOD},
    **{path: {"*": _ENTERPRISE} for path in ENTERPRISE},
}
for _path, _methods in NOT_SUPPORTED.items():
    _refused = {method: Route(_not_supported, _any_token) for method in _methods.split()}
    _TABLE[_path] = _refused | _TABLE.get(_path, {}) | _refused


def _segment(path: str) -> str:
    return path.split("/", 3)[2] if path.startswith("/v1/") else ""


_BY_SEGMENT: dict[str, list[tuple[re.Pattern[str], str]]] = {}
"""The patterns of each first segment, the closest first. A job's ID may contain slashes, so ends are matched."""
for _path in sorted((*_TABLE, *LATER), key=lambda one: (len(one.partition("*")[0]), len(one)), reverse=True):
    if "*" in _path:
        _regex = re.compile(re.escape(_path).replace(r"\*", "(.*)"), re.DOTALL)
        _BY_SEGMENT.setdefault(_segment(_path), []).append((_regex, _path))
_LOCAL = ("/v1/agent/health", "/v1/agent/members", "/v1/agent/self", "/v1/client/stats", "/v1/regions")
"""Paths that a region answers itself, whatever region the request names."""


def _ways(context: Context, request: Request) -> dict[str, Route]:
    """Finds the routes by method and sets the request's `name`."""
    path = request.path
    if "*" not in path and (path in _TABLE or path in LATER):
        found = [(path, "")]
    else:
        matches = ((regex.fullmatch(path), pattern) for regex, pattern in _BY_SEGMENT.get(_segment(path), ()))
        found = [(pattern, match[1]) for match, pattern in matches if match]
    for pattern, name in found:
        request.name = name
        if pattern in _TABLE:
            return _TABLE[pattern]
        methods, since = LATER[pattern]
        if context.config.answers_as >= since:
            return {method: Route(_not_supported, _any_token) for method in methods.split()}
    raise Failure(404, "", {})


def answer(context: Context, request: Request) -> Reply | Relay:
    """Answers one request. Raises Failure. Reads the body only after the token was recognized."""
    if request.path == _STREAM and context.config.answers_as >= SILENT_STREAM:
        try:
            return _answer(context, request)
        except Failure as failure:
            if failure.status in (400, 405):  # what is wrong with the request itself is told
                raise
            return event_stream.nothing()
    return _answer(context, request)


def _answer(context: Context, request: Request) -> Reply | Relay:
    _check_path(context, request)
    ways = _ways(context, request)
    route = ways.get(request.method) or (ways.get("PUT") if request.method == "POST" else None) or ways.get("*")
    if route is None:
        raise Failure(405, "Invalid method")
    region = request.get("region")
    try:
        if route.allows is not None:
            context.tokens.authenticate(request)
    except Failure:
        if not _is_elsewhere(context, request, region):
            raise
        return forward(context, request, region)  # which may know the token
    if request.method in ("PUT", "POST") and request.path.startswith(("/v1/job", "/v1/validate/")) and request.body:
        region = job_region(request) or region
    if _is_elsewhere(context, request, region):
        return forward(context, request, region)
    if route.allows is not None and not request.rights.is_management and not route.allows(context, request):
        is_over = route.until is not None and context.config.answers_as >= route.until
        raise Failure(403 if is_over else route.refused_with, "Permission denied")
    return route.handle(context, request)


def _check_path(context: Context, request: Request) -> None:
    """Sends a path with empty or dotted segments to the clean one, as Go's servers do."""
    path = request.path
    clean = posixpath.normpath("/" + path.lstrip("/")) + ("/" if path.endswith("/") and path.strip("/") else "")
    if path != clean:
        target = quote(clean, safe="/:@!$&'()*+,;=~") + (
            "?" + request.raw.partition("?")[2] if "?" in request.raw else ""
        )
        headers = {"Content-Type": "text/html; charset=utf-8", "Location": target}
        status, words = (307, "Temporary Redirect") if context.config.answers_as >= (2,) else (301, "Moved Permanently")
        body = f'<a href="{target}">{words}</a>.\n\n' if request.method in ("GET", "HEAD") else ""
        raise Failure(status, body, headers)


def _is_elsewhere(context: Context, request: Request, region: str) -> bool:
    """Returns whether another region answers. Not if it is about this region's agent or its own allocations."""
    if not region or region == context.config.region or request.path in _LOCAL:
        return False
    return not (request.path.startswith("/v1/client/") and request.name in context.store.snapshot.allocs)
