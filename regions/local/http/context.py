"""What every endpoint works with, and what all lists and objects have in common: blocking, filters, pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any, Protocol

from jobs.durations import parse_duration
from regions.local.config import RegionConfig
from regions.local.http.access import Tokens
from regions.local.http.faults import Faults
from regions.local.http.messages import Failure, Reply, Request
from regions.local.http.rights import Rights
from regions.local.http.version_fields import VersionFields
from regions.local.server.heartbeats import Heartbeats
from regions.local.server.worker import Worker
from regions.local.state.job_writes import Refused
from regions.local.state.snapshot import Record, Snapshot
from regions.local.state.store import Store
from regions.local.state.table import Table
from regions.local.state.transaction import Transaction

_DEFAULT_WAIT_S = 300.0
_MAX_WAIT_S = 600.0


class TaskClient(Protocol):
    """The part of the client that the API uses."""

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
        self.shown = VersionFields(config.answers_as)
        self.store = store
        self.worker = worker
        self.client = client
        self.address = address
        self.collect = collect
        self.heartbeats = heartbeats
        self.faults = Faults()
        self.tokens = tokens

    def commit(self, kind: str, operation: Callable[[Transaction], Any]) -> tuple[Any, Transaction]:
        """Commits an operation. Raises Failure where it is refused."""
        try:
            return self.store.commit(kind, operation)
        except Refused as refused:
            raise Failure(refused.status, refused.message) from refused


def namespace_of(request: Request) -> str:
    """Returns the requested namespace. `*` means all."""
    return request.get("namespace") or "default"


def blocking(
    context: Context, request: Request, index_of: Callable[[Snapshot], int], build: Callable[[Snapshot], Any]
) -> Reply:
    """Answers at once. With `index` and `wait`, answers when something newer than that index exists."""
    above, wait_s = _index(request), _wait_s(request)
    state = context.store.snapshot
    if above:
        state = context.store.wait(index_of, above, wait_s)
    return Reply(build(state), index=max(1, index_of(state)))


def single(
    context: Context,
    request: Request,
    table: str,
    find: Callable[[Snapshot], Record | None],
    missing: str,
    show: Callable[[Record], Record] = dict,
) -> Reply:
    """Answers with one whole object as `show` shows it, or with 404 and `missing`."""

    def build(state: Snapshot) -> Record:
        found = find(state)
        if found is None:
            raise Failure(404, missing)
        return show(found)

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
    """Answers with a list of rows in the order of `rows`, filtered, in pages. Each page begins at the row whose
    `token` the page before named."""
    per_page, is_wanted, following = _per_page(request), wanted_rows(context, request, tables), ""

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


def wanted_rows(context: Context, request: Request, tables: tuple[str, ...]) -> Callable[[Record], bool]:
    """Returns whether a row passes the request's filter and its token may see it."""
    is_wanted: Callable[[Record], bool] | None = None
    if request.get("filter"):
        from regions.local.http.filter import compile_filter  # loaded on first use, so that start-up is quick

        is_wanted = compile_filter(request.get("filter"), context.config.answers_as)
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
    """Returns whether the token may see the row. A list of all namespaces contains only such rows."""
    if "variables" in tables:
        row = record["VariableMetadata"]
        return rights.may_variable(row["Namespace"], row["Path"], "list")
    namespace = record.get("Namespace")
    return namespace is None or rights.may(namespace, "list-jobs" if "jobs" in tables else "read-job")


def _place(token: str) -> tuple[int, str]:
    """Returns the sort key of a page token: its create index where it begins with one, else its text."""
    head, dot, rest = token.partition(".")
    return (int(head), rest) if dot and head.isascii() and head.isdigit() and len(head) < 20 else (0, token)


def is_reverse(request: Request) -> bool:
    """Returns whether the newest comes first."""
    return request.get("reverse") == "true"


def in_order(request: Request, by_id: Table, by_age: Table, prefix: str) -> Iterable[Record]:
    """Yields objects whose ID begins with `prefix`, by ID. Without a prefix, yields all by age."""
    if not prefix:
        keys: Iterable[Any] = (key for key, _ in by_age.items())
        for _, key in reversed(list(keys)) if is_reverse(request) else keys:
            yield by_id.get(key)
        return
    found = takewhile(lambda pair: pair[0].startswith(prefix), by_id.items(prefix))
    for _, record in reversed(list(found)) if is_reverse(request) else found:
        yield record


def age_token(request: Request) -> Callable[[Record], str]:
    """Returns the function that makes page tokens of evaluations or allocations."""
    if request.get("prefix"):
        return id_token
    return lambda record: f"{record['CreateIndex']}.{record['ID']}"


def id_token(record: Record) -> str:
    """Returns the page token of an object whose ID is unique in the region."""
    return str(record["ID"])


def check_id(kind: str, text: str) -> None:
    """Refuses an invalid UUID in Nomad's words."""
    prefix = "failed to lookup eval: " if kind == "eval" else ""
    check_uuid(f"{prefix}{kind} lookup failed: ", text)


def check_uuid(where: str, text: str) -> None:
    """Refuses an invalid UUID. `where`: how the message begins."""
    if len(text) != 36:
        raise Failure(500, f"{where}index error: UUID must be 36 characters")


def check_prefix(kind: str, prefix: str) -> str:
    """Checks a prefix of UUIDs as Nomad does."""
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
    if not (text.isascii() and text.isdigit() and len(text) < 21 and int(text) < 2**64):
        raise Failure(400, "Invalid index")
    return int(text)


def _per_page(request: Request) -> int:
    text = request.get("per_page")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 11 else 0


def _wait_s(request: Request) -> float:
    text = request.get("wait")
    if not text:
        return _DEFAULT_WAIT_S
    try:
        return min(max(0.0, parse_duration(text) / 1e9), _MAX_WAIT_S)
    except ValueError as error:
        raise Failure(400, "Invalid wait time") from error
