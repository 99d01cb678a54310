"""Puts packed code into stores, each once, and gets a pack back from one."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from federation.code.pack import PackedCode
from federation.code.unpack import decompress
from jobs.code_run import code_object
from regions.storage.errors import AlreadyExists, IntegrityError, NotFound, StoreError
from regions.storage.store import Create, ObjectInfo, Overwrite, Store

RENEWED_AFTER = timedelta(days=1)
"""Must be less than the age from which `fedml index gc` removes code (`--orphans 7d`)."""
_STORES_AT_ONCE = 8


def put_code(stores: Iterable[Store], packed: PackedCode) -> dict[str, bool]:
    """Puts the code into all of these stores at once and returns for each URL whether it was there already.

    `Create` is atomic: after a crash or a lost race the object is there whole or not there. What is there and isn't
    byte for byte what would be put is read and compared. What has been there for `RENEWED_AFTER` is written again, so that a
    `fedml index gc` at this moment, which knows nothing of the new run yet, finds it used. Raises IntegrityError where it is
    other code, StoreError.
    """
    by_url = {store.url: store for store in stores}
    with ThreadPoolExecutor(_STORES_AT_ONCE) as pool:
        found = list(pool.map(partial(_put, packed), by_url.values()))
    return dict(zip(by_url, found, strict=True))


def fetch_packed(store: Store, sha256: str, cache: Path) -> PackedCode:
    """The pack of that name from a store, in the folder `cache`. Its files and git's state aren't known then. Raises NotFound,
    IntegrityError for what isn't that code, StoreError."""
    folder = cache / "code"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{sha256}.tar.gz"
    info = store.get_file(code_object(sha256), path)
    unpacked_bytes = _verified(store, path, sha256)
    gzip_sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return PackedCode(sha256, path, info.size_bytes, unpacked_bytes, (), gzip_sha256, None, "")


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
    if found.modified is not None and found.modified < datetime.now(UTC) - RENEWED_AFTER:
        with suppress(StoreError):  # this token may only create
            store.put(key, packed.path.read_bytes(), Overwrite(), content_type="application/gzip")
    return True


def _compare(packed: PackedCode, store: Store, found: ObjectInfo) -> None:
    """Reads what is there only where it isn't byte for byte what would be put."""
    if (found.sha256, found.size_bytes) != (packed.gzip_sha256, packed.size_bytes):
        with tempfile.TemporaryDirectory(prefix="fedml-code-") as place:
            store.get_file(found.key, Path(place, "code.tar.gz"))
            _verified(store, Path(place, "code.tar.gz"), packed.sha256)


def _verified(store: Store, path: Path, sha256: str) -> int:
    """How many bytes the tar has. Raises IntegrityError, and removes the file, where it isn't that code."""
    with tempfile.TemporaryDirectory(prefix="fedml-code-") as place:
        plain = Path(place, "code.tar")
        if decompress(path, plain) == sha256:
            return plain.stat().st_size
    path.unlink()
    key = code_object(sha256)
    raise IntegrityError(
        f"{store.url_of(key)} isn't the code that it is named for (sha256 differs)",
        key=key,
        hint="somebody wrote it: delete that object with the vendor's own tool, and try again",
    )
