"""List the results and artifacts that lie in a store, by key. One listing; no object is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from federation.result import Key
from jobs.frozen import frozen
from regions.storage.store import ObjectInfo, Store

RESULTS = "results/"
ARTIFACTS = "artifacts/"
SIGNATURE_SUFFIX = ".sig.json"
SIGNATURE_BYTES_MAX = 65_536
_SHA256 = re.compile("[0-9a-f]{64}")


@frozen
class Place:
    """Where something lies, as its key says it. `rest` is a file's path in its artifact."""

    key: Key
    alloc_id: str
    manifest_sha256: str = ""
    rest: str = ""


@dataclass(slots=True)
class StoreListing:
    """What one store holds."""

    store: Store
    records: dict[str, ObjectInfo] = field(default_factory=dict)
    """By object key."""
    signatures: dict[str, ObjectInfo] = field(default_factory=dict)
    files: dict[str, dict[str, ObjectInfo]] = field(default_factory=dict)
    """By artifact prefix, then by path in the artifact."""
    strays: list[ObjectInfo] = field(default_factory=list)

    def unrecorded(self) -> Iterator[tuple[str, str]]:
        """(prefix, run) of each artifact whose record doesn't lie in the same store."""
        recorded = {key.removeprefix(RESULTS).removesuffix(".json") for key in self.records}
        for prefix in self.files:
            owner = prefix.removeprefix(ARTIFACTS).rstrip("/").rpartition("/")[0]
            if owner not in recorded:
                yield prefix, owner.rsplit("/", 4)[0]

    def newest(self, prefix: str) -> datetime | None:
        """When the artifact under `prefix` was last written to, by the store's clock."""
        times = [info.modified for info in self.files[prefix].values() if info.modified is not None]
        return max(times, default=None)

    def size_bytes(self, prefix: str) -> int:
        """All files under an artifact's prefix."""
        return sum(info.size_bytes for info in self.files.get(prefix, {}).values())


def list_store(store: Store) -> StoreListing:
    """List the store's results and artifacts. Raises the store's errors."""
    found = StoreListing(store)
    for info in store.list(RESULTS):
        place = record_place(info.key)
        if place is None:
            found.strays.append(info)
        elif place.rest:
            found.signatures[info.key] = info
        else:
            found.records[info.key] = info
    for info in store.list(ARTIFACTS):
        place = file_place(info.key)
        if place is None:
            found.strays.append(info)
        else:
            prefix = place.key.artifact_prefix(place.alloc_id, place.manifest_sha256)
            found.files.setdefault(prefix, {})[place.rest] = info
    return found


def record_place(key: str) -> Place | None:
    """What `results/{run}/{slot}/{group}/{index}/{alloc_id}.json` says (`rest` is set for a signature); None for another."""
    parts = key.removeprefix(RESULTS).rsplit("/", 4)
    if len(parts) != 5 or not key.endswith(".json"):
        return None
    is_signature = key.endswith(SIGNATURE_SUFFIX)
    name = parts[4].removesuffix(SIGNATURE_SUFFIX if is_signature else ".json")
    alloc_id = name.partition(".")[0] if is_signature else name
    found = _key(*parts[:4])
    if found is None or (not is_signature and found.record_key(alloc_id) != key):
        return None
    return Place(found, alloc_id, rest="signature" if is_signature else "")


def file_place(key: str) -> Place | None:
    """What `artifacts/{run}/{slot}/{group}/{index}/{alloc_id}/{manifest_sha256}/{path}` says; None for another key.

    A run's id may hold slashes, and so may a path: the slot's nine digits and the hash's 64 say where they end."""
    segments = key.removeprefix(ARTIFACTS).split("/")
    for end in range(1, len(segments) - 5):
        slot, group, index, alloc_id, manifest = segments[end : end + 5]
        if len(slot) < 9 or not slot.isdecimal() or not _SHA256.fullmatch(manifest):
            continue
        found = _key("/".join(segments[:end]), slot, group, index)
        if found is not None:
            return Place(found, alloc_id, manifest, "/".join(segments[end + 5 :]))
    return None


def _key(run: str, slot: str, group: str, index: str) -> Key | None:
    if not (run and slot.isdecimal() and index.isdecimal() and slot.isascii() and index.isascii()):
        return None
    found = Key(run, int(slot), group, int(index))
    return found if found.path == f"{run}/{slot}/{group}/{index}" else None
