"""Code goes into each store once, whole, whoever else is at it; what is there is compared."""

from __future__ import annotations

import gzip
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from federation.code.pack import PackedCode, pack
from federation.code.unpack import fetch_code
from federation.code.upload import put_code
from jobs.code_run import code_object
from regions.storage import open_store
from regions.storage.errors import IntegrityError
from tests.federation.code.helpers import write
from tests.federation.conftest import MemoryStore


@pytest.fixture
def packed(tmp_path: Path) -> PackedCode:
    return pack(write(tmp_path / "a", {"train.py": "print(1)\n", "lib/x.py": "x" * 100_000}), tmp_path / "cache")


@pytest.mark.parametrize("kind", ["file", "s3", "seaweed", "gcs", "azure"])
def test_every_store_carries_code(
    tmp_path: Path, packed: PackedCode, kind: str, request: pytest.FixtureRequest
) -> None:
    config = request.getfixturevalue(f"{kind}_config")
    stores = [open_store(config) for _ in range(6)]
    moved: list[int] = []
    for store in stores:
        store.progress = moved.append
    with ThreadPoolExecutor(len(stores)) as pool:
        outcomes = list(pool.map(lambda store: put_code([store], packed)[store.url], stores))
    assert outcomes.count(False) == 1  # of a race one wins; the others find it
    assert put_code([stores[0]], packed) == {stores[0].url: True}
    assert sum(moved) == packed.size_bytes
    assert fetch_code(open_store(config), packed.sha256, tmp_path / "code") == 2
    assert (tmp_path / "code" / "train.py").read_text() == "print(1)\n"


def test_many_stores_get_it_at_once(packed: PackedCode) -> None:
    stores = [MemoryStore(f"memory://{number}") for number in range(3)]
    stores[1].put(code_object(packed.sha256), packed.path.read_bytes())
    assert put_code(stores, packed) == {"memory://0": False, "memory://1": True, "memory://2": False}


def test_what_has_been_there_for_long_is_written_again_so_that_no_gc_takes_it(
    packed: PackedCode, memory_store: MemoryStore
) -> None:
    key = code_object(packed.sha256)
    for age, puts in ((timedelta(0), 1), (timedelta(hours=23), 1), (timedelta(hours=25), 2)):
        memory_store.clock = lambda age=age: datetime.now(UTC) - age  # type: ignore[misc]
        put_code([memory_store], packed)
        assert memory_store.requests.count(("put", key)) == puts
    memory_store.clock = lambda: None
    assert put_code([memory_store], packed) == {memory_store.url: True}


def test_the_same_code_in_another_gzip_is_the_same(packed: PackedCode, memory_store: MemoryStore) -> None:
    other = gzip.compress(gzip.decompress(packed.path.read_bytes()), 1)
    memory_store.put(code_object(packed.sha256), other)
    assert put_code([memory_store], packed) == {memory_store.url: True}
    assert memory_store.objects[code_object(packed.sha256)] == other


@pytest.mark.parametrize("bad", [b"", b"short", "cut", "other"])
def test_what_isnt_the_code_is_refused(packed: PackedCode, memory_store: MemoryStore, bad: bytes | str) -> None:
    good = packed.path.read_bytes()
    there = {"cut": good[:-9], "other": gzip.compress(b"other")}.get(str(bad)) or bytes(
        bad if isinstance(bad, bytes) else b""
    )
    memory_store.put(code_object(packed.sha256), there)
    with pytest.raises(IntegrityError, match="isn't the code that it is named for") as error:
        put_code([memory_store], packed)
    assert "delete that object" in error.value.hint
