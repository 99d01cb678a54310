"""The part of the suite for backends that is about content: files, ranges, damage, progress."""

from __future__ import annotations

import hashlib
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

from regions.storage.errors import IntegrityError, NotFound, NotSupported, StoreError
from regions.storage.store import Store

MIB = 1 << 20


class FileConformance(ABC):
    """See `regions.storage.conformance.StoreConformance`."""

    @abstractmethod
    def make_store(self) -> Store:
        """A handle on the place under test; each call gives another handle on the same place."""

    @abstractmethod
    def damage(self, store: Store, key: str) -> None:
        """Flips one byte of that object, keeping what is noted about it."""

    def test_damage_is_noticed(self) -> None:
        store, key = self.make_store(), f"{a_folder()}/object"
        store.put(key, b"precious bytes")
        self.damage(store, key)
        with raises(IntegrityError):
            self.make_store().get(key)
        with _scratch() as folder:
            target = folder / "copy"
            with raises(IntegrityError):
                store.get_file(key, target)
            assert list(folder.iterdir()) == []

    def test_files_go_up_and_come_down_whole(self) -> None:
        store, folder = self.make_store(), a_folder()
        with _scratch() as scratch:
            for size in (0, 1, 17 * MIB + 11):
                data = secrets.token_bytes(size)
                (scratch / "source").write_bytes(data)
                put = store.put_file(f"{folder}/{size}", scratch / "source", content_type="image/png")
                got = self.make_store().get_file(f"{folder}/{size}", scratch / "target")
                assert (scratch / "target").read_bytes() == data
                assert put.sha256 == got.sha256 == hashlib.sha256(data).hexdigest()
                assert (got.size_bytes, got.content_type) == (size, "image/png")
            assert sorted(path.name for path in scratch.iterdir()) == ["source", "target"]

    def test_a_file_of_a_known_sha256_is_stored_and_any_other_refused(self) -> None:
        store, folder = self.make_store(), a_folder()
        with _scratch() as scratch:
            for size in (5, 17 * MIB + 11):
                data = secrets.token_bytes(size)
                (scratch / "source").write_bytes(data)
                sha256 = hashlib.sha256(data).hexdigest()
                assert store.put_file(f"{folder}/{size}", scratch / "source", sha256=sha256).sha256 == sha256
                assert store.stat(f"{folder}/{size}").sha256 == sha256
                (scratch / "source").write_bytes(bytes([data[0] ^ 1]) + data[1:])
                with raises(IntegrityError):
                    store.put_file(f"{folder}/other", scratch / "source", sha256=sha256)
                assert not store.exists(f"{folder}/other")

    def test_a_range_is_that_part_of_the_object(self) -> None:
        store, key = self.make_store(), f"{a_folder()}/object"
        data = secrets.token_bytes(9 * MIB)
        store.put(key, data)
        for start, size in (
            (0, 1),
            (3, 10),
            (0, len(data)),
            (5, 8 * MIB + 7),
            (len(data) - 2, 10),
            (len(data), 1),
            (4, 0),
        ):
            assert store.get_range(key, start, size) == data[start : start + size]
        store.put(key, b"")
        assert store.get_range(key, 0, 5) == b""
        with raises(NotFound):
            store.get_range(f"{key}-missing", 0, 1)

    def test_a_signed_url_reads_the_object_or_is_refused(self) -> None:
        store, key = self.make_store(), f"{a_folder()}/object with space"
        store.put(key, b"for whoever has the URL")
        try:
            url = store.signed_url(key, expires_s=60)
        except NotSupported:
            return
        with urlopen(url, timeout=30) as answer:  # noqa: S310 - the store's own address
            assert answer.read() == b"for whoever has the URL"

    def test_progress_is_told_in_bytes(self) -> None:
        store, key = self.make_store(), f"{a_folder()}/object"
        with _scratch() as scratch:
            for size in (1000, 17 * MIB):
                (scratch / "source").write_bytes(bytes(size))
                up: list[int] = []
                down: list[int] = []
                store.put_file(key, scratch / "source", progress=up.append)
                store.get_file(key, scratch / "target", progress=down.append)
                assert sum(up) == sum(down) == size

    def test_a_file_that_is_not_there_stores_nothing(self) -> None:
        store, key = self.make_store(), f"{a_folder()}/object"
        with raises(StoreError):
            store.put_file(key, Path(os.devnull).parent / "no-such-file")
        assert not store.exists(key)


def a_folder() -> str:
    """A prefix that no other test has."""
    return f"conformance/{secrets.token_hex(8)}"


@contextmanager
def _scratch() -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        yield Path(folder)


@contextmanager
def raises(expected: type[StoreError]) -> Iterator[None]:
    """What is done inside must raise this error."""
    try:
        yield
    except expected:
        return
    raise AssertionError(f"{expected.__name__} was not raised")
