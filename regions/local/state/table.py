"""A persistent sorted map: a change returns a new map, and every older map stays as it was."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Any

_WIDTH = 64
Node = tuple[list[Any], list[Any]]
"""Sorted keys and, for each, its value (in a leaf) or the node that begins with it."""


class Table:
    """A B-tree that is copied on write along one path: `put` and `delete` cost about log n, and readers of older
    versions need no lock.

    Keys are strings or tuples, all of one kind within a table, because prefix scans rely on their order.
    """

    __slots__ = ("_height", "_root", "size")

    def __init__(self, root: Node = ([], []), height: int = 0, size: int = 0) -> None:
        self._root = root
        self._height = height
        self.size = size

    @classmethod
    def of(cls, pairs: list[tuple[Any, Any]]) -> Table:
        """Builds a table from sorted pairs."""
        step = _WIDTH * 3 // 4
        parts = [pairs[at : at + step] for at in range(0, len(pairs), step)]
        nodes: list[Node] = [([key for key, _ in part], [value for _, value in part]) for part in parts]
        height = 0
        while len(nodes) > 1:
            groups = [nodes[at : at + step] for at in range(0, len(nodes), step)]
            nodes = [([node[0][0] for node in group], list(group)) for group in groups]
            height += 1
        return cls(nodes[0], height, len(pairs)) if nodes else cls()

    def __len__(self) -> int:
        return self.size

    def _leaf(self, key: Any) -> Node:
        keys, kids = self._root
        for _ in range(self._height):
            keys, kids = kids[max(0, bisect_right(keys, key) - 1)]
        return keys, kids

    def get(self, key: Any) -> Any:
        """Returns the value, or None."""
        keys, values = self._leaf(key)
        at = bisect_left(keys, key)
        return values[at] if at < len(keys) and keys[at] == key else None

    def __contains__(self, key: Any) -> bool:
        keys, _ = self._leaf(key)
        at = bisect_left(keys, key)
        return at < len(keys) and bool(keys[at] == key)

    def put(self, key: Any, value: Any) -> Table:
        """Returns a table in which `key` has `value`."""
        nodes, is_new = _put(self._root, self._height, key, value)
        if len(nodes) == 1:
            return Table(nodes[0], self._height, self.size + is_new)
        return Table(([node[0][0] for node in nodes], nodes), self._height + 1, self.size + is_new)

    def delete(self, key: Any) -> Table:
        """Returns a table without `key`, or itself where there is none."""
        if key not in self:
            return self
        root, height = _delete(self._root, self._height, key), self._height
        while height and len(root[0]) == 1:
            root, height = root[1][0], height - 1
        return Table(root, height if root[0] else 0, self.size - 1)

    def items(self, start: Any = None) -> Iterator[tuple[Any, Any]]:
        """Yields pairs in order of keys, from `start` (inclusive) on."""
        return _items(self._root, self._height, start)

    def values(self, start: Any = None) -> Iterator[Any]:
        """Yields values in order of their keys, from `start` (inclusive) on."""
        for _, value in self.items(start):
            yield value

    def prefixed(self, prefix: tuple[str, ...]) -> Iterator[tuple[Any, Any]]:
        """Yields pairs whose tuple key begins with `prefix`."""
        width = len(prefix)
        for key, value in self.items(prefix):
            if key[:width] != prefix:
                return
            yield key, value


def _put(node: Node, height: int, key: Any, value: Any) -> tuple[list[Node], bool]:
    """Returns the one or two nodes that replace the node, and whether the key is new."""
    keys, kids = node
    kids = kids.copy()
    if height:
        at = max(0, bisect_right(keys, key) - 1)
        nodes, is_new = _put(kids[at], height - 1, key, value)
        keys = keys.copy()
        keys[at : at + 1] = [one[0][0] for one in nodes]
        kids[at : at + 1] = nodes
    else:
        at = bisect_left(keys, key)
        is_new = at == len(keys) or bool(keys[at] != key)
        if is_new:
            keys = keys.copy()
            keys.insert(at, key)
            kids.insert(at, value)
        else:
            kids[at] = value
    if len(keys) <= _WIDTH:
        return [(keys, kids)], is_new
    middle = _WIDTH // 2
    return [(keys[:middle], kids[:middle]), (keys[middle:], kids[middle:])], is_new


def _delete(node: Node, height: int, key: Any) -> Node:
    keys, kids = node[0].copy(), node[1].copy()
    if height:
        at = max(0, bisect_right(keys, key) - 1)
        kid = _delete(kids[at], height - 1, key)
        if kid[0]:
            keys[at], kids[at] = kid[0][0], kid
            return keys, kids
    else:
        at = bisect_left(keys, key)
    del keys[at]
    del kids[at]
    return keys, kids


def _items(node: Node, height: int, start: Any) -> Iterator[tuple[Any, Any]]:
    keys, kids = node
    if not height:
        at = 0 if start is None else bisect_left(keys, start)
        yield from zip(keys[at:], kids[at:], strict=True)
        return
    first = 0 if start is None else max(0, bisect_right(keys, start) - 1)
    for at in range(first, len(kids)):
        yield from _items(kids[at], height - 1, start if at == first else None)
