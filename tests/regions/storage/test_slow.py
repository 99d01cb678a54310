"""A store that drips, floods or lists without end: each call ends by its deadline or a limit, in bounded memory."""

from __future__ import annotations

import itertools
import json
import os
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from regions.model import StoreConfig
from regions.storage import Store, open_store, pages
from regions.storage.bucket import BucketStore
from regions.storage.errors import IntegrityError, NotFound, StoreError, TooLarge, Unavailable
from regions.storage.retry import Patience
from regions.storage.sdk_store import Page
from regions.storage.store import ObjectInfo
from tests.emulators.hostile import BROKEN, DRIPPING, ENDLESS, Way, answer, hostile_server

DEADLINE_S = 0.3
VENDORS = {
    "s3": StoreConfig("s3://bucket", location="us-east-1", anonymous=True),
    "gcs": StoreConfig("gs://bucket", anonymous=True),
    "azure": StoreConfig("az://account1/models", anonymous=True),
}
DO: dict[str, Callable[[Store, Path], object]] = {
    "get": lambda store, _: store.get("key"),
    "get_small": lambda store, _: store.get_small("key", limit_bytes=1000),
    "get_file": lambda store, folder: store.get_file("key", folder / "file"),
    "put": lambda store, _: store.put("key", b"bytes"),
    "stat": lambda store, _: store.stat("key"),
    "list": lambda store, _: list(store.list()),
    "delete": lambda store, _: store.delete("key"),
    "delete_many": lambda store, _: store.delete_many(["a", "b"]),
    "server_time": lambda store, _: store.server_time(),
}


def opened(vendor: str, address: str, *, deadline_s: float = DEADLINE_S) -> BucketStore:
    store = open_store(replace(VENDORS[vendor], endpoint=address))
    assert isinstance(store, BucketStore)
    store.patience = Patience(tries=1, deadline_s=deadline_s)
    return store


@contextmanager
def hostile_store(vendor: str, way: Way, *, deadline_s: float = DEADLINE_S) -> Iterator[BucketStore]:
    with hostile_server(way) as server:
        yield opened(vendor, server.address, deadline_s=deadline_s)


# An answer to a HEAD has no body, so what comes after its headers isn't waited for.
DRIPS = [
    *itertools.product(VENDORS, DRIPPING, ["get", "list"]),
    *itertools.product(VENDORS, ["never answers", "drips headers", "drips a refusal"], ["put", "delete"]),
    *itertools.product(VENDORS, ["drips the status line", "drips headers", "drips 100 Continue"], ["stat"]),
]


@pytest.mark.parametrize(("vendor", "way", "what"), DRIPS)
def test_an_answer_that_is_not_complete_at_the_deadline_is_none(
    vendor: str, way: str, what: str, tmp_path: Path
) -> None:
    with hostile_store(vendor, DRIPPING[way]) as store, pytest.raises(StoreError) as caught:
        DO[what](store, tmp_path)
    assert isinstance(caught.value, (Unavailable, IntegrityError))


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("what", ["get_file", "get_small", "delete_many", "server_time"])
def test_so_do_all_other_calls(vendor: str, what: str, tmp_path: Path) -> None:
    with (
        hostile_store(vendor, DRIPPING["drips headers"]) as store,
        pytest.raises(Unavailable, match=r"didn't finish|no answer in time"),
    ):
        DO[what](store, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("way", ENDLESS)
@pytest.mark.parametrize("what", ["get_small", "list", "put"])
def test_an_endless_answer_is_refused_in_bounded_memory(vendor: str, way: str, what: str, tmp_path: Path) -> None:
    with hostile_store(vendor, ENDLESS[way], deadline_s=60) as store:
        tracemalloc.start()
        try:
            with pytest.raises(StoreError) as caught:
                DO[what](store, tmp_path)
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert isinstance(caught.value, (Unavailable, IntegrityError))
    assert peak_bytes < 256 << 20


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("way", BROKEN)
@pytest.mark.parametrize("what", ["get", "list", "put"])
def test_what_is_not_http_is_an_error_of_the_store(vendor: str, way: str, what: str, tmp_path: Path) -> None:
    with hostile_store(vendor, BROKEN[way]) as store, pytest.raises(StoreError):
        DO[what](store, tmp_path)


# ── listings ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Listing(BucketStore):
    """A vendor of which only the pages of its listing exist: `give` makes the next one of the token it is asked with."""

    def __init__(self, give: Callable[[str | None], Page]) -> None:
        super().__init__(StoreConfig("s3://bucket"), "bucket", "")
        self._give = give

    def _new_client(self) -> object:
        return self

    def _sdk_errors(self) -> tuple[type[Exception], ...]:
        return ()

    def _list_page(self, client: object, prefix: str, after: str, token: str | None) -> Page:
        return self._give(token)

    def _store_error(self, error: object, operation: str, key: str) -> StoreError:
        raise NotImplementedError

    _put_object = _put_large = _head_object = _read_object = _delete_object = _sign = _rules = _date = _store_error  # type: ignore[assignment]


def page(token: str | None, *keys: str) -> Page:
    return Page([ObjectInfo(key, 1, "etag") for key in keys], token)


def listed(give: Callable[[str | None], Page], prefix: str = "") -> list[str]:
    return [info.key for info in Listing(give).list(prefix)]


def numbered(count: int) -> Callable[[str | None], Page]:
    """That many pages of one key each."""

    def give(token: str | None) -> Page:
        number = int(token or 0)
        return page(str(number + 1) if number + 1 < count else None, f"key-{number:04d}")

    return give


def with_new_tokens(*keys: str) -> Callable[[str | None], Page]:
    numbers = itertools.count()
    return lambda token: page(str(next(numbers)), *keys)


WRONG: dict[str, Callable[[], Callable[[str | None], Page]]] = {
    "the same token for ever, with the same page": lambda: lambda token: page("t", "a", "b"),
    "the same token for ever, with empty pages": lambda: lambda token: page("t"),
    "two tokens in turn": lambda: lambda token: page("2", "a") if token != "2" else page("1", "b"),
    "new tokens for the same page": lambda: with_new_tokens("a"),
    "empty pages without end": lambda: with_new_tokens(),
    "a page that goes backwards": lambda: lambda token: page(None, "a") if token else page("1", "b", "c"),
    "a key twice": lambda: lambda token: page(None, "a", "a"),
    "a key outside the prefix": lambda: lambda token: page(None, "other/a"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_pages_that_contradict_each_other_are_an_error_and_no_loop(wrong: str) -> None:
    give = WRONG[wrong]()
    with pytest.raises(IntegrityError, match="can't be trusted"):
        listed(give, "artifacts/" if "prefix" in wrong else "")


def test_honest_pages_are_listed_whole_with_some_empty_ones_between() -> None:
    assert listed(numbered(30)) == [f"key-{number:04d}" for number in range(30)]
    by_folder = ["a/1", "a/2", "a-b/1", "a-b/2"]  # as some servers list
    assert listed(lambda token: page(None, *by_folder)) == by_folder
    between = {None: page("1", "a"), "1": page("2"), "2": page("3"), "3": page(None, "b")}
    assert listed(lambda token: between[token]) == ["a", "b"]


def test_a_listing_that_takes_too_long_for_what_it_gives_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "LISTING_S", -1.0)
    with pytest.raises(Unavailable, match=r"gave 0 objects in 0 s and didn't finish"):
        listed(numbered(10))


S3_PAGE = """<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>same</NextContinuationToken>
<Contents><Key>a</Key><Size>1</Size><ETag>"e"</ETag><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>
</ListBucketResult>"""
GCS_PAGE = json.dumps(
    {
        "items": [{"name": "a", "size": "1", "generation": "1", "updated": "2026-01-01T00:00:00Z"}],
        "nextPageToken": "same",
    }
)
AZURE_PAGE = """<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="models"><Blobs><Blob><Name>a</Name>
<Properties><BlobType>BlockBlob</BlobType><Last-Modified>Thu, 01 Jan 2026 00:00:00 GMT</Last-Modified><Etag>e</Etag>
<Content-Length>1</Content-Length></Properties></Blob></Blobs><NextMarker>same</NextMarker></EnumerationResults>"""


@pytest.mark.parametrize(("vendor", "body"), [("s3", S3_PAGE), ("gcs", GCS_PAGE), ("azure", AZURE_PAGE)])
def test_a_server_that_gives_the_same_token_for_ever_is_found_out(vendor: str, body: str) -> None:
    headers = "Content-Type: application/json\r\n" if vendor == "gcs" else "Content-Type: application/xml\r\n"
    with hostile_server(answer(body.encode(), headers=headers)) as server:
        store = opened(vendor, server.address, deadline_s=60)
        with pytest.raises(IntegrityError, match="can't be trusted"):
            list(store.list())
    assert len(server.requests) == 2


# ── objects that are larger than their reader takes ───────────────────────────────────────────────────────────────────

HUGE = 10 << 30
SAID: Mapping[str, str] = {
    "s3": 'ETag: "e"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n',
    "gcs": "x-goog-generation: 1\r\n",
    "azure": 'ETag: "e"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n',
}


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_huge_object_where_a_small_one_is_meant_is_refused_with_its_size(vendor: str) -> None:
    headers = f"{SAID[vendor]}Content-Range: bytes 0-1000/{HUGE}\r\n"
    with hostile_server(answer(b"x" * 1001, status="206 Partial Content", headers=headers)) as server:
        store = opened(vendor, server.address, deadline_s=60)
        with pytest.raises(TooLarge) as caught:
            store.get_small("key", limit_bytes=1000)
    assert f"{HUGE:,} bytes; at most 1,000" in str(caught.value)
    assert b"bytes=0-1000" in server.requests[0]


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_size_that_no_number_can_hold_is_an_error_of_the_store(vendor: str) -> None:
    headers = f"{SAID[vendor]}Content-Range: bytes 0-1000/{'9' * 5000}\r\n"
    with hostile_server(answer(b"x" * 1001, status="206 Partial Content", headers=headers)) as server:
        store = opened(vendor, server.address, deadline_s=60)
        with pytest.raises(StoreError):
            store.get_small("key", limit_bytes=1000)


# ── a folder ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def folder_store(tmp_path: Path) -> Store:
    return open_store(StoreConfig(tmp_path.as_uri()))


def test_a_small_object_of_a_folder_has_its_limit_too(folder_store: Store, tmp_path: Path) -> None:
    folder_store.put("key", b"x" * 1000)
    assert folder_store.get_small("key", limit_bytes=1000) == b"x" * 1000
    with pytest.raises(TooLarge, match="has 1,000 bytes; at most 999"):
        folder_store.get_small("key", limit_bytes=999)
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(HUGE)  # sparse: it takes no room
    with pytest.raises(TooLarge, match=f"{HUGE:,} bytes"):
        folder_store.get_small("huge", limit_bytes=1000)


@pytest.mark.parametrize("what", ["get", "get_small", "get_file", "stat", "get_range"])
def test_what_is_no_regular_file_is_no_object(folder_store: Store, tmp_path: Path, what: str) -> None:
    """A pipe would be waited for, a device read for ever."""
    folder_store.put("other", b"")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    do = {**DO, "get_range": lambda store, _: store.get_range("key", 0, 10)}
    for name in ("pipe", "zero"):
        (tmp_path / name).rename(tmp_path / "key")
        with pytest.raises(NotFound):
            do[what](folder_store, tmp_path)
        (tmp_path / "key").unlink()
    assert [info.key for info in folder_store.list()] == ["other"]
