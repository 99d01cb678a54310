"""Puts packed code into stores, each once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from federation.code.pack import PackedCode
from federation.code.unpack import decompress
from jobs.code_run import code_object
from regions.storage.errors import AlreadyExists, IntegrityError, NotFound
from regions.storage.store import Create, ObjectInfo, Store

_STORES_AT_ONCE = 8


def put_code(stores: Iterable[Store], packed: PackedCode) -> dict[str, bool]:
    """Puts the code into all of these stores at once and returns for each URL whether it was there already.

    `Create` is atomic: after a crash or a lost race the object is there whole or not there. What is there and isn't
    byte for byte what would be put is read and compared. Raises IntegrityError where it is other code, StoreError.
    """
    by_url = {store.url: store for store in stores}
    with ThreadPoolExecutor(_STORES_AT_ONCE) as pool:
        found = list(pool.map(partial(_put, packed), by_url.values()))
    return dict(zip(by_url, found, strict=True))


def _put(packed: PackedCode, store: Store) -> bool:
    key = code_object(packed.sha256)
    try:
        found = store.stat(key)
    except NotFound:
        try:
            store.put(key, packed.path.read_bytes(), Create(), content_type="application/gzip")
            if store.progress:
                store.progress(packed.size_bytes)
            return False
        except AlreadyExists:  # another run with the same code was faster
            found = store.stat(key)
    _compare(packed, store, found)
    return True


def _compare(packed: PackedCode, store: Store, found: ObjectInfo) -> None:
    if (found.sha256, found.size_bytes) == (packed.gzip_sha256, packed.size_bytes):
        return
    with tempfile.TemporaryDirectory(prefix="fedml-code-") as place:
        got, plain = Path(place, "code.tar.gz"), Path(place, "code.tar")
        store.get_file(found.key, got)
        if decompress(got, plain, bytes_max=packed.unpacked_bytes + (1 << 20)) != packed.sha256:
            raise IntegrityError(
                f"{store.url_of(found.key)} isn't the code that it is named for (sha256 differs)",
                operation="put",
                key=found.key,
                hint="somebody wrote it: delete that object with the vendor's own tool, and try again",
            )
