"""A persistent sorted map: a key and a value enter, a new map leaves, and every older map stays as it was."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

_CHUNK = 256


class Table:
    """Sorted chunks, copied on write: `put` and `delete` cost about √n, readers of older versions need no lock.

    Keys are strings or tuples of them, all of one kind within a table, since order is what prefix scans rest on.
    """

    __slots__ = ("_chunks", "_firsts", "size")

    def __init__(
        self, firsts: list[Any] | None = None, chunks: list[tuple[list[Any], list[Any]]] | None = None, size: int = 0
    ) -> None:
        self._firsts = firsts or []
        self._chunks = chunks or []
        self.size = size

    def __len__(self) -> int:
        return self.size

    def _chunk_of(self, key: Any) -> int:
        position = bisect_left(self._firsts, key)
        if position < len(self._firsts) and self._firsts[position] == key:
            return position
        return position - 1 if position else 0

    def get(self, key: Any) -> Any:
        """The value, or None."""
        if not self._chunks:
            return None
        keys, values = self._chunks[self._chunk_of(key)]
        at = bisect_left(keys, key)
        return values[at] if at < len(keys) and keys[at] == key else None

    def __contains__(self, key: Any) -> bool:
        if not self._chunks:
            return False
        keys, _ = self._chunks[self._chunk_of(key)]
        at = bisect_left(keys, key)
        return at < len(keys) and bool(keys[at] == key)

    def put(self, key: Any, value: Any) -> Table:
        """A table in which `key` has `value`."""
        if not self._chunks:
            return Table([key], [([key], [value])], 1)
        which = self._chunk_of(key)
        keys, values = self._chunks[which]
        at = bisect_left(keys, key)
        chunks = self._chunks.copy()
        if at < len(keys) and keys[at] == key:
            values = values.copy()
            values[at] = value
            chunks[which] = (keys, values)
            return Table(self._firsts, chunks, self.size)
        keys, values, firsts = keys.copy(), values.copy(), self._firsts.copy()
        keys.insert(at, key)
        values.insert(at, value)
        firsts[which] = keys[0]
        if len(keys) <= _CHUNK:
            chunks[which] = (keys, values)
        else:
            # Keys mostly come in rising order, so a full last chunk is left nearly full.
            middle = _CHUNK - 16 if which == len(chunks) - 1 else _CHUNK // 2
            chunks[which : which + 1] = [(keys[:middle], values[:middle]), (keys[middle:], values[middle:])]
            firsts.insert(which + 1, keys[middle])
        return Table(firsts, chunks, self.size + 1)

    def delete(self, key: Any) -> Table:
        """A table without `key`; itself when there was none."""
        if key not in self:
            return self
        which = self._chunk_of(key)
        keys, values = self._chunks[which]
        at = bisect_left(keys, key)
        chunks, firsts = self._chunks.copy(), self._firsts.copy()
        if len(keys) == 1:
            del chunks[which]
            del firsts[which]
        else:
            keys, values = keys.copy(), values.copy()
            del keys[at]
            del values[at]
            chunks[which] = (keys, values)
            firsts[which] = keys[0]
        return Table(firsts, chunks, self.size - 1)

    def items(self, start: Any = None) -> Iterator[tuple[Any, Any]]:
        """Pairs in order of keys, from `start` (inclusive) on."""
        first = 0 if start is None or not self._chunks else self._chunk_of(start)
        for which in range(first, len(self._chunks)):
            keys, values = self._chunks[which]
            at = bisect_left(keys, start) if start is not None and which == first else 0
            yield from zip(keys[at:], values[at:], strict=True)

    def values(self, start: Any = None) -> Iterator[Any]:
        """Values in order of their keys, from `start` (inclusive) on."""
        for _, value in self.items(start):
            yield value

    def prefixed(self, prefix: tuple[str, ...]) -> Iterator[tuple[Any, Any]]:
        """Pairs whose tuple key begins with `prefix`."""
        width = len(prefix)
        for key, value in self.items(prefix):
            if key[:width] != prefix:
                return
            yield key, value
