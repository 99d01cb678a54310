"""Writes a task's output to rotated files `<base>.0`, `<base>.1` …: at most `max_files` of about `max_bytes` each.

Files grow by appending and are never truncated, so that a follower continues in the next one. A line is split between
two files only if it is longer than a whole file.
"""

from __future__ import annotations

import os


class LogFiles:
    """One rotated output (`base` = directory and name without the number). Opens the highest existing number, else 0.

    Raises OSError when the file can't be opened. After a crash the next opening appends to the last file.
    """

    __slots__ = ("_base", "_fd", "_index", "_max_bytes", "_max_files", "_size")

    _fd: int
    _size: int

    def __init__(self, base: str, max_files: int, max_bytes: int) -> None:
        self._base = base
        self._max_files = max(max_files, 1)
        self._max_bytes = max(max_bytes, 1)
        self._index = max(self._existing(), default=0)
        self._open()

    def write(self, data: bytes) -> None:
        """Appends all of `data`. Opens further files where one is full."""
        start = 0
        while start < len(data):
            if self._size >= self._max_bytes:
                self._next()
            room = self._max_bytes - self._size
            rest = len(data) - start
            take = rest
            if rest > room:
                end = data.rfind(b"\n", start, start + room)
                if end >= 0:
                    take = end + 1 - start
                elif self._size and (data.find(b"\n", start) + 1 or len(data)) - start <= self._max_bytes:
                    self._next()
                    continue
                else:
                    take = room
            written = os.write(self._fd, data[start : start + take])
            self._size += written
            start += written

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        self._fd = os.open(f"{self._base}.{self._index}", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._size = os.fstat(self._fd).st_size

    def _next(self) -> None:
        os.close(self._fd)
        self._index += 1
        self._open()
        for index in sorted(self._existing())[: -self._max_files]:
            os.unlink(f"{self._base}.{index}")  # noqa: PTH108

    def _existing(self) -> list[int]:
        folder, _, name = self._base.rpartition("/")
        prefix = name + "."
        names = os.listdir(folder or ".")  # noqa: PTH208
        return [int(n[len(prefix) :]) for n in names if n.startswith(prefix) and n[len(prefix) :].isdigit()]
