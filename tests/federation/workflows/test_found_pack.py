"""The code of an earlier run is brought to the stores of a new one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from federation.code.pack import PackedCode, pack
from federation.code.upload import put_code
from federation.workflows.code_stores import found_pack
from jobs.code_run import code_object
from regions.storage.errors import IntegrityError, NotFound
from tests.federation.code.helpers import write
from tests.federation.conftest import MemoryStore


@pytest.fixture
def packed(tmp_path: Path) -> PackedCode:
    return pack(write(tmp_path / "source", {"train.py": "print()\n"}), tmp_path / "first")


def app(tmp_path: Path, *stores: MemoryStore) -> Any:
    by_name = {store.url: store for store in stores}
    known = SimpleNamespace(names=list(by_name), of=by_name.__getitem__)
    return SimpleNamespace(config=SimpleNamespace(cache_dir=tmp_path / "second"), result_stores=lambda: known)


def test_it_is_taken_from_whichever_store_has_it_and_verified(tmp_path: Path, packed: PackedCode) -> None:
    without, changed, has = (MemoryStore(f"memory://{name}") for name in ("without", "changed", "has"))
    changed.put(code_object(packed.sha256), b"something else")
    put_code([has], packed)
    found = found_pack(app(tmp_path, without, changed, has), packed.sha256)
    assert (found.sha256, found.path.read_bytes()) == (packed.sha256, packed.path.read_bytes())
    assert put_code([without], found) == {without.url: False}
    assert without.objects == has.objects


def test_where_none_has_it_the_first_says_so(tmp_path: Path, packed: PackedCode) -> None:
    without, changed = MemoryStore("memory://without"), MemoryStore("memory://changed")
    changed.put(code_object(packed.sha256), b"something else")
    with pytest.raises(NotFound):
        found_pack(app(tmp_path, without, changed), packed.sha256)
    with pytest.raises(IntegrityError):
        found_pack(app(tmp_path, changed), packed.sha256)
