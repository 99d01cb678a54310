"""Copy a result's artifact and record into another store, verified, and record in the index where the copy lies.

Files go one by one through a temporary file: memory stays bounded whatever their size, and not one byte is taken on that
doesn't have the sha256 of the record. The record is written last, as `publish` does it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from federation.errors import StoreRefused, UsageError
from federation.index.catalog.catalog import Catalog
from federation.index.columns import Row
from federation.index.index import Index
from federation.index.maintenance.removal import own_prefix, remove_result
from federation.index.maintenance.store_listing import SIGNATURE_BYTES_MAX, SIGNATURE_SUFFIX
from federation.index.maintenance.stored_record import read_record
from federation.index.rows import REMOVED
from federation.index.stores import OpenStore, identity, is_at
from federation.log import Change
from federation.result import ResultFile, ResultRecord, store_name
from regions.storage.errors import AlreadyExists, IntegrityError, NotFound, StoreError
from regions.storage.store import Create, Store

_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy did. `is_new`: the index didn't know of a copy in that store before."""

    alloc_id: str
    store: str
    files: int
    """Those that had to be sent: the others were there already, and verified."""
    size_bytes: int
    is_new: bool


def copy_result(
    index: Index, open_store: OpenStore, row: Row, target_url: str, *, target: Store | None = None
) -> Copied:
    """Copy a result into the store of that URL, from whichever store has each file whole. Copying into the store where it
    was made mends what is broken there. Nothing of it is recorded unless all of it is there. `target` is that store opened,
    where a person named one that `open_store` doesn't know.

    Raises UsageError for a result that gc removed or that was adopted where it lay, StoreRefused where no store of the result
    may be opened, StoreError when no store has a file
    whole or the target can't be written. After a crash some files lie in the target without a record; do it again.
    """
    record = index.record(row)
    if record.prefix is not None:
        raise UsageError(
            f"result {row.alloc_id[:8]} was adopted where its job wrote it: fedml doesn't copy what isn't its own",
            hint="copy the objects with the vendor's own tool, or publish them",
        )
    _refuse_removed(index, row.alloc_id)
    target = target or open_store(target_url)
    sources, is_new = _sources(open_store, index.ask(lambda catalog: catalog.places_of(row)), target)
    with tempfile.TemporaryDirectory(prefix="fedml-copy-") as folder, ThreadPoolExecutor(_AT_ONCE) as pool:
        places = (Path(folder) / str(number) for number in range(len(record.files)))
        sent = list(
            pool.map(lambda file, place: _copy_file(record, file, sources, target, place), record.files, places)
        )
    _copy_signatures(record, sources, target)
    _write_record(record, target)
    if is_new:
        _record_location(index, record, target, target_url)
    return Copied(row.alloc_id, store_name(target_url), sum(map(bool, sent)), sum(sent), is_new)


def _sources(
    open_store: OpenStore, places: Sequence[tuple[str, Row | None]], target: Store
) -> tuple[list[Store], bool]:
    """(the other stores of these places that may be opened, whether the target isn't one of the places). Raises StoreRefused
    where there are other stores, and none may be opened."""
    found: list[Store] = []
    refused: StoreRefused | None = None
    others = [place for place in places if not is_at(place[0], target)]
    for place in others:
        try:
            found.append(open_store(*place))
        except StoreRefused as error:
            refused = refused or error
    if refused and not found:
        raise refused
    sources = [store for store in found if identity(store) != identity(target)]
    return sources, len(others) == len(places) and len(sources) == len(found)


def _copy_file(record: ResultRecord, file: ResultFile, sources: list[Store], target: Store, place: Path) -> int:
    """How many bytes had to be sent."""
    key = record.artifact_prefix + file.path
    if _brought(target, key, file, place) == "":
        place.unlink()
        return 0
    reasons: list[str] = []
    for source in sources:
        problem = _brought(source, key, file, place)
        if problem:
            reasons.append(f"{source.url_of(key)}: {problem}")
            continue
        target.put_file(key, place, sha256=file.sha256)
        place.unlink()
        return file.size_bytes
    where = "; ".join(reasons) or "no other store is known to hold it"
    raise NotFound(
        f"no copy of {file.path} of result {record.alloc_id} is whole: {where}",
        operation="copy",
        key=key,
        hint="restore the object from the bucket's version history;  fedml index verify --deep  looks at all of them",
    )


def _brought(store: Store, key: str, file: ResultFile, place: Path) -> str:
    """Downloads the object to `place`. Returns why it isn't the file of the record; empty if it is."""
    try:
        store.get_file(key, place)
    except StoreError as error:
        return error.message
    with place.open("rb") as data:
        digest = hashlib.file_digest(data, "sha256").hexdigest()
    if digest != file.sha256:
        place.unlink()
        return f"its sha256 is {digest}"
    return ""


def _copy_signatures(record: ResultRecord, sources: list[Store], target: Store) -> None:
    for key, data in _signatures(record, sources):
        try:
            target.put(key, data, Create(), content_type="application/json")
        except AlreadyExists:
            continue


def _signatures(record: ResultRecord, sources: list[Store]) -> Iterator[tuple[str, bytes]]:
    prefix = record.key.record_key(record.alloc_id).removesuffix(".json") + "."
    for source in sources:
        try:
            for info in source.list(prefix):
                if info.key.endswith(SIGNATURE_SUFFIX):
                    yield info.key, source.get_small(info.key, limit_bytes=SIGNATURE_BYTES_MAX)
        except StoreError:  # the log has them too
            continue


def _write_record(record: ResultRecord, target: Store) -> None:
    key = record.key.record_key(record.alloc_id)
    try:
        target.put(key, record.to_json(), Create(), content_type="application/json")
    except AlreadyExists:
        if read_record(target, key) != record:
            raise IntegrityError(
                f"{target.url_of(key)} is there, and is another record than the one that was committed",
                operation="copy",
                key=key,
                hint="look at who wrote it (fedml index verify --deep), and delete it",
            ) from None


def _record_location(index: Index, record: ResultRecord, target: Store, target_url: str) -> None:
    def decide(catalog: Catalog) -> list[Change]:
        if catalog.value("SELECT 1 FROM removed WHERE alloc_id = ?", record.alloc_id):
            prefix = own_prefix(record.key, record.alloc_id, record.manifest_sha256)
            if prefix is not None:
                remove_result(target, record.key, record.alloc_id, prefix)
            raise _removed(record.alloc_id)
        if any(is_at(url, target) for url in catalog.copies_of(record.alloc_id)):
            return []
        return [{"type": "locate", "alloc_id": record.alloc_id, "store": target_url}]

    index.change(decide, reason=f"copy to {store_name(target_url)}")


def _refuse_removed(index: Index, alloc_id: str) -> None:
    if index.ask(lambda catalog: catalog.value("SELECT state FROM result WHERE alloc_id = ?", alloc_id)) == REMOVED:
        raise _removed(alloc_id)


def _removed(alloc_id: str) -> UsageError:
    return UsageError(f"result {alloc_id[:8]} was removed by gc: there is nothing left to copy")
