"""A number enters; an `os` whose so manieth change of the disk is the last thing that its process does leaves."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal

When = Literal["torn", "after"]
"""In the midst of the change, or right after it, which is before the next one too."""


class Died(BaseException):
    """The process is gone: nothing may catch this, as nothing catches kill -9."""


def die() -> None:
    raise Died


class DyingOs:
    """Stands for the module `os`. `kinds` are the writes, truncations, syncs and renames asked of it so far.

    The process ends with change number `last` (0: never), counted among those of `kind` ("": of all).
    """

    def __init__(self, last: int = 0, when: When = "after", end: Callable[[], None] = die, kind: str = "") -> None:
        self._last, self._when, self._end, self._kind = last, when, end, kind
        self.kinds: list[str] = []
        self._files: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, *given: Any) -> int:
        file = os.open(*given)
        self._files.add(file)
        return file

    def close(self, file: int) -> None:
        self._files.discard(file)
        os.close(file)

    def bury(self) -> None:
        """Closes, as the kernel does, what the dead process had open."""
        for file in list(self._files):
            self.close(file)

    def write(self, file: int, data: bytes) -> int:
        return int(self._change("write", lambda: os.write(file, data), lambda: os.write(file, data[: len(data) // 2])))

    def ftruncate(self, file: int, size: int) -> None:
        self._change("ftruncate", lambda: os.ftruncate(file, size))

    def fsync(self, file: int) -> None:
        self._change("fsync", lambda: os.fsync(file))

    def replace(self, old: Any, new: Any) -> None:
        self._change("replace", lambda: os.replace(old, new))  # noqa: PTH105

    def _change(self, kind: str, whole: Callable[[], Any], half: Callable[[], Any] = lambda: None) -> Any:
        self.kinds.append(kind)
        number = self.kinds.count(self._kind) if self._kind else len(self.kinds)
        if not self._last or number < self._last or (self._kind and kind != self._kind):
            return whole()
        if number == self._last:
            (whole if self._when == "after" else half)()
        return self._end()
