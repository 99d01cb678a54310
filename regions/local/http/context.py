"""What every handler of the API works with, and the questions that all lists and objects answer alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any, Protocol

from regions.local.config import RegionConfig
from regions.local.http.access import Tokens
from regions.local.http.faults import Faults
from regions.local.http.messages import Failure, Reply, Request
from regions.local.http.rights import Rights
from regions.local.scheduler.heartbeats import Heartbeats
from regions.local.scheduler.worker import Worker
from regions.local.state.snapshot import Record, Snapshot
from regions.local.state.store import Store
from regions.local.state.table import Table

_DEFAULT_WAIT_S = 300.0
_MAX_WAIT_S = 600.0
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class TaskClient(Protocol):
    """The side that runs tasks, as far as the API uses it."""

    def restart(self, alloc_id: str, task: str | None) -> None: ...
    def alloc_dir(self, alloc_id: str) -> Path: ...
    def stats(self, alloc_id: str) -> Record: ...


class Context:
    """One region's parts. `address` is host:port of its API, `started_at` seconds since 1970."""

    def __init__(
        self,
        config: RegionConfig,
        store: Store,
        worker: Worker,
        client: TaskClient,
        address: str,
        collect: Callable[..., None],
        heartbeats: Heartbeats,
        tokens: Tokens,
    ) -> None:
        self.config = config
        self.store = store
        self.worker = worker
        self.client = client
        self.address = address
        self.collect = collect
        self.heartbeats = heartbeats
        self.faults = Faults()
        self.tokens = tokens


def namespace_of(request: Request) -> str:
    """The namespace asked for; `*` means all."""
    return request.get("namespace") or "default"


def blocking(
    context: Context, request: Request, index_of: Callable[[Snapshot], int], build: Callable[[Snapshot], Any]
) -> Reply:
    """Answers at once, or with `index` and `wait` when something newer than that index is there."""
    above, wait_s = _index(request), _wait_s(request)
    state = context.store.snapshot
    if above:
        state = context.store.wait(index_of, above, wait_s)
    return Reply(build(state), index=max(1, index_of(state)))


def single(
    context: Context, request: Request, table: str, find: Callable[[Snapshot], Record | None], missing: str
) -> Reply:
    """One object, whole; 404 with `missing` where there is none."""

    def build(state: Snapshot) -> Record:
        found = find(state)
        if found is None:
            raise Failure(404, missing)
        return found

    def index(state: Snapshot) -> int:
        found = find(state)
        return int(found["ModifyIndex"]) if found else state.last(table)

    return blocking(context, request, index, build)


def listing(
    context: Context,
    request: Request,
    tables: tuple[str, ...],
    rows: Callable[[Snapshot], Iterable[Record]],
    show: Callable[[Snapshot, Record], Record],
    token: Callable[[Record], str],
) -> Reply:
    """A list of the rows that `rows` gives in their order. From Nomad 1.3 on it is filtered and comes in pages, each
    beginning at the row whose `token` the page before it named."""
    per_page, is_wanted, following = _per_page(request), _chosen_rows(request, tables), ""

    def build(state: Snapshot) -> list[Record]:
        nonlocal following
        found: list[Record] = []
        following = ""
        for record in filter(is_wanted, _from_page(request, rows(state), token)):
            if per_page and len(found) == per_page:
                following = token(record)
                break
            found.append(show(state, record))
        return found

    reply = blocking(context, request, lambda state: state.last(*tables), build)
    if following:
        reply.headers["X-Nomad-NextToken"] = following
    return reply


def _chosen_rows(request: Request, tables: tuple[str, ...]) -> Callable[[Record], bool]:
    """Returns whether a row passes the request's filter and its token may see it."""
    is_wanted: Callable[[Record], bool] | None = None
    if request.get("filter"):
        from regions.local.http.filter import compile_filter  # loaded on first use, so that start-up is quick

        is_wanted = compile_filter(request.get("filter"))
    rights = request.rights
    return lambda record: (
        (is_wanted is None or is_wanted(record)) and (rights.is_management or _is_shown(rights, tables, record))
    )


def _from_page(request: Request, records: Iterable[Record], token: Callable[[Record], str]) -> Iterable[Record]:
    """Skips the rows before the one that `next_token` names."""
    if not (seeking := request.get("next_token")):
        return records
    sought, is_reversed = _place(seeking), is_reverse(request)

    def is_before(record: Record) -> bool:
        at = _place(token(record))
        return at > sought if is_reversed else at < sought

    return dropwhile(is_before, records)


def _is_shown(rights: Rights, tables: tuple[str, ...], record: Record) -> bool:
    """Whether a list shows the row to a token: a list of all namespaces holds what it may see."""
    if "variables" in tables:
        row = record["VariableMetadata"]
        return rights.may_variable(row["Namespace"], row["Path"], "list")
    namespace = record.get("Namespace")
    return namespace is None or rights.may(namespace, "list-jobs" if "jobs" in tables else "read-job")


def _place(token: str) -> tuple[int, str]:
    """What orders tokens: by create index where they begin with one, else as text."""
    head, dot, rest = token.partition(".")
    return (int(head), rest) if dot and head.isdigit() else (0, token)


def is_reverse(request: Request) -> bool:
    """Whether the newest is asked for first."""
    return request.get("reverse") == "true"


def in_order(request: Request, by_id: Table, by_age: Table, prefix: str) -> Iterable[Record]:
    """Objects whose ID begins with `prefix`, by ID; without a prefix, by their age."""
    if not prefix:
        keys: Iterable[Any] = (key for key, _ in by_age.items())
        for _, key in reversed(list(keys)) if is_reverse(request) else keys:
            yield by_id.get(key)
        return
    found = takewhile(lambda pair: pair[0].startswith(prefix), by_id.items(prefix))
    for _, record in reversed(list(found)) if is_reverse(request) else found:
        yield record


def age_token(request: Request) -> Callable[[Record], str]:
    """What names an evaluation or allocation between two pages."""
    if request.get("prefix"):
        return id_token
    return lambda record: f"{record['CreateIndex']}.{record['ID']}"


def id_token(record: Record) -> str:
    """What names an object whose ID is the region's only one."""
    return str(record["ID"])


def check_id(kind: str, text: str) -> None:
    """Refuses what is no UUID, in Nomad's words."""
    if len(text) != 36:
        prefix = "failed to lookup eval: " if kind == "eval" else ""
        raise Failure(500, f"{prefix}{kind} lookup failed: index error: UUID must be 36 characters")


def check_prefix(kind: str, prefix: str) -> str:
    """A prefix of UUIDs, checked as Nomad checks it."""
    digits = prefix.replace("-", "")
    if len(digits) % 2:
        raise Failure(500, f"{kind} lookup failed: index error: Input (without hyphens) must be even length")
    for character in digits:
        if character not in "0123456789abcdefABCDEF":
            wrong = f"encoding/hex: invalid byte: U+{ord(character):04X} '{character}'"
            raise Failure(500, f"{kind} lookup failed: index error: Invalid UUID: {wrong}")
    return prefix.lower()


def _index(request: Request) -> int:
    text = request.get("index")
    if not text:
        return 0
    if not text.isdigit():
        raise Failure(400, "Invalid index")
    return int(text)


def _per_page(request: Request) -> int:
    text = request.get("per_page")
    return int(text) if text.isascii() and text.isdigit() else 0


def _wait_s(request: Request) -> float:
    text = request.get("wait")
    if not text:
        return _DEFAULT_WAIT_S
    wait_s, rest = 0.0, text
    while rest:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(digits) :]
        unit = rest[: len(rest) - len(rest.lstrip("nsuµmh"))]
        rest = rest[len(unit) :]
        if not digits or unit not in _UNITS or digits.count(".") > 1:
            raise Failure(400, "Invalid wait time")
        wait_s += float(digits) * _UNITS[unit]
    return min(wait_s, _MAX_WAIT_S)
