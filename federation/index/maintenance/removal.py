"""Delete the bytes of one result from one store: its record, its signatures, and its artifact's own prefix. Nothing else.

What is deleted is derived from the result's key and checked; no text of a record is ever taken for a place.
"""

from __future__ import annotations

import re

from federation.errors import IndexCorrupt
from federation.index.columns import Row
from federation.index.maintenance.store_listing import SIGNATURE_SUFFIX, file_place
from federation.result import Key, store_name
from regions.storage.store import Store

_SIGNER = re.compile(r"[0-9a-f]{16}")


def own_prefix(key: Key, alloc_id: str, manifest_sha256: str) -> str | None:
    """`artifacts/{run}/{slot}/{group}/{index}/{alloc_id}/{manifest_sha256}/`; None where these don't make such a prefix, so
    that nothing may be deleted by it."""
    prefix = key.artifact_prefix(alloc_id, manifest_sha256)
    place = file_place(f"{prefix}file")
    if place is None or any(segment in ("", ".", "..") for segment in prefix.rstrip("/").split("/")):
        return None
    is_same = (place.key, place.alloc_id, place.manifest_sha256, place.rest) == (key, alloc_id, manifest_sha256, "file")
    return prefix if is_same else None


def prefix_of(row: Row) -> str | None:
    """The prefix under which `publish` put the result's files, derived from its key; None for a result that lies anywhere
    else: it was adopted, published in place, or its record says something that can't be."""
    manifest_sha256 = row.url.rstrip("/").rpartition("/")[2]
    prefix = own_prefix(row.key, row.alloc_id, manifest_sha256)
    return prefix if prefix is not None and row.url == f"{store_name(row.store)}/{prefix}" else None


def remove_result(store: Store, key: Key, alloc_id: str, prefix: str) -> int:
    """Delete the record first, so that no record stands without its artifact; then its signatures and its files. `prefix`
    comes from `own_prefix`. Returns how many bytes that freed. Raises IndexCorrupt for another prefix, the store's errors."""
    _require(own_prefix(key, alloc_id, prefix.rstrip("/").rpartition("/")[2]), prefix)
    record_key = key.record_key(alloc_id)
    before = f"{record_key.removesuffix('.json')}."
    freed = _delete(store, record_key, {record_key})
    signatures = {
        info.key
        for info in store.list(before)
        if info.key.endswith(SIGNATURE_SUFFIX)
        and _SIGNER.fullmatch(info.key.removeprefix(before).removesuffix(SIGNATURE_SUFFIX))
    }
    return freed + _delete(store, before, signatures) + _delete(store, prefix)


def remove_files(store: Store, prefix: str) -> int:
    """Delete the files under an artifact's prefix, as `own_prefix` gives it; how many bytes that freed."""
    place = file_place(f"{prefix}file")
    _require(own_prefix(place.key, place.alloc_id, place.manifest_sha256) if place else None, prefix)
    return _delete(store, prefix)


def _require(own: str | None, prefix: str) -> None:
    if own is None or own != prefix:
        raise IndexCorrupt(f"{prefix[:200]!r} isn't the place of one artifact: nothing was deleted")


def _delete(store: Store, prefix: str, only: set[str] | None = None) -> int:
    freed = 0
    for info in list(store.list(prefix)):
        if info.key.startswith(prefix) and (only is None or info.key in only):
            store.delete(info.key)
            freed += info.size_bytes
    return freed
