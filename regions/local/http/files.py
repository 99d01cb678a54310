"""Endpoints about the files of an allocation, its restart and its resource usage."""

from __future__ import annotations

import errno
import json
import os
import stat as stat_bits
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from regions.local.http.context import Context, check_id
from regions.local.http.file_info import info, listed
from regions.local.http.messages import Failure, Reply, Request, stream
from regions.local.http.views import written
from regions.local.state.snapshot import Record

CHUNK = 64 * 1024
_UNTRUSTED = {
    "Content-Type": "text/plain; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "X-XSS-Protection": "1; mode=block",
}


def ls(context: Context, request: Request) -> Reply:
    """/v1/client/fs/ls/:alloc"""
    return _look(context, request, "open", request.get("path") or "/", listed)


def stat(context: Context, request: Request) -> Reply:
    """/v1/client/fs/stat/:alloc"""
    require(request, "path", "a file name")
    return _look(context, request, "stat", request.get("path"), lambda path: info(path, path.stat(), with_type=True))


def _look(context: Context, request: Request, verb: str, path: str, look: Callable[[Path], Any]) -> Reply:
    _require_alloc(request)
    if context.store.snapshot.allocs.get(request.name) is None:
        check_id("alloc", request.name)
    place = inside(context, request.name, path)
    try:
        return Reply(look(place))
    except OSError as error:
        raise Failure(404 if error.errno == errno.ENOENT else 500, f"{verb} {place}: {_reason(error)}") from error


def _require_alloc(request: Request) -> None:
    if not request.name:
        raise Failure(400, "must provide a valid alloc id")


def require(request: Request, name: str, what: str) -> None:
    """Refuses a request without an allocation or without this parameter."""
    _require_alloc(request)
    if not request.get(name):
        raise Failure(400, f"must provide {what}")


def cat(context: Context, request: Request) -> Reply:
    """/v1/client/fs/cat/:alloc"""
    return _bytes(context, request)


def readat(context: Context, request: Request) -> Reply:
    """/v1/client/fs/readat/:alloc"""
    return _bytes(context, request, is_part=True)


def _bytes(context: Context, request: Request, *, is_part: bool = False) -> Reply:
    """Answers 200 with the error's text, as Nomad does: it writes the status before it opens the file."""
    try:
        require(request, "path", "a file name")
        offset = request.whole("offset") if is_part else 0
        limit = request.whole("limit") if is_part and request.get("limit") else 0
        file = opened(context, request, offset)
    except Failure as failure:
        raise Failure(200, failure.message) from failure
    return stream(_read(file, limit if limit > 0 else sys.maxsize), _UNTRUSTED)


def opened(context: Context, request: Request, offset: int, *, from_end: bool = False) -> BinaryIO:
    """Opens the file that `path` names, at the offset. Raises Failure."""
    path = request.get("path")
    try:
        place = inside(context, request.name, path)
    except Failure as failure:
        raise Failure(404 if failure.status == 404 else 400, failure.message) from failure
    try:
        status = place.stat()
    except OSError as error:
        raise Failure(400, f"stat {place}: {_reason(error)}") from error
    if stat_bits.S_ISDIR(status.st_mode):
        raise Failure(400, f"file {_quoted(path)} is a directory")
    if not stat_bits.S_ISREG(status.st_mode):
        raise Failure(500, f"open {place}: not a regular file")
    root = context.client.alloc_dir(request.name)
    for part in (place.relative_to(root), Path(os.path.realpath(place)).relative_to(os.path.realpath(root))):
        if part.parts[1:2] and part.parts[1].startswith(("secrets", "private")):
            kind = "secret" if part.parts[1].startswith("secrets") else "private"
            raise Failure(500, f"Reading {kind} file prohibited: {path}")
    if from_end:
        offset = max(0, status.st_size - offset)
    if offset < 0:
        # Nomad 1 prints the number as a character.
        shown = str(offset) if context.config.answers_as >= (2,) else "'\N{REPLACEMENT CHARACTER}'"
        raise Failure(500, f"can't seek to offset {shown}: seek {place}: invalid argument")
    try:
        file = place.open("rb")
        file.seek(min(offset, status.st_size))
    except OSError as error:
        raise Failure(500, f"open {place}: {_reason(error)}") from error
    return file


def checks(context: Context, request: Request) -> Reply:
    """/v1/client/allocation/:id/checks: none, because batch jobs here have no Nomad services"""
    known(context, request.name)
    return Reply(None)


def usage(context: Context, request: Request) -> Reply:
    """/v1/client/allocation/:id/stats"""
    known(context, request.name)
    return Reply(_of_client(lambda: context.client.stats(request.name)))


def restart(context: Context, request: Request) -> Reply:
    """/v1/client/allocation/:id/restart"""
    known(context, request.name)
    task = request.field("TaskName", str, "") or None if request.body else None
    _of_client(lambda: context.client.restart(request.name, task))
    return Reply(written(0).body)


def _of_client(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except LookupError as error:
        raise Failure(404, str(error.args[0])) from error
    except RuntimeError as error:
        raise Failure(500, str(error)) from error


def known(context: Context, alloc_id: str) -> Record:
    """The allocation. Raises Failure."""
    alloc: Record | None = context.store.snapshot.allocs.get(alloc_id)
    if alloc is None:
        check_id("alloc", alloc_id)
        raise Failure(404, f'Unknown allocation "{alloc_id}"')
    return alloc


def inside(context: Context, alloc_id: str, path: str) -> Path:
    """Resolves a path in the allocation's folder. Refuses what leads outside, also by links."""
    root = context.client.alloc_dir(alloc_id)
    if context.store.snapshot.allocs.get(alloc_id) is None or not root.is_dir():
        raise Failure(404, f'Unknown allocation "{alloc_id}"')
    clean = os.path.normpath(path.lstrip("/"))
    if clean.split("/", 1)[0] == "..":
        raise Failure(500, "Path escapes the alloc directory")
    unchecked = "Failed to check if path escapes alloc directory"
    if "\0" in clean:
        raise Failure(500, f"{unchecked}: lstat {root}/{clean}: invalid argument")
    place = root / clean
    try:
        real = place.resolve(strict=True)
    except FileNotFoundError:
        real = Path(os.path.realpath(place))
    except NotADirectoryError as error:
        raise Failure(500, f"{unchecked}: not a directory") from error
    except (OSError, RuntimeError) as error:
        is_long = isinstance(error, OSError) and error.errno != errno.ELOOP
        why = f"lstat {place}: {_reason(error)}" if is_long else "EvalSymlinks: too many links"
        raise Failure(500, f"{unchecked}: {why}") from error
    if not real.is_relative_to(os.path.realpath(root)):
        raise Failure(500, "Path escapes the alloc directory")
    return place


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or "input/output error"
    return text[0].lower() + text[1:]


def _read(file: BinaryIO, length: int) -> Iterator[bytes]:
    with file:
        while length > 0 and (data := file.read(min(CHUNK, length))):
            length -= len(data)
            yield data
