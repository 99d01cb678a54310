"""Sends the parts of a large file, some at once and in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_MIB = 1 << 20

PART_BYTES_MIN = 8 * _MIB
PARTS_MAX = 10_000
PARTS_AT_ONCE_MAX = 7
BUFFER_BYTES_MAX = 64 * _MIB
"""Bytes of all parts in memory together; only a file of more than 640 GB exceeds it, since one part of it has more."""


def part_bytes(size_bytes: int) -> int:
    """How large the parts of a file are: 8 MiB, more only where 10,000 parts would not do; whole MiB."""
    return max(PART_BYTES_MIN, -(-size_bytes // (PARTS_MAX * _MIB)) * _MIB)


def parts_at_once(size_bytes: int) -> int:
    """How many parts of a file of that size are in memory at once."""
    return max(1, min(PARTS_AT_ONCE_MAX, BUFFER_BYTES_MAX // part_bytes(size_bytes)))


def send_parts(parts: Iterable[bytes], send: Callable[[int, bytes], T], at_once: int) -> list[T]:
    """Sends each part and gives the answers of `send(number, bytes)` in order. At most `at_once` parts are in memory.

    The first failure, of `send` or of the reading, ends it, when the parts under way have ended.
    """
    pool = ThreadPoolExecutor(at_once)
    pending: deque[Future[T]] = deque()
    answers: list[T] = []
    unread = iter(parts)
    try:
        while (part := next(unread, None)) is not None:
            pending.append(pool.submit(send, len(answers) + len(pending), part))
            del part
            if len(pending) == at_once:
                answers.append(pending.popleft().result())
        answers.extend(future.result() for future in pending)
    finally:
        pool.shutdown(cancel_futures=True)
    return answers
