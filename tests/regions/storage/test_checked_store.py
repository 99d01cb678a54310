"""What a third party's backend answers is checked, and a listing without an end is given up at the caller's limit."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import pytest

from regions.model import StoreConfig
from regions.storage import open_store, pages
from regions.storage.checked_store import CheckedStore
from regions.storage.errors import IntegrityError, TooLarge, Unavailable
from regions.storage.file.store import FileStore
from regions.storage.store import ObjectInfo, Store
from regions.storage.url import folder_url


class Lying(FileStore):
    """A folder whose listings and reads are what a test says."""

    listed: Iterator[str] | list[str] = []  # noqa: RUF012 - set by each test
    data = b""
    asked = 0

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        for key in self.listed:
            self.asked += 1
            yield ObjectInfo(key, 1, "1")

    def get_range(self, key: str, start: int, size_bytes: int) -> bytes:
        return self.data

    def get_small(self, key: str, *, limit_bytes: int) -> bytes:
        return self.data


@pytest.fixture
def lying(tmp_path: Path) -> Lying:
    return Lying(StoreConfig(url=folder_url(tmp_path / "store")))


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        (["a/1", "a/1"], "begins with 'a/1'"),
        (["a/2", "a/1"], "'a/1' comes after 'a/2'"),
        (["a/1", "b/1"], "'b/1' doesn't start with it"),
        (["a/0"], "'a/0' comes after 'a/05'"),
    ],
)
def test_a_listing_that_contradicts_itself_is_an_error(lying: Lying, listed: list[str], told: str) -> None:
    lying.listed = listed
    with pytest.raises(IntegrityError, match="can't be trusted") as caught:
        list(CheckedStore(lying).list("a/", start_after="a/05"))
    assert told in caught.value.message


def test_a_true_listing_passes(lying: Lying) -> None:
    lying.listed = ["a/06", "a/1", "a/10"]
    assert [info.key for info in CheckedStore(lying).list("a/", start_after="a/05")] == ["a/06", "a/1", "a/10"]


def test_a_listing_that_takes_too_long_for_what_it_brings_is_given_up(
    lying: Lying, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = count(step=pages.LISTING_S)
    monkeypatch.setattr("regions.storage.pages.time.monotonic", lambda: float(next(moments)))
    lying.listed = ["a/1", "a/2", "a/3"]
    with pytest.raises(Unavailable, match="didn't finish"):
        list(CheckedStore(lying).list("a/"))


def test_more_bytes_than_were_asked_for_are_refused(lying: Lying) -> None:
    lying.data = b"12345"
    with pytest.raises(IntegrityError, match="5 bytes came, 4 were asked for"):
        CheckedStore(lying).get_range("key", 0, 4)
    with pytest.raises(TooLarge, match="has 5 bytes; at most 4"):
        CheckedStore(lying).get_small("key", limit_bytes=4)
    assert CheckedStore(lying).get_range("key", 0, 5) == CheckedStore(lying).get_small("key", limit_bytes=5) == b"12345"


@pytest.mark.parametrize("kind", [lambda store: store, CheckedStore])
def test_an_endless_listing_of_ever_new_keys_ends_at_the_callers_limit(lying: Lying, kind: type[CheckedStore]) -> None:
    store: Store = kind(lying)
    lying.listed = (f"a/{number:012d}" for number in count())
    with pytest.raises(TooLarge, match="more than 1,000 objects are listed below 'a/'"):
        store.list_at_most("a/", limit=1000)
    assert lying.asked == 1001
    lying.listed = islice((f"a/{number:012d}" for number in count()), 1000)
    assert len(store.list_at_most("a/", limit=1000)) == 1000


def test_only_stores_of_third_parties_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs.py").write_text(
        "from regions.storage.file.store import FileStore\n"
        "class Theirs(FileStore):\n"
        "    def __init__(self, config):\n"
        "        self.url, self._root, self._identity = config.url, None, None\n"
    )
    (tmp_path / "theirs-1.dist-info").mkdir()
    (tmp_path / "theirs-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    (tmp_path / "theirs-1.dist-info/entry_points.txt").write_text("[fedml.stores]\ntheirs = theirs:Theirs\n")
    monkeypatch.syspath_prepend(tmp_path)
    store = open_store(StoreConfig(url="theirs://bucket/x"))
    assert isinstance(store, CheckedStore)
    assert type(store.inner).__name__ == "Theirs"
    assert type(open_store(StoreConfig(url=folder_url(tmp_path)))) is FileStore
