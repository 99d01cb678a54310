"""Puts objects that Azure lists into the order of their names' UTF-8 bytes, in bounded memory.

Azure orders by UTF-16 code units, where characters beyond U+FFFF come before those from U+E000 on. Only names that have such
a character can be out of place, and only among those that share everything before the first such character. These follow
one another, and are held back and sorted. The order of a server that lists by UTF-8 stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from regions.storage.errors import NotSupported
from regions.storage.store import ObjectInfo

_FIRST_SURROGATE = "\ud800"


def in_byte_order(objects: Iterable[ObjectInfo], store: str) -> Iterator[ObjectInfo]:
    """Raises NotSupported where the server has yet another order (a hierarchical namespace sorts folder by folder)."""
    held: list[ObjectInfo] = []
    shared: str | None = None
    last = ""
    for found in objects:
        stem = _stem(found.key)
        if held and stem != shared:
            yield from sorted(held, key=_by_bytes)
            held.clear()
        if stem is not None:
            held.append(found)
            shared = stem
            continue
        if found.key < last:
            raise NotSupported(
                f"this account doesn't list in order: {found.key!r} after {last!r}",
                store=store,
                operation="list",
                hint="use an account without a hierarchical namespace",
            )
        last = found.key
        yield found
    yield from sorted(held, key=_by_bytes)


def _stem(name: str) -> str | None:
    """What stands before the first character whose place differs; None for a name without one."""
    if name.isascii():
        return None
    place = next((place for place, char in enumerate(name) if char >= _FIRST_SURROGATE), None)
    return None if place is None else name[:place]


def _by_bytes(found: ObjectInfo) -> str:
    return found.key  # code points sort as UTF-8 bytes do
