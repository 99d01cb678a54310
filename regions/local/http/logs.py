"""Endpoints that follow an allocation's logs and files."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

from regions.local.http.context import Context
from regions.local.http.files import CHUNK, inside, known, opened, require
from regions.local.http.messages import Failure, Reply, Request, stream
from regions.local.state.snapshot import Record, is_client_terminal

_POLL_S = 0.1
_HEARTBEAT_S = 1.0
_JSON = {"Content-Type": "application/json"}
_PLAIN = {"Content-Type": "text/plain"}


def logs(context: Context, request: Request) -> Reply:
    """/v1/client/fs/logs/:alloc"""
    alloc_id = request.name
    require(request, "task", "task name")
    goes_on, plain = _bool(request, "follow", 400), _bool(request, "plain", 400)
    task, kind = request.get("task"), request.get("type")
    if kind not in ("stdout", "stderr"):
        raise Failure(400, "must provide log type (stdout/stderr)")
    offset, origin = request.whole("offset", 400) if request.get("offset") else 0, _origin(request)
    folder = inside(context, alloc_id, "/") / "alloc" / "logs"
    alloc = known(context, alloc_id)
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
                    data = file.read(CHUNK)
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
    require(request, "path", "a file name")
    goes_on = _bool(request, "follow", 500) if request.get("follow") else True
    offset, origin = request.whole("offset") if request.get("offset") else 0, _origin(request)
    file = opened(context, request, offset, from_end=origin == "end")
    name = request.get("path")

    def next_part() -> tuple[str, int, bytes]:
        data = file.read(CHUNK)
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
