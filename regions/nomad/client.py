"""Client of one Nomad region. It gives values of `regions.model`; every failure is one of `regions.errors`."""

from __future__ import annotations

import email.utils
from datetime import datetime
from typing import Any

import nomad.api  # noqa: TID253 - this module is loaded only when a region is really called
import nomad.api.status  # noqa: TID253

from regions.errors import UnexpectedAnswer
from regions.model import Node
from regions.nomad.allocations import AllocationCalls
from regions.nomad.calls import checked_as
from regions.nomad.decode import RegisteredJob, allocation_from_json, node_from_json
from regions.nomad.jobs import JobCalls
from regions.nomad.request import Request

__all__ = ["NomadRegion", "RegisteredJob", "allocation_from_json"]


class NomadRegion(JobCalls, AllocationCalls):
    """One Nomad region. Safe to share between threads, which also share its pooled connections.

    `timeout_s` bounds one attempt, from connecting to the last byte, `deadline_s` a whole call with its retries; `within`
    gives the same region with a shorter deadline. What is safe to repeat is repeated with jitter: reads, dry runs, stops,
    evaluations, and a dispatch whose idempotency token the servers understand. Any other write whose answer is lost raises
    `RegionUnreachable` and leaves the outcome unknown.

    Every method raises `RegionUnreachable`, `PermissionDenied`, `Throttled` or `UnexpectedAnswer`; what it raises
    beyond those is said at the method.
    """

    def leader(self) -> str:
        """The leader's RPC address (`host:port`); "" while there is none."""
        return self.leader_and_time()[0]

    def agent_time(self) -> datetime | None:
        """The clock of the agent that answered (whole seconds, UTC), from its Date header; None without one."""
        return self.leader_and_time()[1]

    def leader_and_time(self) -> tuple[str, datetime | None]:
        """`leader` and `agent_time` in one request."""
        answer = self._transport.call(Request("leader", nomad.api.status.Leader))
        leader = self._parse("leader", lambda: checked_as(str, answer.value))
        try:
            return leader, email.utils.parsedate_to_datetime(answer.response.headers["Date"])
        except (KeyError, ValueError):
            return leader, None

    def acl_self(self) -> dict[str, Any] | None:
        """The token's own record (Type, Policies …) without its secret; None when the region runs without ACLs."""
        try:
            token = self._get("acl", nomad.api.Acl, "token", "self")
        except UnexpectedAnswer as error:
            if "ACL support disabled" in error.message:
                return None
            raise
        record = self._parse("acl", lambda: checked_as(dict, token))
        if record.get("AccessorID") == "acls-disabled":  # since 1.10
            return None
        return {key: value for key, value in record.items() if key != "SecretID"}

    def nodes(self) -> list[Node]:
        """All client nodes."""
        stubs = self._pages("nodes", nomad.api.Nodes, params={"resources": "true"})[0]
        return self._parse("nodes", lambda: [node_from_json(stub) for stub in stubs])
