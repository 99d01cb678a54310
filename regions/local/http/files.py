"""Endpoints about an allocation's files, logs, tasks and resource usage."""

from __future__ import annotations

import errno
import json
import os
import stat as stat_bits
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from regions.local.http.context import Context, check_id
from regions.local.http.messages import Failure, Reply, Request, stream
from regions.local.http.views import written
from regions.local.state.snapshot import Record, is_client_terminal
from regions.local.state.times import format_time

_CHUNK = 64 * 1024
_POLL_S = 0.1
_HEARTBEAT_S = 1.0
_JSON = {"Content-Type": "application/json"}
_PLAIN = {"Content-Type": "text/plain"}
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
_UNTRUSTED = {
    **_TEXT,
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "X-XSS-Protection": "1; mode=block",
}


def ls(context: Context, request: Request) -> Reply:
    """/v1/client/fs/ls/:alloc"""
    return _look(context, request, "open", request.get("path") or "/", _list)


def stat(context: Context, request: Request) -> Reply:
    """/v1/client/fs/stat/:alloc"""
    _require(request, "path", "a file name")
    return _look(context, request, "stat", request.get("path"), lambda path: _info(path, path.stat(), with_type=True))


def _look(context: Context, request: Request, verb: str, path: str, look: Callable[[Path], Any]) -> Reply:
    _require_alloc(request)
    if context.store.snapshot.allocs.get(request.name) is None:
        check_id("alloc", request.name)
    place = _inside(context, request.name, path)
    try:
        return Reply(look(place))
    except OSError as error:
        raise Failure(404 if error.errno == errno.ENOENT else 500, f"{verb} {place}: {_reason(error)}") from error


def _require_alloc(request: Request) -> None:
    if not request.name:
        raise Failure(400, "must provide a valid alloc id")


def _require(request: Request, name: str, what: str) -> None:
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
        _require(request, "path", "a file name")
        offset = request.whole("offset") if is_part else 0
        limit = request.whole("limit") if is_part and request.get("limit") else 0
        file = _opened(context, request, offset)
    except Failure as failure:
        raise Failure(200, failure.message) from failure
    return stream(_read(file, limit if limit > 0 else sys.maxsize), _UNTRUSTED)


def _opened(context: Context, request: Request, offset: int, *, from_end: bool = False) -> BinaryIO:
    """Opens the file that `path` names, at the offset. Raises Failure."""
    path = request.get("path")
    try:
        place = _inside(context, request.name, path)
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
    _known(context, request.name)
    return Reply(None)


def usage(context: Context, request: Request) -> Reply:
    """/v1/client/allocation/:id/stats"""
    _known(context, request.name)
    return Reply(_of_client(lambda: context.client.stats(request.name)))


def restart(context: Context, request: Request) -> Reply:
    """/v1/client/allocation/:id/restart"""
    _known(context, request.name)
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


def _known(context: Context, alloc_id: str) -> Record:
    alloc: Record | None = context.store.snapshot.allocs.get(alloc_id)
    if alloc is None:
        check_id("alloc", alloc_id)
        raise Failure(404, f'Unknown allocation "{alloc_id}"')
    return alloc


def _inside(context: Context, alloc_id: str, path: str) -> Path:
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


def _list(path: Path) -> list[Record]:
    with os.scandir(path) as entries:
        found = [_info(Path(entry.path), entry.stat(follow_symlinks=False)) for entry in entries]
    return sorted(found, key=lambda info: str(info["Name"]))


def _info(path: Path, status: os.stat_result, *, with_type: bool = False) -> Record:
    is_dir = stat_bits.S_ISDIR(status.st_mode)
    info: Record = {
        "FileMode": _mode(status.st_mode),
        "IsDir": is_dir,
        "ModTime": format_time(status.st_mtime_ns),
        "Name": path.name,
        "Size": status.st_size,
    }
    if with_type:
        info["ContentType"] = "application/octet-stream" if is_dir else _content_type(path)
    return info


def _mode(mode: int) -> str:
    """Writes a mode as Go does: letters for the kind of file and its sticky bits, then the permissions."""
    letters = [letter for is_kind, letter in _KINDS if is_kind(mode)]
    letters += [letter for bit, letter in _STICKY if mode & bit]
    permissions = "".join(letter if mode & (256 >> at) else "-" for at, letter in enumerate("rwxrwxrwx"))
    return ("".join(letters) or "-") + permissions


_KINDS = (
    (stat_bits.S_ISDIR, "d"),
    (stat_bits.S_ISLNK, "L"),
    (stat_bits.S_ISBLK, "D"),
    (stat_bits.S_ISCHR, "Dc"),
    (stat_bits.S_ISFIFO, "p"),
    (stat_bits.S_ISSOCK, "S"),
)
_STICKY = ((stat_bits.S_ISUID, "u"), (stat_bits.S_ISGID, "g"), (stat_bits.S_ISVTX, "t"))


def _content_type(path: Path) -> str:
    """Guesses the type from the first bytes, as far as text and what browsers show are concerned."""
    if path.suffix == ".json":
        return "application/json"
    head = b""
    if path.is_file():
        try:
            with path.open("rb") as file:
                head = file.read(512)
        except OSError:
            pass  # the type is optional
    if not head or any(byte in _BINARY for byte in head):
        return "application/octet-stream"
    if head.lstrip(b"\t\n\x0c\r ").lower().startswith(_HTML):
        return "text/html; charset=utf-8"
    return "text/plain; charset=utf-8"


_BINARY = frozenset((*range(9), 11, *range(14, 27), *range(28, 32)))
_HTML = (
    b"<!doctype html", b"<html", b"<head", b"<script", b"<iframe", b"<h1", b"<div", b"<font", b"<table", b"<a ", b"<style",
    b"<title", b"<body", b"<br", b"<p", b"<!--",
)  # fmt: skip


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or "input/output error"
    return text[0].lower() + text[1:]


def _read(file: BinaryIO, length: int) -> Iterator[bytes]:
    with file:
        while length > 0 and (data := file.read(min(_CHUNK, length))):
            length -= len(data)
            yield data


def logs(context: Context, request: Request) -> Reply:
    """/v1/client/fs/logs/:alloc"""
    alloc_id = request.name
    _require(request, "task", "task name")
    goes_on, plain = _bool(request, "follow", 400), _bool(request, "plain", 400)
    task, kind = request.get("task"), request.get("type")
    if kind not in ("stdout", "stderr"):
        raise Failure(400, "must provide log type (stdout/stderr)")
    offset, origin = request.whole("offset", 400) if request.get("offset") else 0, _origin(request)
    folder = _inside(context, alloc_id, "/") / "alloc" / "logs"
    alloc = _known(context, alloc_id)
    state = (alloc.get("TaskStates") or {}).get(task)
    if state is None and task not in alloc["AllocatedResources"]["Tasks"]:
        raise Failure(400, f'unknown task name "{task}"', _JSON)
    if state is None or not state.get("StartedAt"):
        raise Failure(404, f'task "{task}" not started yet. No logs available', _JSON)
    cursor = _LogCursor(folder, f"{task}.{kind}.", offset, origin)
    frames = _frames(cursor.next, lambda: _has_ended(context, alloc_id, task), goes_on=goes_on, plain=plain)
    return stream(frames, _PLAIN if plain else _JSON)


class _LogCursor:
    """A position in a task's rotated log files `<task>.<type>.<n>`."""

    def __init__(self, folder: Path, prefix: str, offset: int, origin: str) -> None:
        self._folder, self._prefix = folder, prefix
        sizes = [(number, self._path(number).stat().st_size) for number in self._numbers()]
        self.number, self.offset = _sought(sizes or [(0, 0)], offset, origin)

    def next(self) -> tuple[str, int, bytes]:
        """Reads (file, offset after it, bytes). No bytes: there is nothing new."""
        while True:
            path = self._path(self.number)
            try:
                with path.open("rb") as file:
                    file.seek(self.offset)
                    data = file.read(_CHUNK)
            except FileNotFoundError:
                data = b""
            if data:
                self.offset += len(data)
                return f"alloc/logs/{path.name}", self.offset, data
            later = [number for number in self._numbers() if number > self.number]
            if not later:
                return "", self.offset, b""
            self.offset = max(0, self.offset - path.stat().st_size) if path.exists() else 0
            self.number = later[0]

    def _path(self, number: int) -> Path:
        return self._folder / f"{self._prefix}{number}"

    def _numbers(self) -> list[int]:
        try:
            names = [entry.name for entry in self._folder.iterdir()]
        except FileNotFoundError:
            return []
        ends = [name.removeprefix(self._prefix) for name in names if name.startswith(self._prefix)]
        return sorted(int(end) for end in ends if end.isascii() and end.isdigit())


def _sought(sizes: list[tuple[int, int]], offset: int, origin: str) -> tuple[int, int]:
    """Returns the file's number and the offset in it. An offset from the end leads back from the end of the last file, 0 to
    its beginning; a negative one leads in the other direction."""
    last = len(sizes) - 1
    at, offset = (last, -offset) if origin == "end" else (0, offset)
    while offset > sizes[at][1] and at < last:
        offset -= sizes[at][1]
        at += 1
    while offset < 0:
        offset += sizes[at][1]
        if offset < 0 and not at:
            offset = 0
        at -= offset < 0
    return sizes[at][0], min(offset, sizes[at][1])


def _frames(
    next_part: Callable[[], tuple[str, int, bytes]], is_over: Callable[[], bool], *, goes_on: bool, plain: bool
) -> Iterator[bytes]:
    """Yields the content and, while it `goes_on`, what follows. Framed as JSON with heartbeats, or plain."""
    beat = time.monotonic()
    while True:
        ended = is_over()
        file, offset, data = next_part()
        if data:
            yield data if plain else _frame({"Data": b64encode(data).decode(), "File": file, "Offset": offset})
            continue
        if ended or not goes_on:
            return
        time.sleep(_POLL_S)
        if not plain and time.monotonic() - beat > _HEARTBEAT_S:
            beat = time.monotonic()
            yield b"{}"


def _has_ended(context: Context, alloc_id: str, task: str = "") -> bool:
    alloc = context.store.snapshot.allocs.get(alloc_id)
    if alloc is None or is_client_terminal(alloc):
        return True
    state = (alloc.get("TaskStates") or {}).get(task)
    return state is not None and state["State"] == "dead"


def follow(context: Context, request: Request) -> Reply:
    """/v1/client/fs/stream/:alloc"""
    _require(request, "path", "a file name")
    goes_on = _bool(request, "follow", 500) if request.get("follow") else True
    offset, origin = request.whole("offset") if request.get("offset") else 0, _origin(request)
    file = _opened(context, request, offset, from_end=origin == "end")
    name = request.get("path")

    def next_part() -> tuple[str, int, bytes]:
        data = file.read(_CHUNK)
        return name, file.tell(), data

    def frames() -> Iterator[bytes]:
        with file:
            yield from _frames(next_part, lambda: _has_ended(context, request.name), goes_on=goes_on, plain=False)

    return stream(frames(), {})


def _origin(request: Request) -> str:
    origin = request.get("origin") or "start"
    if origin not in ("start", "end"):
        raise Failure(400, "origin must be start or end")
    return origin


def _bool(request: Request, name: str, refused_with: int) -> bool:
    try:
        return request.flag(name)
    except Failure as failure:
        why = failure.message.partition("as a bool: ")[2]
        raise Failure(refused_with, f"failed to parse {name} field to boolean: {why}") from failure


def _frame(frame: Record) -> bytes:
    return json.dumps(frame, separators=(",", ":")).encode()
