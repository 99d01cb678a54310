"""Call one Nomad region and give values of `regions.model`; every failure is one of `regions.errors`.

The only module that imports python-nomad. All requests go through its endpoint classes' `.request(…)`, built here from
explicit settings, because `nomad.Nomad(…)` lets NOMAD_ADDR, NOMAD_TOKEN, NOMAD_REGION and NOMAD_NAMESPACE of the shell
override the region that was asked for, and its public methods drop headers, leave IDs unquoted and put the idempotency
token where Nomad doesn't look. docs/reference/nomad-facts.md lists each trap.
"""

from __future__ import annotations

import base64
import copy
import email.utils
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import nomad.api  # noqa: TID253 - this module is loaded only when a region is really called
import nomad.api.client  # noqa: TID253
import nomad.api.event  # noqa: TID253
import nomad.api.exceptions  # noqa: TID253
import nomad.api.status  # noqa: TID253
import requests

from regions.errors import NotFound, PermissionDenied, RegionUnreachable, UnexpectedAnswer
from regions.model import Allocation, Dispatched, DryRun, Event, Node, Region
from regions.nomad.decode import (
    NOT_OF_NOMADS_SHAPE,
    RegisteredJob,
    allocation_from_json,
    dry_run_from_json,
    job_from_json,
    node_from_json,
    server_version,
    summary_from_json,
)
from regions.nomad.event_stream import HEARTBEAT_TIMEOUT_S, read_events
from regions.nomad.resources import Resources, used_by_node
from regions.nomad.task_history import AllocationStory, TaskUsage, allocation_story, usage_from_json
from regions.nomad.transport import ANSWER_BYTES_MAX, ROUNDS_WITHOUT_ANSWER, Answer, Door, Request, Send
from regions.nomad.versions import has_feature

__all__ = ["NomadRegion", "RegisteredJob", "allocation_from_json"]

PAGE_SIZE = 1000
FILE_BYTES_MAX = 256 << 20
"""What a log or a file of an allocation may have."""
_SLACK_BYTES = 64 << 10
"""What an answer may have beyond the bytes that were asked for: its headers."""
T = TypeVar("T")


class NomadRegion:
    """One Nomad region. Safe to share between threads; each thread keeps its own pooled connections.

    `timeout_s` bounds one attempt, from connecting to the last byte, `deadline_s` a whole call with its retries; `within`
    gives the same region with a shorter deadline. What is safe to repeat is repeated with
    jitter: reads, dry runs, stops, evaluations, and a dispatch whose idempotency token the servers understand. Any
    other write whose answer is lost raises `RegionUnreachable` and leaves the outcome unknown.

    Every method raises `RegionUnreachable`, `PermissionDenied`, `Throttled` or `UnexpectedAnswer`; what it raises
    beyond those is said at the method.
    """

    def __init__(self, region: Region, *, timeout_s: float = 10.0, deadline_s: float = 30.0) -> None:
        self.region = region
        self.name = region.name
        self._door = Door(region, _sender(region), timeout_s=timeout_s, deadline_s=deadline_s)
        self._version: str | None = None

    def __repr__(self) -> str:
        return f"NomadRegion({self.name!r}, {', '.join(self.region.addresses)})"

    def within(self, deadline_s: float, *, rounds: int = ROUNDS_WITHOUT_ANSWER) -> NomadRegion:
        """The same region, over the same connections, whose calls take at most so long, all attempts together. `rounds`:
        how often addresses that don't answer are asked."""
        region = copy.copy(self)
        region._door = self._door.within(deadline_s, rounds=rounds)
        return region

    def close(self) -> None:
        """Close all connections, those of other threads too. A later call opens new ones."""
        self._door.close()

    # --- the region itself -------------------------------------------------------------------------------------------

    def version(self) -> str:
        """The oldest version among the region's living servers ("1.6.3"), read once.

        It comes from the gossip members, which every server of the federation knows for all regions: `/v1/agent/self`
        answers for the agent that was reached, whatever `?region=` says. A token without `node:read` is refused there;
        so is a list of nodes, hence `PermissionDenied`.
        """
        if self._version is None:
            members = self._get("version", nomad.api.Agent, "members")
            version = self._parse("version", lambda: server_version(members["Members"], self.region.nomad_region))
            if not version:
                raise RegionUnreachable(
                    f"no living server of Nomad region {self.region.nomad_region!r} is known",
                    region=self.name,
                    operation="version",
                    hint="the servers it was asked of know these regions: " + ", ".join(self.federation_regions()),
                )
            self._version = version
        return self._version

    def leader(self) -> str:
        """The leader's RPC address (`host:port`); "" while there is none."""
        leader = self._get("leader", nomad.api.status.Leader)
        return self._parse("leader", lambda: _as(str, leader))

    def federation_regions(self) -> list[str]:
        """The names of all Nomad regions that the server knows, sorted."""
        names = self._get("regions", nomad.api.Regions)
        return self._parse("regions", lambda: sorted(_as(str, name) for name in _as(list, names)))

    def agent_time(self) -> datetime | None:
        """The clock of the agent that answered (whole seconds, UTC), from its Date header; None without one."""
        answer = self._door.call(Request("time", nomad.api.status.Leader))
        try:
            return email.utils.parsedate_to_datetime(answer.response.headers["Date"])
        except (KeyError, ValueError):
            return None

    def acl_self(self) -> dict[str, Any] | None:
        """The token's own record (Type, Policies …) without its secret; None when the region runs without ACLs."""
        try:
            token = self._get("acl", nomad.api.Acl, "token", "self")
        except UnexpectedAnswer as error:
            if "ACL support disabled" in error.message:
                return None
            raise
        record = self._parse("acl", lambda: _as(dict, token))
        return {key: value for key, value in record.items() if key != "SecretID"}

    def nodes(self) -> list[Node]:
        """All client nodes. Servers that leave resources out of lists (before 1.0) are asked for each node."""
        stubs = self._pages("nodes", nomad.api.Nodes, params={"resources": "true"})[0]
        ids = self._parse("nodes", lambda: [_quoted(stub["ID"]) for stub in stubs])
        whole = [
            stub if "NodeResources" in stub else self._get("nodes", nomad.api.Node, node_id)
            for stub, node_id in zip(stubs, ids, strict=True)
        ]
        return self._parse("nodes", lambda: [node_from_json(node) for node in whole])

    # --- jobs --------------------------------------------------------------------------------------------------------

    def jobs(self, prefix: str = "", *, meta: bool = False) -> list[dict[str, Any]]:
        """The stubs of all jobs whose ID starts with `prefix`, as Nomad gives them.

        With `meta`, each has its `Meta`; servers before 1.4.3 can't put it into the list, so there each job is read.
        """
        params = {"prefix": prefix or None, "meta": "true" if meta else None}
        listed = self._pages("jobs", nomad.api.Jobs, params=params)[0]
        stubs = self._parse("jobs", lambda: [job_from_json(one) for one in listed if _as(str, one["ID"])])
        if meta and stubs and not has_feature(self._known_version(), "jobs_list_meta"):
            return list(filter(None, map(self._with_meta, stubs)))
        return stubs

    def _with_meta(self, stub: dict[str, Any]) -> dict[str, Any] | None:
        try:
            return {**stub, "Meta": self.job(stub["ID"]).get("Meta") or {}}
        except NotFound:  # purged since it was listed
            return None

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as Nomad holds it. Raises NotFound."""
        job = self._get("read", nomad.api.Job, _quoted(job_id), about=f"job {job_id}")
        return self._parse("read", lambda: job_from_json(job))

    def job_versions(self, job_id: str) -> list[dict[str, Any]]:
        """The versions of the job that Nomad still keeps (six, unless a server is told otherwise), newest first. Raises
        NotFound."""
        about = f"versions of job {job_id}"
        answer = self._get("read", nomad.api.Job, _quoted(job_id), "versions", about=about)
        return self._parse("read", lambda: [job_from_json(one) for one in answer["Versions"]])

    def plan_job(self, job: Mapping[str, Any], *, diff: bool = False) -> DryRun:
        """A dry run of the scheduler; nothing is registered. Raises InvalidJob."""
        body = {"Job": dict(job), "Diff": diff}
        answer = self._post("plan", nomad.api.Job, _quoted(job["ID"]), "plan", json=body, about=f"job {job['ID']}")
        return self._parse("plan", lambda: dry_run_from_json(answer))

    def register(self, job: Mapping[str, Any], *, enforce_index: int | None) -> RegisteredJob:
        """Register the job as a whole; never repeated.

        `enforce_index`: the JobModifyIndex that the registered job must have (0: it must not exist), else Conflict;
        None: whatever is there is replaced. Raises InvalidJob.
        """
        body: dict[str, Any] = {"Job": dict(job)}
        if enforce_index is not None:
            body |= {"EnforceIndex": True, "JobModifyIndex": enforce_index}
        about = f"job {job['ID']}"
        answer = self._post("register", nomad.api.Jobs, json=body, about=about, is_repeatable=False)
        return self._parse(
            "register",
            lambda: RegisteredJob(
                eval_id=answer["EvalID"] or "",
                job_modify_index=int(answer["JobModifyIndex"]),
                warnings=answer.get("Warnings") or "",
            ),
        )

    def dispatch(
        self, job_id: str, *, meta: Mapping[str, str], payload: bytes = b"", idempotency_token: str = ""
    ) -> Dispatched:
        """Dispatch a child of a parameterized job. Raises NotFound and InvalidJob (meta, payload, a stopped job).

        Repeated only with an idempotency token that the servers are known to honour without a race (since 1.11.2, 1.10.8,
        1.8.20): before, two dispatches of one token at the same moment can give two children, and before 1.1.3 tokens
        count for nothing. Otherwise a lost answer raises RegionUnreachable, and a child may or may not exist.
        """
        body = {"Meta": dict(meta), "Payload": base64.b64encode(payload).decode() if payload else None}
        is_safe = has_feature(self._known_version(), "dispatch_idempotency_race_safe")
        answer = self._post(
            "dispatch",
            nomad.api.Job,
            _quoted(job_id),
            "dispatch",
            params={"idempotency_token": idempotency_token or None},
            json=body,
            about=f"job {job_id}",
            is_repeatable=is_safe and bool(idempotency_token),
        )
        return self._parse("dispatch", lambda: Dispatched(answer["DispatchedJobID"], answer.get("EvalID") or ""))

    def stop_job(self, job_id: str, *, purge: bool = False) -> None:
        """Stop the job and its allocations; with `purge` it is forgotten. Raises NotFound where Nomad says so."""
        params = {"purge": "true" if purge else None}
        path = (_quoted(job_id),)
        self._door.call(Request("stop", nomad.api.Job, path, "delete", params=params, about=f"job {job_id}"))

    def evaluate(self, job_id: str) -> str:
        """Have the scheduler look at the job again; the evaluation's ID. Raises NotFound, InvalidJob."""
        answer = self._post(
            "evaluate", nomad.api.Job, _quoted(job_id), "evaluate", json={"JobID": job_id}, about=f"job {job_id}"
        )
        return self._parse("evaluate", lambda: _as(str, answer["EvalID"]))

    def summary(self, job_id: str) -> dict[str, Any]:
        """Nomad's job summary: counts by group, and of children for a parameterized job. Raises NotFound."""
        summary = self._get("read", nomad.api.Job, _quoted(job_id), "summary", about=f"summary of job {job_id}")
        return self._parse("read", lambda: summary_from_json(summary))

    def evaluations(self, job_id: str | None = None, status: str = "") -> list[dict[str, Any]]:
        """Evaluations of one job or of the namespace, of one `status` (blocked, pending …) or all; Nomad's JSON."""
        if job_id is None:
            evals = self._pages("evaluations", nomad.api.Evaluations, params={"status": status or None})[0]
        else:
            evals = self._pages("evaluations", nomad.api.Job, _quoted(job_id), "evaluations", params={})[0]
        return self._parse("evaluations", lambda: [one for one in evals if status in ("", one["Status"])])

    def variable_names(self, path: str) -> frozenset[str]:
        """The names in a Nomad variable, not what they hold. Raises NotFound, also for servers before 1.4, which have none."""
        answer = self._get("variable", nomad.api.Variable, path, about=f"variable {path}")
        return self._parse("variable", lambda: frozenset(answer["Items"]))

    # --- allocations -------------------------------------------------------------------------------------------------

    def has_event_stream(self) -> bool:
        """Whether the servers tell of events (since 1.0); assumed where the token may not read their version."""
        version = self._known_version()
        return not version or has_feature(version, "event_stream")

    def allocations(
        self, *, job_id: str | None = None, after: int | None = None, wait_s: float = 0.0
    ) -> tuple[list[Allocation], int]:
        """All allocations of a job, or of the namespace, and the index up to which the list is complete.

        With `after` (such an index) the server answers when something changed since then, or after `wait_s`, which must
        be below the client's own timeout.
        """
        blocking = {} if after is None else {"index": str(after), "wait": f"{wait_s:g}s"}
        if job_id is None:
            stubs, index = self._pages("allocations", nomad.api.Allocations, params={}, first=blocking)
        else:
            path = (_quoted(job_id), "allocations")
            stubs, index = self._pages("allocations", nomad.api.Job, *path, params={}, first=blocking)
        return self._parse("allocations", lambda: [allocation_from_json(stub) for stub in stubs]), index

    def used(self) -> dict[str, Resources]:
        """Node ID → what the allocations of all readable namespaces take there. Servers before 1.0 leave it out."""
        stubs = self._pages("allocations", nomad.api.Allocations, params={"resources": "true", "namespace": "*"})[0]
        return self._parse("allocations", lambda: used_by_node(stubs))

    def allocation(self, alloc_id: str) -> Allocation:
        """One allocation by its whole ID. Raises NotFound."""
        about = f"allocation {alloc_id}"
        answer = self._get("read", nomad.api.Allocation, _quoted(alloc_id), about=about)
        return self._parse("allocation", lambda: allocation_from_json(answer))

    def allocation_story(self, alloc_id: str) -> AllocationStory:
        """What happened to an allocation's tasks, by its whole ID. Raises NotFound."""
        about = f"allocation {alloc_id}"
        answer = self._get("read", nomad.api.Allocation, _quoted(alloc_id), about=about)
        return self._parse("allocation", lambda: allocation_story(answer))

    def usage(self, alloc_id: str) -> dict[str, TaskUsage]:
        """What each task of a running allocation takes now, asked of its node. Raises NotFound, also when it is over."""
        about = f"allocation {alloc_id}"
        answer = self._get("read", nomad.api.client.allocation, _quoted(alloc_id), "stats", about=about)
        return self._parse("usage", lambda: usage_from_json(answer))

    def logs(
        self,
        alloc_id: str,
        task: str,
        *,
        kind: Literal["stdout", "stderr"] = "stdout",
        tail_bytes: int | None = None,
        offset_bytes: int = 0,
    ) -> bytes:
        """What the task has written so far, from `offset_bytes` on, or its last `tail_bytes`. Raises NotFound, also for a
        lost node."""
        params: dict[str, Any] = {"task": task, "type": kind, "plain": "true"}
        if tail_bytes is not None:
            params |= {"origin": "end", "offset": tail_bytes}
        elif offset_bytes:
            params |= {"origin": "start", "offset": offset_bytes}
        about = f"{kind} of task {task} of allocation {alloc_id}"
        bytes_max = FILE_BYTES_MAX if tail_bytes is None else tail_bytes + _SLACK_BYTES
        return self._bytes(nomad.api.client.stream_logs, alloc_id, params, about, bytes_max)

    def read_file(self, alloc_id: str, path: str, *, limit_bytes: int = FILE_BYTES_MAX) -> bytes:
        """A file of the allocation's folder, by its path from there (`alloc/data/x`). Raises NotFound, and UnexpectedAnswer
        for one that has more than `limit_bytes`."""
        about = f"file {path} of allocation {alloc_id}"
        # A missing file would come as 200 with the error's text for content: only `stat` says so by its status.
        self._bytes(nomad.api.client.stat, alloc_id, {"path": path}, about)
        return self._bytes(nomad.api.client.cat, alloc_id, {"path": path}, about, limit_bytes)

    def events(
        self, *, topics: Sequence[str], index: int, stop: threading.Event, silence_s: float = HEARTBEAT_TIMEOUT_S
    ) -> Iterator[list[Event]]:
        """The region's events, one list a line of the stream; a heartbeat gives []. Ends when `stop` is set.

        A stream of which no whole line comes for `silence_s` is broken: servers send a heartbeat each 10 seconds, older
        ones (before 1.1) each 30.

        `index` 0: all that the servers still hold, then what comes. To miss nothing: wait for the first line (Nomad
        sends a heartbeat when the subscription stands), then list, then go on with the stream.
        `index` N > 0: the events after N, N being the index of the last line that was received for these topics.
        Raises EventGap when the servers can't prove that nothing lies between, or stepped back: then subscribe from 0
        and list. Raises RegionUnreachable when the stream breaks; reconnecting is the caller's.
        """
        params = {"topic": list(topics), "index": index}
        request = Request(
            "events", nomad.api.event.stream, params=params, expects_json=False, is_stream=True, silence_s=silence_s
        )
        return read_events(self._door, request, index=index, stop=stop)

    # --- the way to the door -----------------------------------------------------------------------------------------

    def _known_version(self) -> str:
        """The version, or "" (counts as old) where the token may not read it."""
        try:
            return self.version()
        except PermissionDenied:
            return ""

    def _get(self, operation: str, endpoint: type, *path: str, about: str = "") -> Any:
        return self._door.call(Request(operation, endpoint, path, about=about)).value

    def _post(
        self,
        operation: str,
        endpoint: type,
        *path: str,
        json: Mapping[str, Any],
        params: Mapping[str, Any] | None = None,
        about: str,
        is_repeatable: bool = True,
    ) -> Any:
        request = Request(operation, endpoint, path, "post", params, json, about, is_repeatable=is_repeatable)
        return self._door.call(request).value

    def _bytes(
        self, endpoint: type, alloc_id: str, params: Mapping[str, Any], about: str, bytes_max: int = ANSWER_BYTES_MAX
    ) -> bytes:
        path = (_quoted(alloc_id),)
        request = Request(
            "read", endpoint, path, params=params, about=about, expects_json=False, answer_bytes_max=bytes_max
        )
        return self._door.call(request).response.content

    def _pages(
        self,
        operation: str,
        endpoint: type,
        *path: str,
        params: Mapping[str, Any],
        first: Mapping[str, str] | None = None,
    ) -> tuple[list[dict[str, Any]], int]:
        """A list over all its pages, and the first page's index. Servers before 1.3 give all of it as one page. `first`:
        parameters of the first page only.

        Each object comes once: Nomad 1.6 compares page tokens as text, so a page may begin too early when an index gains
        a digit. A page that brings nothing new ends the list, since it would come for ever.
        """
        items: dict[str, dict[str, Any]] = {}
        index, next_token = 0, ""
        while True:
            page = {
                **params,
                **({} if next_token else first or {}),
                "per_page": PAGE_SIZE,
                "next_token": next_token or None,
            }
            answer = self._door.call(Request(operation, endpoint, path, params=page))
            before = len(items)
            for number, item in enumerate(self._parse(operation, partial(_items, answer))):
                items.setdefault(str(item.get("ID") or f"{before + number} without an ID"), item)
            headers = answer.response.headers
            index = index or self._parse(operation, partial(_index_in, headers))
            next_token = headers.get("X-Nomad-NextToken", "")
            if not next_token or len(items) == before:
                return list(items.values()), index

    def _parse(self, operation: str, read: Callable[[], T]) -> T:
        try:
            return read()
        except NOT_OF_NOMADS_SHAPE as error:
            problem = f"{', '.join(self.region.addresses)}: an answer not of Nomad's shape ({type(error).__name__})"
            raise UnexpectedAnswer(f"{operation}: {problem}", region=self.name, operation=operation) from None


def _sender(region: Region) -> Send:
    """Sends through python-nomad's endpoint classes, every setting given, so that no variable of the shell counts."""
    tls = region.tls
    settings = {
        "namespace": region.namespace,
        "region": region.nomad_region,
        "verify": str(tls.ca_cert) if tls.verify and tls.ca_cert else tls.verify,
        "cert": tuple(str(file) for file in (tls.client_cert, tls.client_key) if file),
    }
    # On every endpoint: python-nomad leaves the namespace out for some (evaluations, the event stream).
    everywhere = {"namespace": region.namespace, "region": region.nomad_region}

    def send(
        request: Request, *, address: str, token: str, session: requests.Session, timeout: tuple[float, float]
    ) -> requests.Response:
        endpoint = request.endpoint(address=address.rstrip("/"), token=token, session=session, **settings)
        try:
            response: requests.Response = endpoint.request(
                *request.path,
                method=request.method,
                params={**everywhere, **(request.params or {})},
                json=request.json,
                headers={"Accept-Encoding": "identity" if request.is_stream else "gzip"},
                timeout=timeout,
                stream=request.is_stream,
            )
        except nomad.api.exceptions.BaseNomadException as error:
            if isinstance(error.nomad_resp, requests.Response):
                return error.nomad_resp
            raise error.nomad_resp from None
        except nomad.api.exceptions.TimeoutNomadException as error:
            # For a stream python-nomad raises this in place of a ConnectionError; it is no BaseNomadException.
            raise error.args[0] from None
        return response

    return send


def _items(answer: Answer) -> list[dict[str, Any]]:
    return [_as(dict, item) for item in _as(list, answer.value or [])]


def _quoted(segment: str) -> str:
    """One path segment. A child's ID holds `/`; python-nomad would send it as it is."""
    return quote(segment, safe="")


def _index_in(headers: Mapping[str, str]) -> int:
    return int(headers.get("X-Nomad-Index") or 0)


def _as(kind: type[T], value: object) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"{kind.__name__} expected")
    return value
