"""Endpoints that hurt this region on purpose (under /v1/fedml/, which Nomad doesn't use).

They also answer while the region is cut, and only with the region's own token.
"""

from __future__ import annotations

from regions.local.http.context import Context
from regions.local.http.messages import Failure, Reply, Request

PREFIX = "/v1/fedml/"


def hurting(context: Context, request: Request) -> Reply:
    """GET /v1/fedml/hurt; PUT /v1/fedml/node/:name `{"Do": kill | pause | restore}`, /v1/fedml/region `{"Do": cut |
    restore}`, /v1/fedml/faults `{"ForgottenTokens": N, "LostEvaluations": N}`: so many of the next dispatches."""
    what, _, name = request.path.removeprefix(PREFIX).partition("/")
    if what == "hurt" and not name:
        request.only("GET")
    elif what == "node" and name:
        _node(context, name, _order(request))
    elif what == "region" and not name:
        _region(context, _order(request))
    elif what == "faults" and not name:
        request.only("PUT", "POST")
        context.faults.forgotten_tokens = request.field("ForgottenTokens", int, 0)
        context.faults.lost_evaluations = request.field("LostEvaluations", int, 0)
    else:
        raise Failure(404, "", {})
    return Reply({"IsCut": context.faults.is_cut, "Nodes": context.heartbeats.hurt})


def _order(request: Request) -> str:
    request.only("PUT", "POST")
    return str(request.json().get("Do"))


def _node(context: Context, name: str, order: str) -> None:
    node = next((one for one in context.store.snapshot.nodes.values() if one["Name"] == name), None)
    if node is None:
        raise Failure(404, f"no node {name}")
    if order in ("kill", "pause"):
        context.heartbeats.silence(node, {"kill": "killed", "pause": "paused"}[order])
    elif order == "restore":
        context.heartbeats.restore(node)
    else:
        raise Failure(400, f'"{order}" is not a valid order for a node')


def _region(context: Context, order: str) -> None:
    if order == "cut":
        context.faults.cut()
    elif order == "restore":
        context.faults.mend()
    else:
        raise Failure(400, f'"{order}" is not a valid order for a region')
