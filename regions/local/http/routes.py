"""A request enters, is authenticated, sent on to another region where it asks for one, and answered by its handler."""

from __future__ import annotations

import socket
from collections.abc import Callable
from urllib.parse import quote, urlsplit

from regions.local.http import (
    agent,
    allocations,
    catalog,
    event_stream,
    files,
    hurting,
    job_changes,
    jobs,
    nodes,
    variables,
)
from regions.local.http.access import check
from regions.local.http.context import Context, namespace_of
from regions.local.http.messages import Failure, Relay, Reply, Request
from regions.local.http.older import without

Handle = Callable[[Context, Request], Reply]
_CONNECT_S = 3.0

_EXACT: dict[str, Handle] = {
    "/v1/acl/token/self": catalog.token_self,
    "/v1/agent/health": agent.health,
    "/v1/agent/members": agent.members,
    "/v1/agent/self": agent.self_,
    "/v1/allocations": allocations.allocations,
    "/v1/client/stats": nodes.host_stats,
    "/v1/deployments": catalog.empty_list,
    "/v1/evaluations": allocations.evaluations,
    "/v1/event/stream": event_stream.events,
    "/v1/jobs": jobs.jobs,
    "/v1/jobs/parse": job_changes.parse,
    "/v1/namespaces": catalog.namespaces,
    "/v1/node/pools": catalog.pools,
    "/v1/nodes": nodes.nodes,
    "/v1/operator/scheduler/configuration": catalog.scheduler_configuration,
    "/v1/plugins": catalog.empty_list,
    "/v1/regions": agent.regions,
    "/v1/scaling/policies": catalog.empty_list,
    "/v1/search": catalog.search,
    "/v1/services": catalog.empty_list,
    "/v1/status/leader": agent.leader,
    "/v1/status/peers": agent.peers,
    "/v1/system/gc": agent.collect,
    "/v1/validate/job": job_changes.validate,
    "/v1/vars": variables.variables,
    "/v1/volumes": catalog.empty_list,
}
_PREFIXES: dict[str, Handle] = {
    "/v1/job/": jobs.job,
    "/v1/allocation/": allocations.allocation,
    "/v1/evaluation/": allocations.evaluation,
    "/v1/node/": nodes.node,
    "/v1/client/fs/": files.files,
    "/v1/client/allocation/": files.tasks,
    hurting.PREFIX: hurting.hurting,
    "/v1/namespace/": catalog.namespace,
    "/v1/var/": variables.variable,
}
_WITH_JOB = (jobs.jobs, jobs.job, job_changes.validate)
_OPEN = ("/v1/status/leader", "/v1/status/peers", "/v1/regions", "/v1/agent/health")
"""What Nomad answers without a token."""
_LOCAL = ("/v1/agent/health", "/v1/agent/members", "/v1/agent/self", "/v1/client/stats", "/v1/regions")
_ELSEWHERE = (
    "acl",
    "agent",
    "client",
    "deployment",
    "metrics",
    "namespace",
    "operator",
    "plugin",
    "scaling",
    "search",
    "service",
    "system",
    "volume",
    "volumes",
)


def answer(context: Context, request: Request) -> Reply | Relay:
    """The whole way of one request. Raises Failure."""
    handler = _EXACT.get(request.path)
    if handler is None:
        handler = next((one for prefix, one in _PREFIXES.items() if request.path.startswith(prefix)), None)
    if handler in (variables.variables, variables.variable) and not context.config.has(*variables.SINCE):
        raise Failure(404, "", {})
    if handler is None:
        parts = request.path.split("/")
        is_nomads = len(parts) > 2 and parts[1] == "v1" and parts[2] in _ELSEWHERE
        if is_nomads or (request.path == "/v1/jobs/statuses" and context.config.has(1, 8)):
            raise Failure(501, f"{request.path} is not supported by this development engine")
        raise Failure(404, "", {})
    region = request.get("region")
    if handler in _WITH_JOB and request.body and request.method in ("PUT", "POST"):
        region = _job_region(request) or region
    if region and region != context.config.region and not _is_local(context, request):
        return _forward(context, request, region)
    if request.path not in _OPEN and (request.path != "/v1/jobs/parse" or context.config.has(1, 1, 12)):
        _authenticate(context, request)
        check(request, request.rights, namespace_of(request), context.store.snapshot)
    reply = handler(context, request)
    if context.missing and isinstance(reply.body, (dict, list)):
        reply.body = without(reply.body, context.missing)
    return reply


def _is_local(context: Context, request: Request) -> bool:
    """What Nomad answers itself whatever region the request names: about the agent, and about an allocation it runs."""
    if request.path in _LOCAL:
        return True
    if not request.path.startswith("/v1/client/"):
        return False
    return any(context.store.snapshot.allocs.get(part) is not None for part in request.path.split("/")[4:])


def _authenticate(context: Context, request: Request) -> None:
    token = request.headers.get("x-nomad-token", "")
    if not token:
        scheme, _, credential = request.headers.get("authorization", "").partition(" ")
        token = credential.strip() if scheme.lower() == "bearer" else ""
    if found := context.tokens.find(token):
        request.token, request.rights = found
        return
    if request.path == "/v1/acl/token/self":
        raise (
            Failure(404, "ACL token not found") if token else Failure(500, "acl token lookup failed: missing secret id")
        )
    # From 1.5 on, only the agent's own endpoints still tell a wrong token from none.
    told_apart = token and (request.path.startswith("/v1/agent/") or not context.config.has(1, 5))
    raise Failure(403, "ACL token not found" if told_apart else "Permission denied")


def _job_region(request: Request) -> str:
    """The region that the body asks for; the job's own counts only where neither body nor query names another."""
    body = request.json()
    if isinstance(body.get("Region"), str) and body["Region"]:
        return str(body["Region"])
    job = body.get("Job")
    region = job.get("Region") if isinstance(job, dict) and not request.get("region") else None
    return region if isinstance(region, str) and region != "global" else ""


def _forward(context: Context, request: Request, region: str) -> Relay:
    url = context.config.peers.get(region)
    if url is None:
        raise Failure(500, "No path to region")
    address = urlsplit(url)
    target = request.raw
    if request.get("region") != region:
        # The first value of a parameter is the one that counts.
        path, _, query = target.partition("?")
        target = f"{path}?region={quote(region)}" + (f"&{query}" if query else "")
    try:
        connection = socket.create_connection((address.hostname, address.port), timeout=_CONNECT_S)
        connection.settimeout(None)
        if address.scheme == "https":
            import ssl

            authority = ssl.create_default_context(cafile=context.config.tls.get("ca_file"))
            connection = authority.wrap_socket(connection, server_hostname=address.hostname)
        headers = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
        headers |= {"connection": "close", "content-length": str(len(request.body)), "host": address.netloc}
        lines = [f"{request.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + request.body)
    except OSError as error:
        raise Failure(
            500, f"rpc error: failed to get conn: dial tcp {address.netloc}: {error.strerror or error}"
        ) from error
    return Relay(connection)


_HOP_BY_HOP = ("connection", "content-length", "expect", "host", "keep-alive", "transfer-encoding")
