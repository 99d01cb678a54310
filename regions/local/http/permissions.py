"""Functions that decide whether a request's token may do what the request asks."""

from __future__ import annotations

from collections.abc import Callable

from regions.local.http.context import Context, namespace_of
from regions.local.http.messages import Request

Allows = Callable[[Context, Request], bool]


def may(*capabilities: str) -> Allows:
    """Requires one of these in the request's namespace."""
    return lambda _, request: request.rights.may(namespace_of(request), *capabilities)


def may_in_jobs(*capabilities: str) -> Allows:
    """Requires one of these in the namespace of the body's job. The query's namespace overrides the job's."""

    def allows(_: Context, request: Request) -> bool:
        job = request.json().get("Job") if request.body else None
        own = job.get("Namespace") if isinstance(job, dict) else None
        return request.rights.may(request.get("namespace") or str(own or "default"), *capabilities)

    return allows


def may_in(table: str, *capabilities: str) -> Allows:
    """Requires one of these in the namespace of the object in the path, or the request's where there is none."""

    def allows(context: Context, request: Request) -> bool:
        found = getattr(context.store.snapshot, table).get(request.name)
        return request.rights.may(found["Namespace"] if found else namespace_of(request), *capabilities)

    return allows


def may_variable(capability: str) -> Allows:
    return lambda _, request: request.rights.may_variable(namespace_of(request), request.name, capability)


def may_deregister(_: Context, request: Request) -> bool:
    finer = () if request.flag("purge") else ("deregister-job",)
    return request.rights.may(namespace_of(request), "submit-job", "purge-job", *finer)


def may_search(_: Context, request: Request) -> bool:
    return request.rights.may(namespace_of(request), "list-jobs", "read-job") or request.rights.may_read("node")


def may_follow(_: Context, request: Request) -> bool:
    def may_see(topic: str) -> bool:
        if topic in ("Deployment", "Evaluation", "Allocation", "Job", "Service"):
            return request.rights.may(namespace_of(request), "read-job")
        return topic == "Node" and request.rights.may_read("node")

    return all(may_see(text.partition(":")[0]) for text in request.query.get("topic", ["*"]))


def reads(area: str) -> Allows:
    return lambda _, request: request.rights.may_read(area)


def writes(area: str) -> Allows:
    return lambda _, request: request.rights.may_write(area)


def may_read_pool(_: Context, request: Request) -> bool:
    return request.rights.may_read_pool(request.name)


def any_token(_: Context, _request: Request) -> bool:
    """Allows any token. The handler chooses what it sees."""
    return True


def nobody(_: Context, _request: Request) -> bool:
    """Allows only the region's own token."""
    return False
