"""A large file enters, its parts leave through the given `send`, some at once and in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_MIB = 1 << 20

PART_BYTES_MIN = 8 * _MIB
PARTS_MAX = 10_000
PARTS_AT_ONCE = 4


def part_bytes(size_bytes: int) -> int:
    """How large the parts of a file are: 8 MiB, more only where 10,000 parts would not do; whole MiB."""
    return max(PART_BYTES_MIN, -(-size_bytes // (PARTS_MAX * _MIB)) * _MIB)


def send_parts(parts: Iterable[bytes], send: Callable[[int, bytes], T]) -> list[T]:
    """What `send(number, bytes)` gave for each part, in order. One part is read while the others are under way.

    The first failure, of `send` or of the reading, ends it, when the parts under way have ended.
    """
    pool = ThreadPoolExecutor(PARTS_AT_ONCE)
    pending: deque[Future[T]] = deque()
    answers: list[T] = []
    try:
        for number, part in enumerate(parts):
            if len(pending) == PARTS_AT_ONCE:
                answers.append(pending.popleft().result())
            pending.append(pool.submit(send, number, part))
        answers.extend(future.result() for future in pending)
    finally:
        pool.shutdown(cancel_futures=True)
    return answers
