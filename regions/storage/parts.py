"""A large file enters, its parts leave through the given `send`, some at once and in bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from regions.storage.source import SourceFile

T = TypeVar("T")

_MIB = 1 << 20

PART_BYTES_MIN = 8 * _MIB
PARTS_MAX = 10_000
PARTS_AT_ONCE = 4


def part_bytes(size_bytes: int) -> int:
    """How large the parts of a file are: 8 MiB, more only where 10,000 parts would not do; whole MiB."""
    return max(PART_BYTES_MIN, -(-size_bytes // (PARTS_MAX * _MIB)) * _MIB)


def read_part(source: SourceFile, digests: Sequence[bytes], number: int) -> bytes:
    """That part, if it still has the sha256 of an earlier reading. Raises IntegrityError for other bytes."""
    size_bytes = part_bytes(source.size_bytes)
    body = source.read(number * size_bytes, size_bytes)
    if hashlib.sha256(body).digest() != digests[number]:
        raise source.changed()
    return body


def send_parts(source: SourceFile, digests: Sequence[bytes], send: Callable[[int, bytes], T]) -> list[T]:
    """What `send(number, bytes)` gave for each part. The first failure ends it, when the parts under way have ended.

    Raises IntegrityError where the file changed since `digests` were taken, else what `send` raises.
    """
    pool = ThreadPoolExecutor(PARTS_AT_ONCE)
    try:
        answers = list(pool.map(lambda number: send(number, read_part(source, digests, number)), range(len(digests))))
    finally:
        pool.shutdown(cancel_futures=True)
    source.refuse_changed(source.size_bytes)
    return answers
