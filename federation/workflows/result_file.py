"""Reads one file of a result's artifact: in parts, from the nearest store that has it, held against its sha256."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from federation.app import App
from federation.claims import files_problem
from federation.errors import StoreRefused, UsageError
from federation.index import Row
from federation.index.reader import Reader
from federation.index.rows import REMOVED
from federation.result import ResultFile, ResultRecord
from regions.storage.backend import is_folder
from regions.storage.errors import IntegrityError, StoreError
from regions.storage.store import Store

CHUNK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file of an artifact. `chunks` ends only when all of it had the sha256 that the index has: before that it raises
    IntegrityError, or the error of a store that fails, and a part of the file is missing."""

    file: ResultFile
    chunks: Iterator[bytes]


def file_of(record: ResultRecord, path: str) -> ResultFile:
    """The record's file of exactly this path. Raises IntegrityError for a record whose files would leave their folder,
    UsageError for a path that it doesn't have."""
    problem = files_problem(record.files)
    if problem:
        raise IntegrityError(f"result {record.alloc_id} {problem}; nothing of it is read", operation="get")
    for file in record.files:
        if file.path == path:
            return file
    raise UsageError(f"result {record.alloc_id} has no file {path!r}", hint=f"fedml index show {record.alloc_id[:8]}")


def open_file(app: App, index: Reader, row: Row, record: ResultRecord, path: str) -> OpenedFile:
    """Opens a file; its first part is read (and, if it is all of it, verified). Stores are tried as `Index.get` does. Raises
    UsageError, StoreError, StoreRefused."""
    file = file_of(record, path)
    if row.state == REMOVED:
        raise UsageError(f"result {row.alloc_id} was removed by gc; its artifact is gone", hint="see: fedml index log")
    stores, failure = app.result_stores(), None
    places = index.ask_again(lambda catalog: catalog.places_of(row))
    for url, made_there in sorted(places, key=lambda place: not is_folder(place[0])):
        try:
            chunks = _verified(stores.of(url, made_there), record, file)
            return OpenedFile(file, chain([next(chunks)], chunks))
        except (StoreError, StoreRefused) as error:
            failure = error if failure is None or made_there else failure
    assert failure is not None
    raise failure


def read_file(
    app: App, index: Reader, row: Row, record: ResultRecord, path: str, *, limit_bytes: int
) -> tuple[bytes, bool]:
    """(The first `limit_bytes` of a file at most, whether that is all of it). Only a whole file is verified."""
    opened = open_file(app, index, row, record, path)
    is_whole = opened.file.size_bytes <= limit_bytes
    if is_whole:
        return b"".join(opened.chunks), True
    data = b""
    for chunk in opened.chunks:
        data += chunk
        if len(data) >= limit_bytes:
            break
    return data[:limit_bytes], False


def _verified(store: Store, record: ResultRecord, file: ResultFile) -> Iterator[bytes]:
    """The file's bytes. The last part comes after the whole was held against its sha256."""
    key, digest, offset = record.artifact_prefix + file.path, hashlib.sha256(), 0
    while True:
        part = store.get_range(key, offset, CHUNK_BYTES)
        digest.update(part)
        offset += len(part)
        if not part or offset >= file.size_bytes:
            break
        yield part
    if offset != file.size_bytes or digest.hexdigest() != file.sha256:
        raise IntegrityError(
            f"{store.url_of(key)} is not the file that result {record.alloc_id} published (sha256 differs)",
            operation="get",
            key=key,
            hint="the object was changed in the store: restore it from the bucket's version history",
        )
    yield part
