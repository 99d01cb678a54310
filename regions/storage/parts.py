"""Sends the parts of a large file, some at once and in bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Condition
from typing import TypeVar

from regions.storage.source import SourceFile

T = TypeVar("T")

_MIB = 1 << 20

PART_BYTES_MIN = 8 * _MIB
PARTS_MAX = 10_000
PARTS_AT_ONCE_MAX = 8
BUFFER_BYTES_MAX = 64 * _MIB
"""Bytes of all parts in memory together; only a file of more than 640 GB exceeds it, since one part of it has more."""


def part_bytes(size_bytes: int) -> int:
    """How large the parts of a file are: 8 MiB, more only where 10,000 parts would not do; whole MiB."""
    return max(PART_BYTES_MIN, -(-size_bytes // (PARTS_MAX * _MIB)) * _MIB)


def parts_at_once(size_bytes: int) -> int:
    """How many parts of a file of that size are in memory at once."""
    return max(1, min(PARTS_AT_ONCE_MAX, BUFFER_BYTES_MAX // part_bytes(size_bytes)))


def send_file(source: SourceFile, send: Callable[[int, bytes], T], sha256: str = "") -> tuple[list[T], str]:
    """Sends a file in parts. Gives the answers of `send(number, part)` in order, and the file's sha256.

    Raises IntegrityError when the file changed meanwhile, or isn't what `sha256` names. The last part of such a file is
    never sent, so that nothing whole can be made of the others.
    """
    part_size = part_bytes(source.size_bytes)
    count = -(-source.size_bytes // part_size)
    digest = hashlib.sha256()
    read_bytes = 0

    def check(number: int, part: bytes) -> None:
        nonlocal read_bytes
        digest.update(part)
        read_bytes += len(part)
        if number == count - 1:
            source.refuse_changed(read_bytes)
            if sha256 not in ("", digest.hexdigest()):
                raise source.changed()

    def read(number: int) -> bytes:
        return source.read(number * part_size, part_size)

    return send_parts(count, read, check, send, parts_at_once(source.size_bytes)), digest.hexdigest()


def send_parts(
    count: int,
    read: Callable[[int], bytes],
    check: Callable[[int, bytes], object],
    send: Callable[[int, bytes], T],
    at_once: int,
) -> list[T]:
    """Sends parts and gives the answers of `send(number, part)` in order. At most `at_once` parts are in memory.

    Each thread reads a part, calls `check(number, part)` when all parts before it were checked, and sends it, so a slow part
    holds no other back. The first failure ends it, when the parts under way have ended.
    """
    turns = _Turns(count)
    answers: dict[int, T] = {}

    def work() -> None:
        while (number := turns.next()) is not None:
            part = read(number)
            if not turns.wait(number):
                return
            check(number, part)
            turns.checked()
            answers[number] = send(number, part)
            del part

    def guarded() -> None:
        try:
            work()
        except BaseException:
            turns.end()
            raise

    with ThreadPoolExecutor(at_once) as pool:
        try:
            workers = [pool.submit(guarded) for _ in range(min(at_once, count))]
            for worker in as_completed(workers):
                worker.result()
        finally:
            turns.end()
    return [answers[number] for number in range(count)]


class _Turns:
    """Which part is read next, and which is checked next. Shared by threads."""

    def __init__(self, count: int) -> None:
        self._changed = Condition()
        self._unread = iter(range(count))
        self._checked = 0
        self._is_over = False

    def next(self) -> int | None:
        """The number of the next part to read. None: there is none, or the sending was ended."""
        with self._changed:
            return None if self._is_over else next(self._unread, None)

    def wait(self, number: int) -> bool:
        """Wait until all parts before this one are checked. False when the sending was ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or self._checked == number)
            return not self._is_over

    def checked(self) -> None:
        """Note that the part whose turn it was is checked."""
        with self._changed:
            self._checked += 1
            self._changed.notify_all()

    def end(self) -> None:
        """Send no part whose sending hasn't begun."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
