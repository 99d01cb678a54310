"""Every kind of bucket behind a proxy that throttles, breaks, cuts, damages and loses: no wrong success, no wrong bytes."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from regions.model import StoreConfig
from regions.storage import open_store
from regions.storage.bucket import BucketStore
from regions.storage.errors import AlreadyExists, IntegrityError, NotFound, StoreError, Unavailable
from regions.storage.retry import Patience
from regions.storage.store import Create, Mode, Overwrite, Update
from tests.emulators.fault_proxy import (
    Answer,
    Cut,
    Fault,
    FaultProxy,
    Flipped,
    FlippedOnTheWay,
    Lost,
    Refused,
    Request,
    Slow,
    fault_proxy,
)

MIB = 1 << 20


@pytest.fixture(params=["s3", "seaweed", "gcs", "azure"])
def config(request: pytest.FixtureRequest) -> StoreConfig:
    found: StoreConfig = request.getfixturevalue(f"{request.param}_config")
    return found


@pytest.fixture
def proxy(config: StoreConfig) -> Iterator[FaultProxy]:
    assert config.endpoint is not None
    with fault_proxy(config.endpoint, keeps_host=not config.url.startswith("gs://")) as found:
        if config.url.startswith("gs://"):
            found.instead = lambda request: how_far(found, request)
        yield found


def how_far(proxy: FaultProxy, request: Request) -> Answer | None:
    """What GCS says of a resumable upload that is asked how far it came: fake-gcs-server would end it."""
    if not request.headers.get("content-range", "").startswith("bytes */"):
        return None
    spans = [sent.headers.get("content-range", "") for sent in proxy.forwarded if sent.path == request.path]
    ends = [int(span.removeprefix("bytes ").partition("/")[0].partition("-")[2]) for span in spans if "-" in span]
    return Answer(308, {"Range": f"bytes=0-{max(ends)}"} if ends else {})


@pytest.fixture
def store(config: StoreConfig, proxy: FaultProxy) -> BucketStore:
    found = open_store(replace(config, endpoint=proxy.address))
    assert isinstance(found, BucketStore)
    found.patience = Patience(tries=4, first_wait_s=0.001)
    return found


@pytest.fixture
def behind(config: StoreConfig) -> BucketStore:
    """The same place without a proxy."""
    found = open_store(config)
    assert isinstance(found, BucketStore)
    return found


def writes(request: Request) -> bool:
    return request.method in ("PUT", "POST")


def reads(request: Request) -> bool:
    return request.method == "GET"


FAULTS: list[Fault] = [Answer(503), Answer(429, {"Retry-After": "0"}), Answer(500), Refused(), Lost()]


@pytest.mark.parametrize("kind", ["create", "update", "overwrite"])
def test_a_put_that_fails_on_the_way_succeeds_once(
    store: BucketStore, behind: BucketStore, proxy: FaultProxy, kind: str
) -> None:
    for fault in FAULTS:
        key = f"{kind}/{secrets.token_hex(4)}"
        mode: Mode = {"create": Create(), "overwrite": Overwrite()}.get(kind) or Update(behind.put(key, b"old").etag)
        proxy.forget()
        proxy.suffer(fault, when=writes)
        put = store.put(key, b"mine", mode, metadata={"n": "1"})
        assert behind.get(key) == b"mine", fault
        assert put.etag == behind.stat(key).etag, fault
        assert len([request for request in proxy.forwarded if writes(request)]) == 1, fault


def test_a_create_whose_answers_are_all_lost_is_ones_own(
    store: BucketStore, behind: BucketStore, proxy: FaultProxy
) -> None:
    proxy.suffer(Lost(), when=writes)
    proxy.suffer(Refused(), when=lambda request: request.method in ("HEAD", "GET"))
    assert store.put("key", b"mine", Create()).etag == behind.stat("key").etag


def test_somebody_elses_object_is_told_as_such(store: BucketStore, behind: BucketStore, proxy: FaultProxy) -> None:
    behind.put("key", b"theirs")
    proxy.suffer(Lost(), when=writes)
    with pytest.raises(AlreadyExists):
        store.put("key", b"mine", Create())
    proxy.suffer(*[Refused()] * 30)
    with pytest.raises(Unavailable):
        store.put("key", b"mine", Create())
    assert behind.get("key") == b"theirs"


def test_the_stores_wish_for_a_pause_is_honoured(
    store: BucketStore, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("regions.storage.retry.time.sleep", waits.append)
    store.put("key", b"x")
    proxy.suffer(Answer(429, {"Retry-After": "7"}), when=reads)
    assert store.get("key") == b"x"
    assert waits == [7.0]
    proxy.suffer(Answer(503, {"Retry-After": "3600"}), when=reads)
    with pytest.raises(Unavailable) as caught:
        store.get("key")
    assert caught.value.retry_after_s == 3600
    assert waits == [7.0]


def test_what_never_answers_is_unavailable_after_so_many_tries(store: BucketStore, proxy: FaultProxy) -> None:
    uses: list[Callable[[], object]] = [
        lambda: store.get("key"),
        lambda: store.stat("key"),
        lambda: list(store.list()),
        lambda: store.delete("key"),
        lambda: store.put("key", b"", Create()),
    ]
    for use in uses:
        proxy.forget()
        proxy.suffer(*[Answer(503)] * 30)
        with pytest.raises(Unavailable):
            use()
        assert 4 <= len(proxy.seen) <= 8
        assert proxy.forwarded == []


@pytest.mark.parametrize("is_reset", [True, False])
def test_a_body_that_breaks_off_is_read_whole(
    store: BucketStore, behind: BucketStore, proxy: FaultProxy, is_reset: bool
) -> None:
    data = secrets.token_bytes(150_000)
    behind.put("key", data)
    for after_bytes in (0, 1, 70_000):
        proxy.suffer(Cut(after_bytes, is_reset), when=reads)
        assert store.get("key") == data


def test_slow_bytes_are_waited_for_and_stalled_ones_are_asked_for_again(
    config: StoreConfig, proxy: FaultProxy, behind: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("s3.store.READ_TIMEOUT_S", "azure.client.READ_TIMEOUT_S"):
        monkeypatch.setattr(f"regions.storage.{name}", 0.3)
    monkeypatch.setattr("regions.storage.gcs.store._TIMEOUT_S", (5, 0.3))
    store = open_store(replace(config, endpoint=proxy.address))
    assert isinstance(store, BucketStore)
    store.patience = Patience(tries=3, first_wait_s=0.001)
    behind.put("key", data := secrets.token_bytes(5000))
    proxy.suffer(Slow(1000, 0.1), when=reads)  # slower than its timeout in all, but never silent for so long
    assert store.get("key") == data
    assert len(proxy.seen) == 1
    proxy.forget()
    proxy.suffer(Slow(3000, 1.0), when=reads)
    assert store.get("key") == data
    assert len(proxy.seen) == 2
    proxy.forget()
    proxy.suffer(*[Slow(3000, 1.0)] * 9, when=reads)
    with pytest.raises(Unavailable):
        store.get("key")


def test_a_flipped_bit_on_the_way_down_is_read_again(
    store: BucketStore, behind: BucketStore, proxy: FaultProxy, tmp_path: Path
) -> None:
    data = secrets.token_bytes(1000)
    behind.put("key", data)
    is_body = re.compile("key").search
    proxy.suffer(Flipped(), when=lambda request: reads(request) and bool(is_body(request.path)))
    assert store.get("key") == data
    proxy.forget()
    proxy.suffer(*[Flipped()] * 9, when=lambda request: reads(request) and bool(is_body(request.path)))
    with pytest.raises(IntegrityError):
        store.get_file("key", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_a_flipped_bit_on_the_way_up_is_no_success_with_wrong_bytes(
    store: BucketStore, behind: BucketStore, proxy: FaultProxy
) -> None:
    proxy.suffer(FlippedOnTheWay(), when=writes)
    try:
        store.put("key", secrets.token_bytes(1000))
    except StoreError:
        with pytest.raises(NotFound):
            behind.get("key")
    else:
        with pytest.raises(IntegrityError):
            behind.get("key")


def test_a_large_file_goes_on_where_a_connection_broke(
    store: BucketStore, behind: BucketStore, proxy: FaultProxy, tmp_path: Path
) -> None:
    (tmp_path / "source").write_bytes(data := secrets.token_bytes(20 * MIB + 3))

    def is_part(request: Request) -> bool:
        return writes(request) and request.length > MIB

    proxy.suffer(Refused(), Answer(503), Lost(), when=is_part)
    done: list[int] = []
    store.put_file("key", tmp_path / "source", progress=done.append)
    assert behind.get("key") == data
    assert sum(done) == len(data)
    sent = sum(request.length for request in proxy.forwarded if is_part(request))
    assert sent <= len(data) + 8 * MIB  # at most the part whose answer was lost


def test_a_large_file_whose_last_answer_is_lost_is_stored(
    store: BucketStore, behind: BucketStore, proxy: FaultProxy, tmp_path: Path
) -> None:
    (tmp_path / "source").write_bytes(data := secrets.token_bytes(17 * MIB))

    def is_last(request: Request) -> bool:
        completes = re.search("uploadId=|comp=blocklist", request.path) and request.length < MIB
        return writes(request) and bool(completes or request.length == MIB)

    proxy.suffer(Lost(), when=is_last)
    put = store.put_file("key", tmp_path / "source")
    assert behind.get("key") == data
    assert put.etag == behind.stat("key").etag


def test_a_large_object_comes_down_over_broken_connections(
    store: BucketStore, behind: BucketStore, proxy: FaultProxy, tmp_path: Path
) -> None:
    (tmp_path / "source").write_bytes(data := secrets.token_bytes(30 * MIB + 1))
    behind.put_file("key", tmp_path / "source")
    proxy.suffer(Cut(5 * MIB), Answer(503), Refused(), when=reads)
    done: list[int] = []
    info = store.get_file("key", tmp_path / "copy", progress=done.append)
    assert (tmp_path / "copy").read_bytes() == data
    assert sum(done) == info.size_bytes == len(data)


def test_a_listing_goes_on_over_faults(store: BucketStore, proxy: FaultProxy) -> None:
    for number in range(5):
        store.put(f"{number}", b"")
    proxy.suffer(Answer(503), Refused(), Cut(20), when=reads)
    assert [info.key for info in store.list()] == ["0", "1", "2", "3", "4"]
