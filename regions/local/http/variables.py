"""Endpoints about variables, with check-and-set."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from regions.local.http.context import Context, listing, namespace_of, single
from regions.local.http.messages import Failure, Reply, Request
from regions.local.nomad_version import UNDATED
from regions.local.state.snapshot import Record, Snapshot
from regions.local.state.transaction import Transaction

_LIMIT_BYTES = 64 * 1024
_PATH = re.compile(r"[a-zA-Z0-9\-_~/]{1,128}")


def variables(context: Context, request: Request) -> Reply:
    """/v1/vars: the variables' paths without their content"""
    prefix, namespace = request.get("prefix"), namespace_of(request)

    def rows(state: Snapshot) -> Iterator[Record]:
        for key, variable in state.variables.items():
            if namespace in ("*", key[0]) and key[1].startswith(prefix):
                # Filters know its fields by this name.
                yield {"VariableMetadata": {name: value for name, value in variable.items() if name != "Items"}}

    def show(_state: Snapshot, row: Record) -> Record:
        found: Record = row["VariableMetadata"]
        return found

    def token(row: Record) -> str:
        return f"{row['VariableMetadata']['Namespace']}.{row['VariableMetadata']['Path']}"

    return listing(context, request, ("variables",), rows, show, token)


def read(context: Context, request: Request) -> Reply:
    """/v1/var/:path"""
    key = (namespace_of(request), request.name)
    return single(context, request, "variables", lambda state: state.variables.get(key), "variable not found")


def put(context: Context, request: Request) -> Reply:
    path, body = request.name, request.json()
    if not path:
        raise Failure(400, "missing variable path")
    items = body.get("Items")
    if not items:
        raise Failure(400, "variable missing required Items object")
    if not isinstance(items, dict) or not all(isinstance(value, str) for value in items.values()):
        wrong = "json: cannot unmarshal value into Go struct field VariableDecrypted.Items of type string"
        raise Failure(400, wrong)
    namespace = request.field("Namespace", str, "") or namespace_of(request)
    is_newer = context.config.answers_as >= UNDATED
    if wrong := _wrong(namespace, path, items):
        raise Failure(400, f"RPC Error:: 400,{wrong}") if is_newer else Failure(500, wrong)
    expected, now_ns = _expected(request), time.time_ns()

    def change(transaction: Transaction) -> Record | None:
        old = transaction.state.variables.get((namespace, path))
        if expected is not None and expected != (old or _ABSENT)["ModifyIndex"]:
            return None
        new = {
            "CreateIndex": old["CreateIndex"] if old else transaction.index,
            "CreateTime": old["CreateTime"] if old else now_ns,
            "Items": items,
            "ModifyIndex": transaction.index,
            "ModifyTime": now_ns,
            "Namespace": namespace,
            "Path": path,
        }
        transaction.put_variable(new)
        return new

    written, transaction = context.store.commit("VariableUpserted", change)
    if written is None:
        return _conflict(context, transaction.state, namespace, path)
    return Reply(written, headers={"X-Nomad-Index": str(transaction.index)})


def delete(context: Context, request: Request) -> Reply:
    namespace, path, expected = namespace_of(request), request.name, _expected(request)

    def change(transaction: Transaction) -> bool:
        old = transaction.state.variables.get((namespace, path))
        if expected is not None and expected != (old or _ABSENT)["ModifyIndex"]:
            return False
        if old is not None:
            transaction.delete_variable(old)
        return True

    is_gone, transaction = context.store.commit("VariableDeleted", change)
    if not is_gone:
        return _conflict(context, transaction.state, namespace, path)
    reply = Reply(b"", headers={"X-Nomad-Index": str(transaction.index)})
    reply.status = 204
    return reply


_ABSENT: Record = {"CreateIndex": 0, "CreateTime": 0, "Items": None, "ModifyIndex": 0, "ModifyTime": 0}


def _conflict(context: Context, state: Snapshot, namespace: str, path: str) -> Reply:
    """Answers 409 with the variable that exists instead of the expected one."""
    found = state.variables.get((namespace, path)) or {**_ABSENT, "Namespace": namespace, "Path": path}
    if found["Items"] is None and context.config.answers_as >= UNDATED:
        del found["Items"]
    reply = Reply(found, headers={"X-Nomad-Index": str(found["ModifyIndex"])})
    reply.status = 409
    return reply


def _expected(request: Request) -> int | None:
    """Returns the index that the variable must have. 0: it must not exist. None: any."""
    text = request.get("cas")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise Failure(400, f'can not parse cas: strconv.ParseUint: parsing "{text}": invalid syntax')
    if len(text.lstrip("0")) > 20 or int(text) >= 2**64:
        raise Failure(400, f'can not parse cas: strconv.ParseUint: parsing "{text}": value out of range')
    return int(text)


def _wrong(namespace: str, path: str, items: dict[str, str]) -> str:
    if namespace == "*":
        return 'can not target wildcard ("*")namespace'
    if sum(len(key.encode()) + len(value.encode()) for key, value in items.items()) > _LIMIT_BYTES:
        return "variables are limited to 64KiB in total size"
    if not _PATH.fullmatch(path):
        return f'invalid path "{path}"'
    first, *rest = path.split("/")
    if first != "nomad":
        return ""
    if not rest:
        below = 'you may write variables to "nomad/jobs", "nomad/job-templates", or below'
        return f'"nomad" is a reserved top-level directory path, but {below}'
    if rest[0] == "job-templates" and len(rest) != 2:
        example = 'you may write variables at the level below it, for example, "nomad/job-templates/template-name"'
        return f'"nomad/job-templates" is a reserved directory path, but {example}'
    if rest[0] not in ("jobs", "job-templates"):
        allowed = 'only paths at "nomad/jobs" or "nomad/job-templates" and below are valid paths'
        return f'{allowed} under the top-level "nomad" directory'
    return ""
