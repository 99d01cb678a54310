"""What every handler of the API works with, and the questions that all lists and objects answer alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from regions.local.config import RegionConfig
from regions.local.http.messages import Failure, Reply, Request
from regions.local.http.older import missing_fields
from regions.local.scheduler.worker import Worker
from regions.local.state.snapshot import Record, Snapshot
from regions.local.state.store import Store

_DEFAULT_WAIT_S = 300.0
_MAX_WAIT_S = 600.0
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
NAMESPACES = ("default",)


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
    ) -> None:
        self.config = config
        self.store = store
        self.worker = worker
        self.client = client
        self.address = address
        self.collect = collect
        self.missing = missing_fields(config)


def namespace_of(request: Request) -> str:
    """The namespace asked for; `*` means all."""
    return request.get("namespace") or request.headers.get("x-nomad-namespace", "") or "default"


def blocking(
    context: Context, request: Request, index_of: Callable[[Snapshot], int], build: Callable[[Snapshot], Any]
) -> Reply:
    """Answers at once, or with `index` and `wait` when something newer than that index is there."""
    above, wait_s = _index(request), _wait_s(request)
    state = context.store.snapshot
    if above:
        state = context.store.wait(index_of, above, wait_s)
    return Reply(build(state), index=max(1, index_of(state)))


def listing(
    context: Context,
    request: Request,
    tables: tuple[str, ...],
    rows: Callable[[Snapshot], Iterable[tuple[Any, Record]]],
    show: Callable[[Snapshot, Record], Record],
) -> Reply:
    """A list of the rows that `rows` gives in order of their keys, a page at a time from Nomad 1.3 on."""
    if request.get("filter") and context.config.has(1, 3):
        raise Failure(501, "filter expressions are not supported by this development engine")
    pages = context.config.has(1, 3)
    per_page = _number(request, "per_page") if pages else 0
    token = request.get("next_token") if pages else ""
    following = ""

    def build(state: Snapshot) -> list[Record]:
        nonlocal following
        found: list[Record] = []
        following = ""
        items: Iterable[tuple[Any, Record]] = rows(state)
        if pages and request.flag("reverse"):
            items = list(items)[::-1]
        skipping = bool(token)
        for _, record in items:
            if skipping and _token(record) != token:
                continue
            skipping = False
            if per_page and len(found) == per_page:
                following = _token(record)
                break
            found.append(show(state, record))
        return found

    reply = blocking(context, request, lambda state: state.last(*tables), build)
    if following:
        reply.headers["X-Nomad-NextToken"] = following
    return reply


def _token(record: Record) -> str:
    return f"{record['Namespace']}.{record['ID']}" if "TaskGroups" in record else str(record["ID"])


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


def _number(request: Request, name: str) -> int:
    text = request.get(name)
    if not text:
        return 0
    if not text.isdigit():
        raise Failure(400, f"Invalid value for {name}: {text}")
    return int(text)


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
