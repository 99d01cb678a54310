"""What is particular to S3: lost answers, 409, credentials, errors of the SDK, uploads by parts."""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from regions.credentials import SecretRef
from regions.model import StoreConfig
from regions.storage import errors
from regions.storage.errors import (
    AlreadyExists,
    IntegrityError,
    InvalidStoreURL,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    StoreError,
    Unavailable,
)
from regions.storage.parts import BUFFER_BYTES_MAX, PARTS_MAX, part_bytes, parts_at_once
from regions.storage.retry import Patience
from regions.storage.s3 import errors as s3_errors
from regions.storage.s3.store import S3Store
from regions.storage.source import SourceFile
from regions.storage.store import Create, Mode, Overwrite, Update


class Client:
    """The real client, with some of its methods replaced."""

    def __init__(self, store: S3Store, **methods: Callable[..., Any]) -> None:
        self.real = store._opened()
        self.methods = methods
        self.calls: list[str] = []
        store._client = self

    def __getattr__(self, name: str) -> Any:
        self.calls.append(name)
        return self.methods.get(name) or getattr(self.real, name)


def refused(code: str, status: int) -> Exception:
    from botocore.exceptions import ClientError

    answer = {
        "Error": {"Code": code, "Message": "in the server's words"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "PutObject")  # type: ignore[arg-type]


def closed() -> Exception:
    from botocore.exceptions import ConnectionClosedError

    return ConnectionClosedError(endpoint_url="http://127.0.0.1")


@pytest.fixture
def store(s3_config: StoreConfig) -> S3Store:
    store = S3Store(s3_config)
    store.patience = Patience(tries=3, first_wait_s=0.001)
    return store


@pytest.mark.parametrize("error", [closed(), refused("PreconditionFailed", 412), refused("InternalError", 500)])
@pytest.mark.parametrize("kind", ["create", "update", "overwrite"])
def test_a_put_whose_answer_was_lost_is_recognised_as_ones_own(store: S3Store, error: Exception, kind: str) -> None:
    mode: Mode = {"create": Create(), "overwrite": Overwrite()}.get(kind) or Update(store.put("key", b"before").etag)

    def lossy(**fields: Any) -> Any:
        client.real.put_object(**fields)
        raise error

    client = Client(store, put_object=lossy)
    put = store.put("key", b"mine", mode)
    assert store.get("key") == b"mine"
    assert put.etag == store.stat("key").etag
    assert client.calls.count("put_object") == 1


def test_somebody_elses_object_is_not_ones_own(store: S3Store) -> None:
    def lost(**fields: Any) -> Any:
        raise closed()

    other = S3Store(store._config)
    other.put("key", b"theirs")
    Client(store, put_object=lost)
    with pytest.raises(Unavailable):
        store.put("key", b"mine", Create())
    with pytest.raises(AlreadyExists):
        other.put("key", b"theirs", Create())
    assert store.get("key") == b"theirs"


def test_a_conflict_of_two_conditional_writes_is_tried_again(store: S3Store) -> None:
    conflicts = [refused("ConditionalRequestConflict", 409)] * 3

    def conflicting(**fields: Any) -> Any:
        if conflicts:
            raise conflicts.pop()
        return client.real.put_object(**fields)

    client = Client(store, put_object=conflicting)
    store.put("key", b"mine", Create())
    assert store.get("key") == b"mine"
    assert client.calls.count("put_object") == 4


def test_a_conflict_that_lasts_is_unavailable(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def conflicting(**fields: Any) -> Any:
        raise refused("ConditionalRequestConflict", 409)

    monkeypatch.setattr("regions.storage.retry.time.sleep", lambda seconds: None)
    client = Client(store, put_object=conflicting)
    with pytest.raises(Unavailable, match="ConditionalRequestConflict"):
        store.put("key", b"mine", Create())
    assert client.calls.count("put_object") == 10
    assert not store.exists("key")


def test_a_body_that_breaks_off_goes_on_where_it_broke(store: S3Store) -> None:
    from botocore.exceptions import ResponseStreamingError

    asked: list[str] = []

    def get_object(**fields: Any) -> Any:
        answer = client.real.get_object(**fields)
        asked.append(fields["Range"])
        body = answer["Body"].read()

        def torn() -> Iterator[bytes]:
            yield body[:5]
            raise ResponseStreamingError(error="cut off")

        chunks = lambda size: torn() if len(asked) <= cuts else iter([body])  # noqa: E731
        torn_body = SimpleNamespace(iter_chunks=chunks, close=answer["Body"].close)
        return answer | {"Body": torn_body}

    store.put("key", b"half of the bytes")
    client = Client(store, get_object=get_object)
    cuts = 2
    assert store.get("key") == b"half of the bytes"
    assert [text.partition("-")[0] for text in asked] == ["bytes=0", "bytes=5", "bytes=10"]
    asked.clear()
    cuts = 3
    with pytest.raises(Unavailable, match="cut off"):
        store.get("key")


def test_no_credentials_is_permission_denied_with_a_hint(
    s3_config: StoreConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(PermissionDenied, match="Unable to locate credentials") as caught:
        S3Store(s3_config).get("key")
    assert "AWS_ACCESS_KEY_ID" in caught.value.hint
    anonymous = S3Store(replace(s3_config, anonymous=True))
    with pytest.raises(NotFound):
        anonymous.get("key")


def test_a_profile_that_is_not_there(s3_config: StoreConfig) -> None:
    with pytest.raises(PermissionDenied, match="nobody"):
        S3Store(replace(s3_config, profile="nobody")).get("key")


def test_half_a_pair_of_credential_references_is_refused(s3_config: StoreConfig) -> None:
    with pytest.raises(PermissionDenied, match="only one of access_key_id and secret_access_key"):
        S3Store(replace(s3_config, access_key_id=SecretRef(env="HALF"))).get("key")


def test_credential_references_are_read_anew_when_refused(
    s3_config: StoreConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ID", "planted-id")
    monkeypatch.setenv("KEY", "planted-secret")
    config = replace(s3_config, access_key_id=SecretRef(env="ID"), secret_access_key=SecretRef(env="KEY"))
    store = S3Store(config)
    store.put("a", b"1")
    expired = Client(
        store, **{name: _raise(refused("ExpiredToken", 400)) for name in ("get_object", "list_objects_v2")}
    )
    assert store.get("a") == b"1"
    assert store._client is not expired
    Client(store, list_objects_v2=_raise(refused("AccessDenied", 403)))
    assert [info.key for info in store.list()] == ["a"]
    assert "planted" not in repr(config) + repr(store)


def test_without_references_a_refusal_is_told_at_once(store: S3Store) -> None:
    client = Client(store, get_object=_raise(refused("AccessDenied", 403)))
    with pytest.raises(PermissionDenied, match="in the server's words"):
        store.get("key")
    assert client.calls == ["get_object"]


def test_a_bucket_that_is_not_there(s3_config: StoreConfig) -> None:
    store = S3Store(replace(s3_config, url="s3://no-such-bucket/x"))
    uses: list[Callable[[], object]] = [
        lambda: store.put("key", b"", Create()),
        lambda: store.get("key"),
        lambda: list(store.list()),
    ]
    for use in uses:
        with pytest.raises(NotFound, match="the bucket does not exist") as caught:
            use()
        assert "create the bucket" in caught.value.hint


def test_keys_lie_under_the_prefix_and_nothing_else_is_listed(store: S3Store) -> None:
    client = store._opened()
    bucket = store.url.split("/")[2]
    for key in ("some/prefix-not/x", "some/prefix/", "some/prefix/folder/", "some/prefix//x", "other"):
        client.put_object(Bucket=bucket, Key=key, Body=b"")
    store.put("key", b"")
    assert [info.key for info in store.list()] == ["key"]
    assert store.url_of("a/b") == f"s3://{bucket}/some/prefix/a/b"
    assert client.head_object(Bucket=bucket, Key="some/prefix/key")["ContentLength"] == 0


def test_a_listing_goes_on_page_by_page(store: S3Store) -> None:
    for number in range(7):
        store.put(f"{number}", b"")
    client = Client(store, list_objects_v2=lambda **fields: client.real.list_objects_v2(**fields, MaxKeys=3))
    assert [info.key for info in store.list()] == [str(number) for number in range(7)]
    assert [info.key for info in store.list(start_after="4")] == ["5", "6"]
    assert client.calls.count("list_objects_v2") == 4


def test_an_object_of_others_has_no_sha256_and_is_read(store: S3Store) -> None:
    bucket = store.url.split("/")[2]
    store._opened().put_object(Bucket=bucket, Key="some/prefix/theirs", Body=b"x", Metadata={"note": "100%25"})
    assert store.get("theirs") == b"x"
    assert store.stat("theirs").sha256 is None
    assert dict(store.stat("theirs").metadata) == {"note": "100%25"}


def test_a_large_file_that_changes_is_refused_and_its_upload_aborted(
    store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(secrets.token_bytes(17 << 20))
    sha256 = SourceFile.sha256

    def changing(self: SourceFile, *arguments: Any) -> Any:
        found = sha256(self, *arguments)
        with source.open("r+b") as file:
            file.write(b"changed")
        return found

    monkeypatch.setattr(SourceFile, "sha256", changing)
    with pytest.raises(IntegrityError, match="changed while it was read"):
        store.put_file("key", source)
    assert not store.exists("key")
    assert "Uploads" not in store._opened().list_multipart_uploads(Bucket=store.url.split("/")[2])


def test_an_upload_whose_part_fails_is_aborted(store: S3Store, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x" * (17 << 20))
    Client(store, upload_part=_raise(refused("SlowDown", 503)))
    with pytest.raises(Unavailable) as caught:
        store.put_file("key", tmp_path / "source")
    assert "fewer requests" in caught.value.hint
    assert not store.exists("key")
    assert "Uploads" not in store._opened().list_multipart_uploads(Bucket=store.url.split("/")[2])


@pytest.mark.parametrize("size_bytes", [1, 17 << 20, 5 << 30, 79 << 30, 300 << 30, 600 << 30])
def test_parts_stay_small_and_few(size_bytes: int) -> None:
    assert part_bytes(size_bytes) * parts_at_once(size_bytes) <= BUFFER_BYTES_MAX == 64 << 20
    assert -(-size_bytes // part_bytes(size_bytes)) <= PARTS_MAX


def test_every_error_class_of_the_sdk_has_its_meaning() -> None:
    import botocore.exceptions
    import botocore.parsers

    found = [
        kind
        for module in (botocore.exceptions, botocore.parsers)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception) and not issubclass(kind, Warning) and kind.__module__ == module.__name__
    ]
    by_answer = botocore.exceptions.ClientError
    unmapped = [
        kind.__name__
        for kind in found
        if kind is not botocore.exceptions.BotoCoreError
        and not issubclass(kind, by_answer)
        and not any(ancestor.__name__ in s3_errors.KINDS for ancestor in kind.__mro__)
    ]
    assert len(found) > 50
    assert unmapped == []


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("NoSuchKey", 404, NotFound),
        ("404", 404, NotFound),
        ("PreconditionFailed", 412, PreconditionFailed),
        ("AccessDenied", 403, PermissionDenied),
        ("SomethingNew", 403, PermissionDenied),
        ("SlowDown", 503, Unavailable),
        ("SomethingNew", 500, Unavailable),
        ("NotImplemented", 501, errors.NotSupported),
        ("KeyTooLongError", 400, InvalidStoreURL),
        ("BadDigest", 400, IntegrityError),
        ("SomethingNew", 400, StoreError),
    ],
)
def test_answers_become_store_errors(code: str, status: int, kind: type[StoreError]) -> None:
    found = s3_errors.store_error(refused(code, status), store="s3://b", operation="put", key="key")
    assert type(found) is kind
    assert (found.store, found.operation, found.key) == ("s3://b", "put", "key")
    assert str(found).startswith("store s3://b: ")


def test_no_answer_is_unavailable() -> None:
    from botocore.exceptions import EndpointConnectionError, ReadTimeoutError, SSLError

    for error in (
        EndpointConnectionError(endpoint_url="http://127.0.0.1:1/x"),
        ReadTimeoutError(endpoint_url="http://127.0.0.1:1/x"),
        SSLError(endpoint_url="https://127.0.0.1:1/x", error="self signed"),
    ):
        found = s3_errors.store_error(error, store="s3://b", operation="get", key="key")
        assert type(found) is Unavailable
        assert found.hint


class Page(BaseHTTPRequestHandler):
    """Something that isn't S3 and answers everything with a page."""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b"<html><body>Welcome</body>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


def test_something_else_that_answers_there_is_told(aws_credentials: None) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            store = S3Store(StoreConfig(url="s3://bucket", endpoint=f"http://127.0.0.1:{server.server_port}"))
            store.patience = Patience(tries=1)
            uses: list[Callable[[], object]] = [
                lambda: store.put("key", b"", Create()),
                lambda: store.stat("key"),
                lambda: store.get("key"),
                lambda: list(store.list()),
            ]
            for use in uses:
                with pytest.raises(Unavailable, match=r"doesn't speak S3|Internal Server Error") as caught:
                    use()
                assert caught.value.hint
        finally:
            server.shutdown()
            thread.join()


def test_an_endpoint_that_is_no_address_is_refused() -> None:
    with pytest.raises(InvalidStoreURL, match="is not a valid address"):
        S3Store(StoreConfig(url="s3://bucket", endpoint="not an address"))


def test_nothing_of_the_sdk_is_loaded_before_it_is_used() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from regions.storage import open_store, parse_store_url; open_store(parse_store_url('s3://bucket'))\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('boto3', 'botocore', 'moto', 'pydantic', 'rich')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _raise(error: Exception) -> Callable[..., Any]:
    def raising(**fields: Any) -> Any:
        raise error

    return raising
