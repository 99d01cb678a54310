"""Endpoints about an allocation's files, logs, tasks and resource usage."""

from __future__ import annotations

import json
import os
import stat as stat_bits
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from regions.local.http.context import Context
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
    return _look(context, request, "open", _list)


def stat(context: Context, request: Request) -> Reply:
    """/v1/client/fs/stat/:alloc"""
    return _look(context, request, "stat", lambda path: _info(path, path.stat(), with_type=True))


def _look(context: Context, request: Request, verb: str, look: Callable[[Path], Any]) -> Reply:
    path = _inside(context, request.name, request.get("path", "/"))
    try:
        return Reply(look(path))
    except OSError as error:
        raise Failure(404, f"{verb} {path}: {_reason(error)}") from error


def cat(context: Context, request: Request) -> Reply:
    """/v1/client/fs/cat/:alloc"""
    return _bytes(context, request, 0, -1)


def readat(context: Context, request: Request) -> Reply:
    """/v1/client/fs/readat/:alloc"""
    return _bytes(context, request, request.whole("offset", 0), request.whole("limit", -1))


def _bytes(context: Context, request: Request, offset: int, limit: int) -> Reply:
    """Answers 200 with the error's text, as Nomad does: it writes the status before it opens the file."""
    try:
        if not request.get("path"):
            raise Failure(200, "must provide a file name")
        path = _inside(context, request.name, request.get("path"))
    except Failure as failure:
        raise Failure(200, failure.message) from failure
    try:
        size = path.stat().st_size
        file = path.open("rb")
    except OSError as error:
        raise Failure(200, f"stat {path}: {_reason(error)}") from error
    return stream(_read(file, offset, max(0, size - offset) if limit < 0 else limit), _UNTRUSTED)


def checks(context: Context, request: Request) -> Reply:
    """/v1/client/allocation/:id/checks: always empty, because batch jobs here have no Nomad services"""
    _known(context, request.name)
    return Reply({})


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


def _known(context: Context, alloc_id: str, headers: dict[str, str] | None = None) -> Record:
    alloc: Record | None = context.store.snapshot.allocs.get(alloc_id)
    if alloc is None:
        raise Failure(404, f'Unknown allocation "{alloc_id}"', headers or _TEXT)
    return alloc


def _inside(context: Context, alloc_id: str, path: str) -> Path:
    """Resolves a path in the allocation's folder. Refuses secrets and paths outside."""
    _known(context, alloc_id)
    root = Path(os.path.realpath(context.client.alloc_dir(alloc_id)))
    wanted = Path(os.path.normpath("/" + path.lstrip("/")).lstrip("/"))
    real = Path(os.path.realpath(root / wanted))
    if not real.is_relative_to(root):
        raise Failure(500, "Path escapes the alloc directory")
    for part in (wanted, real.relative_to(root)):
        if part.parts[1:2] and part.parts[1] in ("secrets", "private"):
            raise Failure(403, f"Reading secret file prohibited: {path}")
    return root / wanted


def _list(path: Path) -> list[Record]:
    with os.scandir(path) as entries:
        found = [_info(Path(entry.path), entry.stat(follow_symlinks=False)) for entry in entries]
    return sorted(found, key=lambda info: str(info["Name"]))


def _info(path: Path, status: os.stat_result, *, with_type: bool = False) -> Record:
    is_dir = stat_bits.S_ISDIR(status.st_mode)
    mode = stat_bits.filemode(status.st_mode)
    info: Record = {
        "FileMode": mode,
        "IsDir": is_dir,
        "ModTime": format_time(status.st_mtime_ns),
        "Name": path.name,
        "Size": status.st_size,
    }
    if with_type:
        info["ContentType"] = "application/octet-stream" if is_dir else _content_type(path)
    return info


def _content_type(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(512)
        head.decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return "application/octet-stream"
    return "text/plain; charset=utf-8" if b"\0" not in head else "application/octet-stream"


def _reason(error: OSError) -> str:
    text = error.strerror or "input/output error"
    return text[0].lower() + text[1:]


def _read(file: Any, offset: int, length: int) -> Iterator[bytes]:
    with file:
        file.seek(offset)
        while length > 0 and (data := file.read(min(_CHUNK, length))):
            length -= len(data)
            yield data


def logs(context: Context, request: Request) -> Reply:
    """/v1/client/fs/logs/:alloc"""
    alloc_id = request.name
    task, kind, origin = request.get("task"), request.get("type"), request.get("origin", "start") or "start"
    if not task:
        raise Failure(400, "must provide task name")
    if kind not in ("stdout", "stderr"):
        raise Failure(400, "must provide log type (stdout/stderr)")
    if origin not in ("start", "end"):
        raise Failure(400, "origin must be start or end")
    alloc = _known(context, alloc_id, _JSON)
    state = (alloc.get("TaskStates") or {}).get(task)
    if state is None and task not in alloc["AllocatedResources"]["Tasks"]:
        raise Failure(400, f'unknown task name "{task}"', _JSON)
    if state is None or not state.get("StartedAt"):
        raise Failure(404, f'task "{task}" not started yet. No logs available', _JSON)
    offset = request.whole("offset", 0, 400)
    goes_on, plain = request.flag("follow"), request.flag("plain")
    folder = context.client.alloc_dir(alloc_id) / "alloc" / "logs"
    cursor = _LogCursor(folder, f"{task}.{kind}.", offset, origin)
    frames = _frames(cursor.next, lambda: _has_ended(context, alloc_id, task), goes_on=goes_on, plain=plain)
    return stream(frames, _PLAIN if plain else _JSON)


class _LogCursor:
    """A position in a task's rotated log files `<task>.<type>.<n>`."""

    def __init__(self, folder: Path, prefix: str, offset: int, origin: str) -> None:
        self._folder, self._prefix = folder, prefix
        numbers = self._numbers()
        self.number = numbers[0] if numbers else 0
        self.offset = offset
        if origin == "end" and numbers:
            left = offset
            for number in reversed(numbers):
                size = self._path(number).stat().st_size
                self.number, self.offset = number, max(0, size - left)
                if size >= left:
                    break
                left -= size

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
        return sorted(int(end) for end in ends if end.isdigit())


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
    alloc_id = request.name
    if not request.get("path"):
        raise Failure(400, "must provide a file name")
    path = _inside(context, alloc_id, request.get("path"))
    if not path.is_file():
        raise Failure(404, f"stat {path}: no such file or directory", _JSON)
    offset, size = request.whole("offset", 0), path.stat().st_size
    at = max(0, size - offset if request.get("origin") == "end" else offset)
    name, goes_on = request.get("path").lstrip("/"), request.get("follow", "true") != "false"

    def next_part() -> tuple[str, int, bytes]:
        nonlocal at
        with path.open("rb") as file:
            file.seek(at)
            data = file.read(_CHUNK)
        at += len(data)
        return name, at, data

    return stream(_frames(next_part, lambda: _has_ended(context, alloc_id), goes_on=goes_on, plain=False), _JSON)


def _frame(frame: Record) -> bytes:
    return json.dumps(frame, separators=(",", ":")).encode()
