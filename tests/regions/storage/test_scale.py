"""Many keys and large files. `make soak` (SOAK=1) takes 10,000 keys, 256 MB by parts and 5 GB; elsewhere a tenth or less."""

from __future__ import annotations

import hashlib
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from regions.model import StoreConfig
from regions.storage import open_store
from regions.storage.store import Store

IS_SOAK = bool(os.environ.get("SOAK"))
LISTED = 10_000 if IS_SOAK else 400
PARTS_BYTES = 256_000_000 if IS_SOAK else 40_000_000
SPARSE_BYTES = 5_000_000_000 if IS_SOAK else 100_000_000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def store_of(kind: str, request: pytest.FixtureRequest) -> Store:
    config: StoreConfig = request.getfixturevalue(f"{kind}_config")
    return open_store(config)


@pytest.mark.parametrize("kind", ["file", "s3", "seaweed", "gcs", "azure"])
def test_many_keys_are_listed_page_by_page_each_once_and_in_order(kind: str, request: pytest.FixtureRequest) -> None:
    store = store_of(kind, request)
    keys = [f"many/{number:06d}" for number in range(LISTED)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: store.put(key, b""), keys))
    assert [info.key for info in store.list("many/")] == keys
    assert [info.key for info in store.list("many/", start_after=keys[-7])] == keys[-6:]
    assert [info.key for info in store.list("many/0003")] == keys[300:400]


@pytest.mark.parametrize("kind", ["file", "s3", "seaweed", "gcs", "azure"])
def test_a_large_file_by_parts(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    store = store_of(kind, request)
    source, copy = tmp_path / "source", tmp_path / "copy"
    digest = hashlib.sha256()
    with source.open("wb") as file:
        for size in (1 << 20,) * (PARTS_BYTES >> 20) + (PARTS_BYTES & 0xFFFFF,):
            digest.update(data := secrets.token_bytes(size))
            file.write(data)
    put = store.put_file("large", source)
    got = store.get_file("large", copy)
    assert put.sha256 == got.sha256 == sha256_of(copy) == digest.hexdigest()
    assert got.size_bytes == PARTS_BYTES


@pytest.mark.parametrize("kind", ["file", "seaweed"])
def test_a_sparse_file_of_many_gigabytes(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    store = store_of(kind, request)
    source, copy = tmp_path / "source", tmp_path / "copy"
    with source.open("wb") as file:
        file.truncate(SPARSE_BYTES)
        file.seek(SPARSE_BYTES - 5)
        file.write(b"ended")
    put = store.put_file("large", source)
    assert store.get_range("large", SPARSE_BYTES - 5, 5) == b"ended"
    assert store.get_file("large", copy).sha256 == put.sha256
    assert copy.stat().st_size == SPARSE_BYTES
    copy.unlink()
    store.delete("large")


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
