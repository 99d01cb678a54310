"""A request and the rights of its token enter; it may go on, or Nomad's refusal is raised."""

from __future__ import annotations

from typing import Any

from regions.local.config import RegionConfig
from regions.local.http.messages import Failure, Request
from regions.local.http.rights import MANAGEMENT, Rights, read_policy
from regions.local.state.snapshot import Record, Snapshot

_READ_JOB = "read-job"
_JOB_PARTS = {
    "/plan": "submit-job",
    "/dispatch": "dispatch-job",
    "/revert": "submit-job",
    "/stable": "submit-job",
    "/scale": "scale-job",
    "/periodic/force": "submit-job",
}
"""What a part of a job's path needs; the others only read, `evaluate` too."""

_REFUSED_WITH = {"cat": 200, "logs": 500, "readat": 200, "stream": 500}
"""By the status that Nomad has sent when it asks the client that has the files."""


class Tokens:
    """All tokens of a region: its own, which may do all, and those declared with policies. Raises InvalidPolicy."""

    def __init__(self, config: RegionConfig) -> None:
        self._known: list[tuple[bytes, Record, Rights]] = [
            (config.token.encode(), _record("Bootstrap Token", config.token, None), MANAGEMENT)
        ]
        for number, declared in enumerate(config.tokens, start=1):
            policies = [read_policy(text, name) for name, text in declared.policies.items()]
            record = _record(declared.name, declared.secret, sorted(declared.policies), number)
            self._known.append((declared.secret.encode(), record, Rights(policies)))

    def find(self, secret: str) -> tuple[Record, Rights] | None:
        """The token's public record and its rights; in a time that tells nothing about the secrets."""
        import hmac  # loaded with the first request, so that start-up is quick

        found = None
        for known, record, rights in self._known:
            if hmac.compare_digest(secret.encode(), known):
                found = record, rights
        return found if secret else None


def _record(name: str, secret: str, policies: list[str] | None, number: int = 0) -> Record:
    return {
        "AccessorID": f"00000000-0000-0000-{number:04d}-000000000fed",
        "CreateIndex": 1,
        "CreateTime": "1970-01-01T00:00:00Z",
        "ExpirationTTL": "",
        "ExpirationTime": None,
        "Global": True,
        "Hash": None,
        "ModifyIndex": 1,
        "Name": name,
        "Policies": policies,
        "Roles": None,
        "SecretID": secret,
        "Type": "management" if policies is None else "client",
    }


def check(request: Request, rights: Rights, namespace: str, state: Snapshot) -> None:
    """Raises Failure (403, but for files) where the token may not ask that. What lists hold is chosen by their handlers."""
    if not rights.is_management and not _is_allowed(request, rights, namespace, state):
        what = request.path.split("/")[4] if request.path.startswith("/v1/client/fs/") else ""
        raise Failure(_REFUSED_WITH.get(what, 403), "Permission denied")


def _is_allowed(request: Request, rights: Rights, namespace: str, state: Snapshot) -> bool:
    parts = request.path.split("/")[2:]
    is_read = request.method == "GET"
    match parts[0]:
        case "jobs" if parts[1:] == ["parse"]:
            return rights.may(namespace, "parse-job", "submit-job")
        case "jobs":
            return rights.may(namespace, "list-jobs") if is_read else rights.may(_job_namespace(request), "submit-job")
        case "validate":
            return rights.may(_job_namespace(request), _READ_JOB)
        case "job":
            return _job(request, rights, namespace)
        case "allocations" | "evaluations" | "deployments" | "scaling" | "services":
            return rights.may(namespace, _READ_JOB)
        case "volumes" | "plugins":
            return True
        case "allocation":
            needed = _READ_JOB if is_read else "alloc-lifecycle"
            return rights.may(_namespace_in(state.allocs, parts[1:], namespace), needed)
        case "evaluation":
            return rights.may(_namespace_in(state.evals, parts[1:], namespace), _READ_JOB)
        case "client":
            return _client(rights, parts, namespace, state)
        case "nodes":
            return rights.may_read("node")
        case "node" if parts[1:] == ["pools"]:
            return True
        case "node":
            return rights.may_read("node") if is_read else rights.may_write("node")
        case "agent" if parts[1:] == ["members"]:
            return rights.may_read("node")
        case "agent":
            return rights.may_read("agent") if is_read else rights.may_write("agent")
        case "operator":
            return rights.may_read("operator") if is_read else rights.may_write("operator")
        case "event":
            return all(_topic(rights, text.partition(":")[0], namespace) for text in request.query.get("topic", ["*"]))
        case "namespaces" | "vars":
            return True
        case "namespace":
            return is_read and rights.may_any(parts[1])
        case "search":
            return rights.may(namespace, "list-jobs", _READ_JOB) or rights.may_read("node")
        case "var":
            capability = {"GET": "read", "DELETE": "destroy"}.get(request.method, "write")
            return rights.may_variable(namespace, "/".join(parts[1:]), capability)
        case "acl":
            return True
    return False


def _job(request: Request, rights: Rights, namespace: str) -> bool:
    if request.method == "GET":
        return rights.may(namespace, _READ_JOB)
    if request.method == "DELETE":
        return rights.may(namespace, "submit-job")
    if request.path.endswith("/evaluate"):
        return rights.may(namespace, _READ_JOB)
    needed = next((one for suffix, one in _JOB_PARTS.items() if request.path.endswith(suffix)), None)
    if needed is None:
        return rights.may(_job_namespace(request), "submit-job")
    if needed == "scale-job":
        return rights.may(namespace, needed, "submit-job")
    return rights.may(_job_namespace(request) if request.path.endswith("/plan") else namespace, needed)


def _client(rights: Rights, parts: list[str], namespace: str, state: Snapshot) -> bool:
    if parts[1] == "stats":
        return rights.may_read("node")
    where = _namespace_in(state.allocs, parts[2:], namespace)
    if parts[1] == "fs":
        return rights.may(where, "read-fs", *(["read-logs"] if parts[2:3] == ["logs"] else []))
    needed = {"restart": "alloc-lifecycle", "signal": "alloc-lifecycle", "exec": "alloc-exec", "gc": "submit-job"}
    return rights.may(where, needed.get(parts[-1], _READ_JOB))


def _topic(rights: Rights, topic: str, namespace: str) -> bool:
    if topic in ("Deployment", "Evaluation", "Allocation", "Job", "Service"):
        return rights.may(namespace, _READ_JOB)
    return topic == "Node" and rights.may_read("node")


def _namespace_in(table: Any, parts: list[str], namespace: str) -> str:
    """The namespace of the object that the path names; the request's where there is none."""
    found = next((record for part in parts if (record := table.get(part)) is not None), None)
    return str(found["Namespace"]) if found is not None else namespace


def _job_namespace(request: Request) -> str:
    """Where the body's job would go: the query's namespace outweighs the job's."""
    if request.get("namespace"):
        return request.get("namespace")
    job = request.json().get("Job") if request.body else None
    return str((job.get("Namespace") if isinstance(job, dict) else None) or "default")
