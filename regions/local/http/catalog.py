"""Endpoints about namespaces, node pools, the request's token, and search by prefix."""

from __future__ import annotations

from regions.local.http.context import Context, blocking, check_id, listing, namespace_of
from regions.local.http.messages import Failure, Reply, Request
from regions.local.state.snapshot import Record

_SEARCHED = (
    "allocs", "jobs", "nodes", "node_pools", "evals", "deployment", "plugins", "volumes", "scaling_policy", "vars",
    "namespaces",
)  # fmt: skip
_POOLS = {"all": "Node pool with all nodes in the cluster.", "default": "Default node pool."}
_SEARCH_LIMIT = 20


def namespaces(context: Context, request: Request) -> Reply:
    """/v1/namespaces, as they are declared"""
    prefix = request.get("prefix")
    found = [_namespace(context, name) for name in sorted(context.config.namespaces) if name.startswith(prefix)]
    found = [one for one in found if request.rights.may_any(one["Name"])]
    return blocking(context, request, lambda _state: 1, lambda _state: found)


def namespace(context: Context, request: Request) -> Reply:
    """/v1/namespace/:name"""
    name = request.name
    if name not in context.config.namespaces:
        raise Failure(404, "Namespace not found")
    return blocking(context, request, lambda _state: 1, lambda _state: _namespace(context, name))


def _namespace(context: Context, name: str) -> Record:
    from base64 import b64encode  # loaded on first use, so that start-up is quick
    from hashlib import blake2b

    text = context.config.namespaces[name]
    found = {
        "Capabilities": None,
        "CreateIndex": 1,
        "Description": text,
        "Hash": b64encode(blake2b(f"{name}{text}".encode(), digest_size=32).digest()).decode(),
        "Meta": None,
        "ModifyIndex": 1,
        "Name": name,
        "NodePoolConfiguration": None,
        "Quota": "",
    }
    return context.shown.namespace(found)


def token_self(_context: Context, request: Request) -> Reply:
    """/v1/acl/token/self"""
    return Reply(request.token, index=1)


def pools(context: Context, request: Request) -> Reply:
    """/v1/node/pools"""
    prefix = request.get("prefix")
    found = [
        _pool(context, name)
        for name in context.config.pools
        if name.startswith(prefix) and request.rights.may_read_pool(name)
    ]
    return listing(context, request, (), lambda _state: found, lambda _state, one: one, lambda one: str(one["Name"]))


def pool(context: Context, request: Request) -> Reply:
    """/v1/node/pool/:name"""
    if request.name not in context.config.pools:
        raise Failure(404, "node pool not found")
    return blocking(context, request, lambda _state: 1, lambda _state: _pool(context, request.name))


def _pool(context: Context, name: str) -> Record:
    fixed: Record = {"CreateIndex": 1, "Hash": None, "Meta": None, "ModifyIndex": 1, "SchedulerConfiguration": None}
    if context.config.answers_as >= (1, 11):
        fixed["NodeIdentityTTL"] = 24 * 3600 * 10**9
    return {**fixed, "Description": _POOLS.get(name, ""), "Name": name}


def search(context: Context, request: Request) -> Reply:
    """/v1/search: objects by the beginning of their ID"""
    prefix, wanted = request.field("Prefix", str, ""), request.field("Context", str, "")
    searched = (*_SEARCHED, "host_volumes") if context.config.answers_as >= (1, 10) else _SEARCHED
    if wanted != "all" and wanted not in searched:
        raise Failure(
            500,
            f"context must be one of [{' '.join(searched)}] or 'all' for all contexts; got \"{wanted}\"",
        )
    state = context.store.snapshot
    contexts = searched if wanted == "all" else (wanted,)
    matches: dict[str, list[str] | None] = {}
    truncated = {}
    for name in contexts:
        found = _matches(context, namespace_of(request), name, prefix)
        matches[name] = found[:_SEARCH_LIMIT] or None
        truncated[name] = len(found) > _SEARCH_LIMIT
    reply = {
        "Index": state.index,
        "KnownLeader": True,
        "LastContact": 0,
        "Matches": matches,
        "NextToken": "",
        "Truncations": truncated,
    }
    return Reply(reply, index=state.index)


def empty_list(_context: Context, request: Request) -> Reply:
    """Endpoints of objects that never exist here: an empty list is correct."""
    return Reply([], index=1)


def no_deployments(context: Context, request: Request) -> Reply:
    """/v1/deployments: none, because batch jobs have none"""
    return listing(context, request, (), lambda _state: (), lambda _state, one: one, str)


def no_deployment(_context: Context, request: Request) -> Reply:
    """/v1/deployment/:id"""
    if not request.name:
        raise Failure(500, "missing deployment ID")
    check_id("deployment", request.name)
    raise Failure(404, "deployment not found")


def no_licence(_context: Context, _request: Request) -> Reply:
    """/v1/operator/license: nothing, as of an open-source server"""
    reply = Reply(b"")
    reply.status = 204
    return reply


def of_csi(context: Context, request: Request) -> Reply:
    """/v1/volumes, /v1/plugins: no list where the type asked for is none that Nomad knows"""
    known = ("csi", "host") if context.config.answers_as >= (1, 10) and request.path == "/v1/volumes" else ("csi",)
    return Reply([], index=1) if request.get("type", "csi") in known else Reply(b"")


def _matches(context: Context, namespace: str, name: str, prefix: str) -> list[str]:
    state = context.store.snapshot
    if name == "namespaces":
        return [one for one in sorted(context.config.namespaces) if one.startswith(prefix)]
    if name == "node_pools":
        return [one for one in context.config.pools if one.startswith(prefix)]
    if name == "jobs":
        pairs = state.jobs.items((namespace, prefix))
    elif name in ("allocs", "evals", "nodes"):
        pairs = getattr(state, name).items(prefix)
    else:
        return []
    found: list[str] = []
    for key, record in pairs:
        elsewhere = name == "jobs" and key[0] != namespace
        if elsewhere or not str(record["ID"]).startswith(prefix) or len(found) > _SEARCH_LIMIT:
            break
        found.append(record["ID"])
    return found
