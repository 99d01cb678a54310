"""Connects to the region's executor process, and starts it where none runs."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import regions
from regions.local.drivers.processes import kill_group

_ROOT = str(Path(regions.__file__).parent.parent)
_START = f"import sys; sys.path.insert(0, {_ROOT!r}); from regions.local.drivers.executor import main; main()"
_SOCKET_PATH_BYTES = 100
_ANSWER_S = 30.0
_LISTENER = 3  # its number in the executor


class ExecutorLink:
    """The connection to one executor. `folder` holds its socket, its journal of pids and the exits it left behind.

    `attach` finds a running one; `send` starts one when there is none. `on_message` and `on_lost` are called from
    `read`, which the owner calls when `fileno()` is readable.
    """

    def __init__(self, folder: Path, on_message: Callable[[dict[str, Any]], None], on_lost: Callable[[], None]) -> None:
        self._folder = folder
        self._on_message = on_message
        self._on_lost = on_lost
        self._socket: socket.socket | None = None
        self._pid = 0
        self._received = b""

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def fileno(self) -> int:
        assert self._socket is not None
        return self._socket.fileno()

    def attach(self) -> dict[str, Any] | None:
        """Connects to an executor that outlived its region. Returns its `hello`, or None when there is none.

        Where an executor died, kills the tasks that it left (by pid and start time, so never somebody else's).
        """
        deadline = time.monotonic() + _ANSWER_S
        while time.monotonic() < deadline:
            try:
                self._connect()
            except OSError:
                break
            try:
                return self._read_hello()
            except OSError:  # it was just about to end: wait until it has
                self.close()
                time.sleep(0.01)
        self._end_leftovers()
        return None

    def send(self, message: dict[str, Any]) -> bool:
        """Sends a message. Starts an executor if there is none. Raises OSError when that fails."""
        if self._socket is None:
            self._spawn()
        assert self._socket is not None
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            return False
        return True

    def read(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(1 << 20)
        except OSError:
            data = b""
        if not data:
            self._lose()
            return
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self._on_message(json.loads(line))

    def end(self) -> None:
        """Makes the executor kill all tasks and end. Returns when it has ended."""
        if self._socket is not None:
            self.send({"op": "end"})
            with contextlib.suppress(OSError):
                while self._socket.recv(1 << 20):
                    pass
            self.close()
        self._wait()
        for name in ("socket", "pid", "tasks.jsonl", "exits.json"):
            (self._folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Closes the connection. The executor and its tasks go on."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _lose(self) -> None:
        self._on_lost()
        self.close()
        self._wait()
        self._received = b""
        self._end_leftovers()

    def _connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _short_path(self._folder / "socket") as path:
                connection.connect(path)
        except OSError:
            connection.close()
            raise
        self._socket = connection

    def _spawn(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "socket").unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            with _short_path(self._folder / "socket") as path:
                listener.bind(path)
            listener.listen(8)
            self._pid = self._spawn_process(listener.fileno())
            self._connect()
        try:
            self._read_hello()
        except OSError:
            self.close()
            raise

    def _spawn_process(self, listener: int) -> int:
        """Starts the executor in a session of its own: Ctrl-C on a terminal and the region's end don't reach it."""
        command = [sys.executable, "-S", "-E", "-B", "-c", _START, str(_LISTENER), str(self._folder)]
        log = str(self._folder / "executor.log")
        files = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, listener, _LISTENER),
        ]
        return os.posix_spawn(sys.executable, command, os.environ, file_actions=files, setsid=True)

    def _wait(self) -> None:
        if self._pid:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
            self._pid = 0

    def _read_hello(self) -> dict[str, Any]:
        assert self._socket is not None
        data = b""
        self._socket.settimeout(_ANSWER_S)
        while b"\n" not in data:
            if not (more := self._socket.recv(1 << 20)):
                raise ConnectionError("the executor ended before it answered")
            data += more
        self._socket.settimeout(None)
        line, _, self._received = data.partition(b"\n")
        return dict(json.loads(line))

    def _end_leftovers(self) -> None:
        journal = self._folder / "tasks.jsonl"
        if journal.exists():
            for line in journal.read_text().splitlines():
                with contextlib.suppress(ValueError):  # a line that a crash cut short
                    kill_group(*json.loads(line))
            journal.unlink()


class _short_path(contextlib.AbstractContextManager[str]):  # noqa: N801
    """Yields a path short enough for a Unix socket (about 100 bytes), through an open folder where needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) <= _SOCKET_PATH_BYTES:
            return str(self._path)
        self._fd = os.open(self._path.parent, os.O_RDONLY)
        return f"/proc/self/fd/{self._fd}/{self._path.name}"

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)
