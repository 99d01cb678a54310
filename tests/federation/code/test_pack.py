"""The same files give the same hash, on any machine, and come out as they went in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from federation.code.pack import pack
from federation.code.unpack import fetch_code
from federation.code.upload import put_code
from regions.storage.store import Store


def write(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return root


def test_code_goes_through_a_store(tmp_path: Path, memory_store: Store) -> None:
    root = write(tmp_path / "a", {"train.py": "print(1)\n", "lib/model.py": "x = 1\n", "run.sh": "#!/bin/sh\n"})
    (root / "run.sh").chmod(0o755)
    (root / "lib" / "link.py").symlink_to("model.py")
    packed = pack(root, tmp_path / "cache")
    assert put_code([memory_store], packed) == {memory_store.url: False}
    assert put_code([memory_store], packed) == {memory_store.url: True}

    folder = tmp_path / "node" / "code"
    assert fetch_code(memory_store, packed.sha256, folder) == packed.file_count == 4
    assert (folder / "train.py").read_text() == "print(1)\n"
    assert (folder / "lib" / "link.py").readlink() == Path("model.py")
    assert os.access(folder / "run.sh", os.X_OK)
    assert not os.access(folder / "train.py", os.X_OK)
    assert [path.name for path in folder.parent.iterdir()] == ["code"]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_neither_clock_nor_umask_nor_order_count(tmp_path: Path, mask: int) -> None:
    files = {"b.py": "2", "a.py": "1", "ä/ü.py": "3"}
    first = pack(write(tmp_path / "one", files), tmp_path / "cache")
    before = os.umask(mask)
    try:
        other = write(tmp_path / "other", dict(reversed(files.items())))
    finally:
        os.umask(before)
    os.utime(other / "a.py", (1, 1))
    assert pack(other, tmp_path / "cache").sha256 == first.sha256
