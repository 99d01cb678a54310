"""Check that a backend keeps the contract of `regions.storage.store`: a suite for pytest.

A backend proves itself by one subclass in a test file (pytest itself is not imported here)::

    from regions.storage.conformance import StoreConformance

    class TestMyStore(StoreConformance):
        def make_store(self): return MyStore(…)          # each call: another handle on the same place
        def damage(self, store, key): …                  # flip a byte of the object behind the store's back

What a backend can't do it says in `supports_update` and `holds_nested_keys`; it must then refuse with NotSupported.
Tests share the place and don't clean up: each works under a prefix of its own.
"""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from regions.storage.conformance_files import FileConformance, a_folder, raises
from regions.storage.errors import (
    AlreadyExists,
    InvalidStoreURL,
    NotFound,
    NotSupported,
    PreconditionFailed,
    TooLarge,
)
from regions.storage.race import race_create, race_update
from regions.storage.store import KEY_BYTES_MAX, Create, Overwrite, Update

ESCAPING_KEYS = (
    "",
    "/a",
    "a/",
    "a//b",
    "../a",
    "a/../b",
    "a/..",
    ".",
    "./a",
    "a/./b",
    "a\nb",
    "a\\b",
    "a\x00b",
    "\ud800",
)

AWKWARD_KEYS = (
    "plain",
    "with space/and  two",
    "Ünïcödé/日本語/😀",
    "per%cent/100%25/%2E",
    "question?and#hash&plus+equals=",
    ".hidden/.fedml-meta/..three...dots",
    "a/" + "x" * (KEY_BYTES_MAX - 60),
    "a/" + "é" * 300 + "/end",
)


class StoreConformance(FileConformance):
    """Subclass it as `TestSomething` with `make_store` and `damage`; every `test_` method is a promise."""

    supports_update = True
    holds_nested_keys = True
    """Whether objects `a` and `a/b` can both be there."""
    prefix_bytes = 0
    """How much of the longest name the store's own prefix takes, where it does."""
    race_writers = 32
    race_rounds = 50

    def test_what_was_put_is_read_back_with_what_is_known_of_it(self) -> None:
        store, key = self.make_store(), f"{a_folder()}/object"
        put = store.put(key, b"some bytes", content_type="text/plain", metadata={"author": " Zoë ", "empty": ""})
        seen = self.make_store().stat(key)
        assert self.make_store().get(key) == b"some bytes"
        assert put.sha256 == seen.sha256 == hashlib.sha256(b"some bytes").hexdigest()
        assert (put.key, put.size_bytes, put.etag) == (seen.key, seen.size_bytes, seen.etag) == (key, 10, put.etag)
        assert seen.content_type == "text/plain"
        assert dict(seen.metadata) == {"author": " Zoë ", "empty": ""}

    def test_an_object_that_is_not_there(self) -> None:
        store, key = self.make_store(), f"{a_folder()}/missing"
        for read in (store.get, store.stat, lambda key: store.get_file(key, Path(os.devnull).parent / "never")):
            with raises(NotFound):
                read(key)
        assert not store.exists(key)
        assert list(store.list(f"{key}/")) == []

    def test_zero_bytes(self) -> None:
        store, key = self.make_store(), f"{a_folder()}/empty"
        assert store.put(key, b"", Create()).size_bytes == 0
        assert store.get(key) == b""
        with raises(AlreadyExists):
            store.put(key, b"", Create())

    def test_overwrite_replaces_whatever_is_there(self) -> None:
        store, key = self.make_store(), f"{a_folder()}/object"
        first = store.put(key, b"one", Overwrite())
        second = store.put(key, b"two, longer")
        assert store.get(key) == b"two, longer"
        assert first.etag != second.etag == store.stat(key).etag
        assert store.stat(key).sha256 == hashlib.sha256(b"two, longer").hexdigest()

    def test_create_refuses_a_key_that_is_taken_and_leaves_it_alone(self) -> None:
        store, key = self.make_store(), f"{a_folder()}/object"
        store.put(key, b"first", Create())
        with raises(AlreadyExists):
            self.make_store().put(key, b"second", Create())
        assert store.get(key) == b"first"
        store.delete(key)
        store.put(key, b"third", Create())
        assert store.get(key) == b"third"

    def test_create_has_one_winner_when_many_race(self) -> None:
        stores = [self.make_store() for _ in range(4)]
        outcome = race_create(stores, self.race_writers, self.race_rounds, prefix=f"{a_folder()}/")
        assert outcome.holds, outcome.problem
        assert outcome.winners == (1,) * self.race_rounds

    def test_update_needs_the_current_etag(self) -> None:
        store, key = self.make_store(), f"{a_folder()}/object"
        first = store.put(key, b"one")
        if not self.supports_update:
            with raises(NotSupported):
                store.put(key, b"two", Update(first.etag))
            assert store.get(key) == b"one"
            return
        second = store.put(key, b"two", Update(first.etag))
        with raises(PreconditionFailed):
            store.put(key, b"three", Update(first.etag))
        assert store.get(key) == b"two"
        store.delete(key)
        with raises(PreconditionFailed):
            store.put(key, b"four", Update(second.etag))
        assert not store.exists(key)

    def test_a_counter_raised_by_compare_and_swap_is_exact(self) -> None:
        store = self.make_store()
        if not self.supports_update:
            with raises(NotSupported):
                race_update(store, 2, 1, prefix=f"{a_folder()}/")
            return
        count = race_update(store, writers=8, increments=10, prefix=f"{a_folder()}/")
        assert count == 80, f"80 increments gave {count}"

    def test_list_is_in_order_of_the_keys_bytes(self) -> None:
        store, folder = self.make_store(), a_folder()
        names = [
            "a-b",
            "a/b",
            "a.b",
            "a/b-c",
            "a0",
            "A",
            "é",
            "z",
            "😀",
            "\uff5e",
            "a/" + "n" * 300,
            "a/" + "n" * 200 + "b",
        ]
        for name in names:
            store.put(f"{folder}/{name}", name.encode())
        expected = sorted((f"{folder}/{name}" for name in names), key=str.encode)
        assert [info.key for info in store.list(f"{folder}/")] == expected
        assert [info.size_bytes for info in store.list(f"{folder}/")] == [
            len(key.encode()) - len(folder) - 1 for key in expected
        ]
        for place, key in enumerate(expected):
            assert [info.key for info in store.list(f"{folder}/", start_after=key)] == expected[place + 1 :]
        assert [info.key for info in store.list(f"{folder}/", start_after=f"{folder}/a/")] == [
            key for key in expected if key.encode() > f"{folder}/a/".encode()
        ]

    def test_a_prefix_is_a_plain_string_prefix(self) -> None:
        store, folder = self.make_store(), a_folder()
        for name in ("ab", "abc", "b/ab", "b/c", "bc"):
            store.put(f"{folder}/{name}", b"")
        listed = {
            prefix: [info.key.removeprefix(f"{folder}/") for info in store.list(f"{folder}/{prefix}")]
            for prefix in ("", "a", "ab", "b", "b/", "b/a", "x", "b/c/")
        }
        assert listed == {
            "": ["ab", "abc", "b/ab", "b/c", "bc"],
            "a": ["ab", "abc"],
            "ab": ["ab", "abc"],
            "b": ["b/ab", "b/c", "bc"],
            "b/": ["b/ab", "b/c"],
            "b/a": ["b/ab"],
            "x": [],
            "b/c/": [],
        }

    def test_delete_may_be_repeated(self) -> None:
        store, folder = self.make_store(), a_folder()
        store.put(f"{folder}/deep/down/object", b"x")
        store.put(f"{folder}/beside", b"y")
        for _ in range(2):
            store.delete(f"{folder}/deep/down/object")
        assert [info.key for info in store.list(f"{folder}/")] == [f"{folder}/beside"]
        store.put(f"{folder}/deep", b"the folder of old is no obstacle")
        assert store.get(f"{folder}/beside") == b"y"

    def test_awkward_keys_are_kept_apart_and_come_back_as_they_are(self) -> None:
        store, folder = self.make_store(), a_folder()
        full = f"{folder}/"
        keys = [full + key for key in AWKWARD_KEYS] + [full + "k" * (KEY_BYTES_MAX - self.prefix_bytes - len(full))]
        for key in keys:
            store.put(key, key.encode(), Create())
        assert [info.key for info in store.list(full)] == sorted(keys, key=str.encode)
        for key in keys:
            assert store.get(key) == key.encode()
            assert store.stat(key).key == key
            assert store.url_of(key).startswith(store.url.partition("://")[0])

    def test_keys_that_could_leave_their_prefix_are_refused(self) -> None:
        store = self.make_store()
        for key in (*ESCAPING_KEYS, "k" * (KEY_BYTES_MAX + 1)):
            for use in (store.get, store.stat, store.delete, store.url_of, lambda key: store.put(key, b"")):
                with raises(InvalidStoreURL):
                    use(key)
        with raises(InvalidStoreURL):
            list(store.list("../"))

    def test_an_object_beside_a_folder_of_its_name(self) -> None:
        store, key = self.make_store(), f"{a_folder()}/a"
        store.put(key, b"object")
        if self.holds_nested_keys:
            store.put(f"{key}/b", b"below")
            assert [info.key for info in store.list(key)] == [key, f"{key}/b"]
        else:
            for mode in (Overwrite(), Create()):
                with raises(NotSupported):
                    store.put(f"{key}/b", b"below", mode)
            assert [info.key for info in store.list(key)] == [key]
        assert store.get(key) == b"object"

    def test_a_small_object_is_read_within_its_limit(self) -> None:
        store, folder = self.make_store(), a_folder()
        for size in (0, 1000):
            store.put(f"{folder}/{size}", b"x" * size)
            assert store.get_small(f"{folder}/{size}", limit_bytes=1000) == b"x" * size
        with raises(TooLarge):
            store.get_small(f"{folder}/1000", limit_bytes=999)
        with raises(NotFound):
            store.get_small(f"{folder}/none", limit_bytes=999)

    def test_a_listing_of_more_objects_than_belong_there_is_refused(self) -> None:
        store, folder = self.make_store(), a_folder()
        for number in range(3):
            store.put(f"{folder}/{number}", b"x")
        assert len(store.list_at_most(f"{folder}/", limit=3)) == 3
        with raises(TooLarge):
            store.list_at_most(f"{folder}/", limit=2)

    def test_delete_many_removes_what_is_there(self) -> None:
        store, folder = self.make_store(), a_folder()
        keys = [f"{folder}/{number}" for number in range(20)]
        for key in keys:
            store.put(key, b"")
        store.delete_many([*keys[5:], f"{folder}/never there", f"{folder}/Ünïcödé & <more>"])
        assert [info.key for info in store.list(f"{folder}/")] == sorted(keys[:5])
        store.delete_many([])
        with raises(InvalidStoreURL):
            store.delete_many([keys[0], "../x"])

    def test_the_stores_clock_is_roughly_right(self) -> None:
        store = self.make_store()
        store.put(f"{a_folder()}/object", b"")
        now = store.server_time()
        assert now is None or abs(now - datetime.now(UTC)) < timedelta(days=1)
