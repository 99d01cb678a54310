"""What is particular to Google Cloud Storage: generations, resumable uploads, credentials, errors of the SDK."""

from __future__ import annotations

import inspect
import json
import secrets
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from regions.credentials import SecretRef
from regions.model import StoreConfig
from regions.storage import errors
from regions.storage.errors import (
    IntegrityError,
    InvalidStoreURL,
    NotFound,
    NotSupported,
    PermissionDenied,
    PreconditionFailed,
    StoreError,
    Unavailable,
)
from regions.storage.gcs import errors as gcs_errors
from regions.storage.gcs.store import GCSStore
from regions.storage.retry import Patience, RequestConflict
from regions.storage.source import SourceFile
from regions.storage.store import Create, Update
from tests.regions.storage.s3.test_store import Page

MIB = 1 << 20


@pytest.fixture
def store(gcs_config: StoreConfig) -> GCSStore:
    found = GCSStore(gcs_config)
    found.patience = Patience(tries=3, first_wait_s=0.001)
    return found


def answered(status: int, message: str = "in the server's words", headers: dict[str, str] | None = None) -> Exception:
    from google.api_core.exceptions import from_http_status

    answer = SimpleNamespace(status_code=status, headers=headers or {})
    return from_http_status(status, message, response=answer)


def test_an_etag_is_a_generation_and_anything_else_matches_none(store: GCSStore) -> None:
    first = store.put("key", b"one").etag
    assert first.isdecimal()
    for etag in ("", "0", "abc", str(int(first) + 1)):
        with pytest.raises(PreconditionFailed):
            store.put("key", b"two", Update(etag))
    assert store.get("key") == b"one"


def test_an_object_replaced_while_it_is_read_is_read_anew(store: GCSStore, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(secrets.token_bytes(20 * MIB))
    store.put_file("key", tmp_path / "old")
    new = secrets.token_bytes(12 * MIB)
    read = store._read_object

    def replacing(client: Any, name: str, key: str, start: int, size: int, etag: str) -> Any:
        if etag and store._read_object is replacing:
            store._read_object = read  # type: ignore[method-assign]
            store.put("key", new)
        return read(client, name, key, start, size, etag)

    store._read_object = replacing  # type: ignore[method-assign]
    assert store.get("key") == new


def test_a_large_file_that_changes_is_refused_and_nothing_is_visible(
    store: GCSStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(secrets.token_bytes(17 * MIB))
    sha256 = SourceFile.sha256

    def changing(self: SourceFile, *arguments: Any) -> Any:
        found = sha256(self, *arguments)
        with source.open("r+b") as file:
            file.seek(16 * MIB)
            file.write(b"changed")
        return found

    monkeypatch.setattr(SourceFile, "sha256", changing)
    with pytest.raises(IntegrityError, match="changed while it was read"):
        store.put_file("key", source)
    assert not store.exists("key")


def test_a_listing_goes_on_page_by_page(store: GCSStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regions.storage.gcs.store._PAGE", 3)
    for number in range(7):
        store.put(f"{number}", b"")
    assert [info.key for info in store.list()] == [str(number) for number in range(7)]
    assert [info.key for info in store.list(start_after="4")] == ["5", "6"]


def test_an_object_of_others_has_no_sha256_and_is_read(store: GCSStore) -> None:
    blob = store._blob(store._opened(), "some/prefix/theirs")
    blob.metadata = {"note": "100%25"}
    blob.upload_from_string(b"x")
    store._blob(store._opened(), "some/prefix/folder/").upload_from_string(b"")
    assert store.get("theirs") == b"x"
    assert store.stat("theirs").sha256 is None
    assert dict(store.stat("theirs").metadata) == {"note": "100%25"}
    assert [info.key for info in store.list()] == ["theirs"]


def test_a_bucket_that_is_not_there(gcs_config: StoreConfig) -> None:
    store = GCSStore(replace(gcs_config, url="gs://no-such-bucket/x"))
    uses: list[Callable[[], object]] = [lambda: store.put("key", b"", Create()), lambda: list(store.list())]
    for use in uses:
        with pytest.raises(NotFound, match="the bucket does not exist"):
            use()
    with pytest.raises(NotFound):
        store.get("key")


def test_no_credentials_is_permission_denied_with_a_hint(
    gcs_config: StoreConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    with pytest.raises(PermissionDenied) as caught:
        GCSStore(replace(gcs_config, anonymous=False)).get("key")
    assert "GOOGLE_APPLICATION_CREDENTIALS" in caught.value.hint
    assert "anonymous" in caught.value.hint


def test_a_service_accounts_key_by_reference(gcs_config: StoreConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(gcs_config, anonymous=False, secret_access_key=SecretRef(env="KEY"))
    for secret in ("planted-secret", json.dumps({"type": "service_account", "private_key": "planted-secret"})):
        monkeypatch.setenv("KEY", secret)
        with pytest.raises(PermissionDenied, match="is not a valid key of a service account") as caught:
            GCSStore(config).get("key")
        assert "planted-secret" not in str(caught.value) + caught.value.hint + repr(config)
    monkeypatch.setenv("KEY", service_account())
    store = GCSStore(config)
    url = store.signed_url("key", expires_s=60)
    assert url.startswith(f"{gcs_config.endpoint}/")
    assert "X-Goog-Signature=" in url
    with pytest.raises(PermissionDenied, match="takes no access_key_id"):
        GCSStore(replace(config, access_key_id=SecretRef(env="KEY"))).get("key")


def test_anonymous_credentials_sign_nothing(store: GCSStore) -> None:
    with pytest.raises(NotSupported, match="can't sign URLs"):
        store.signed_url("key")


def service_account(token_url: str = "http://127.0.0.1:1/token") -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {"type": "service_account", "client_email": "me@x.iam.gserviceaccount.com", "private_key": key.decode()}
    return json.dumps(account | {"token_uri": token_url, "project_id": "x"})


def test_every_error_class_of_the_sdk_has_its_meaning() -> None:
    import google.api_core.exceptions
    import google.auth.exceptions
    import google.cloud.storage.exceptions
    import google.resumable_media.common
    import requests.exceptions

    modules = (
        google.api_core.exceptions,
        google.auth.exceptions,
        google.cloud.storage.exceptions,
        google.resumable_media.common,
        requests.exceptions,
    )
    found = [
        kind
        for module in modules
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception) and not issubclass(kind, Warning) and kind.__module__ == module.__name__
    ]
    by_answer = google.api_core.exceptions.GoogleAPICallError
    unmapped = [
        kind.__name__
        for kind in found
        if not (issubclass(kind, by_answer) and kind.code is not None)
        and not any(ancestor.__name__ in gcs_errors.KINDS for ancestor in kind.__mro__)
    ]
    assert len(found) > 60
    assert unmapped == []


def test_every_error_class_of_the_sdk_passes_the_door(store: GCSStore) -> None:
    import google.api_core.exceptions
    import google.auth.exceptions
    import google.cloud.storage.exceptions
    import requests.exceptions

    for module in (
        google.api_core.exceptions,
        google.auth.exceptions,
        google.cloud.storage.exceptions,
        requests.exceptions,
    ):
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, Exception) and kind.__module__ == module.__name__ and not issubclass(kind, Warning):
                if kind.__name__ == "AsyncRestUnsupportedParameterError":  # of the asynchronous REST transport only
                    continue
                assert issubclass(kind, store._sdk_errors()), kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (304, PreconditionFailed),
        (400, StoreError),
        (401, PermissionDenied),
        (403, PermissionDenied),
        (404, NotFound),
        (405, NotSupported),
        (408, Unavailable),
        (409, RequestConflict),
        (412, PreconditionFailed),
        (429, Unavailable),
        (500, Unavailable),
        (501, NotSupported),
        (503, Unavailable),
    ],
)
def test_answers_become_store_errors(status: int, kind: type[StoreError]) -> None:
    found = gcs_errors.store_error(
        answered(status, headers={"Retry-After": "3"}), store="gs://b", operation="get", key="key"
    )
    assert type(found) is kind
    assert (found.store, found.operation, found.key) == ("gs://b", "get", "key")
    assert str(found).startswith("store gs://b: ")
    assert not isinstance(found, Unavailable) or (found.retry_after_s == 3 and found.hint)


def test_an_answer_is_told_in_the_servers_own_words() -> None:
    body = json.dumps({"error": {"code": 403, "message": "me does not have storage.objects.create access."}})
    for message in (f"POST https://storage.googleapis.com/upload?x=1: {body}", body):
        found = gcs_errors.store_error(answered(403, message), store="gs://b", operation="get", key="key")
        assert "get of key failed: me does not have storage.objects.create access (403)" in str(found)


@pytest.mark.parametrize("message", ["Provided CRC32C hash doesn't match", "The checksum is wrong"])
def test_a_wrong_checksum_is_an_integrity_error(message: str) -> None:
    found = gcs_errors.store_error(answered(400, message), store="gs://b", operation="put", key="key")
    assert type(found) is IntegrityError


def test_no_answer_is_unavailable() -> None:
    from google.auth.exceptions import DefaultCredentialsError, RefreshError, TransportError
    from requests.exceptions import ChunkedEncodingError, ConnectTimeout, SSLError

    for error in (ConnectTimeout("late"), ChunkedEncodingError("cut"), TransportError("down")):
        found = gcs_errors.store_error(error, store="gs://b", operation="get", key="key")
        assert type(found) is Unavailable
        assert found.is_passing
        assert found.hint
    found = gcs_errors.store_error(SSLError("CERTIFICATE_VERIFY_FAILED"), store="gs://b", operation="get", key="key")
    assert isinstance(found, Unavailable)
    assert not found.is_passing
    assert "REQUESTS_CA_BUNDLE" in found.hint
    for refused in (DefaultCredentialsError("none"), RefreshError("expired")):
        found = gcs_errors.store_error(refused, store="gs://b", operation="get", key="key")
        assert type(found) is PermissionDenied


def test_something_else_that_answers_there_is_told() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            endpoint = f"http://127.0.0.1:{server.server_port}"
            store = GCSStore(StoreConfig(url="gs://bucket", endpoint=endpoint, anonymous=True))
            store.patience = Patience(tries=1)
            uses: list[Callable[[], object]] = [
                lambda: store.put("key", b"", Create()),
                lambda: store.stat("key"),
                lambda: store.get("key"),
                lambda: list(store.list()),
            ]
            for use in uses:
                with pytest.raises(errors.StoreError):
                    use()
        finally:
            server.shutdown()
            thread.join()


def test_an_endpoint_that_is_no_address_is_refused() -> None:
    with pytest.raises(InvalidStoreURL, match="is not a valid address"):
        GCSStore(StoreConfig(url="gs://bucket", endpoint="not an address"))


@pytest.mark.parametrize("url", ["gs://bucket", "az://account1/models", "s3://bucket", "file:///srv"])
def test_nothing_of_an_sdk_is_loaded_before_it_is_used(url: str) -> None:
    code = (
        f"import sys; from regions.storage import open_store, parse_store_url; open_store(parse_store_url({url!r}))\n"
        "heavy = ('google.cloud', 'google.auth', 'azure', 'boto3', 'botocore', 'requests', 'urllib3')\n"
        "print([name for name in sys.modules if name.startswith(heavy)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
