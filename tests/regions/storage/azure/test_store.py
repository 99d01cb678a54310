"""What is particular to Azure Blob Storage: its order, its metadata, blocks, credentials, errors of the SDK."""

from __future__ import annotations

import inspect
import random
import secrets
import sys
from collections.abc import Callable
from dataclasses import replace
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType, SimpleNamespace

import pytest

from regions.credentials import SecretRef
from regions.model import StoreConfig
from regions.storage.azure import errors
from regions.storage.azure.client import address_of
from regions.storage.azure.order import in_byte_order
from regions.storage.azure.store import AzureStore
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
from regions.storage.retry import Patience
from regions.storage.source import SourceFile
from regions.storage.store import Create, ObjectInfo
from tests.emulators import azurite
from tests.regions.storage.s3.test_store import Page

MIB = 1 << 20


@pytest.fixture
def store(azure_config: StoreConfig) -> AzureStore:
    found = AzureStore(azure_config)
    found.patience = Patience(tries=3, first_wait_s=0.001)
    return found


def answered(status: int, code: str = "", headers: dict[str, str] | None = None) -> Exception:
    from azure.core.exceptions import HttpResponseError

    answer = SimpleNamespace(status_code=status, reason="in the server's words", headers=headers or {})
    error = HttpResponseError("in the server's words", response=answer)
    error.error_code = code or None  # type: ignore[attr-defined]
    return error


def infos(names: list[str]) -> list[ObjectInfo]:
    return [ObjectInfo(name, 0, "") for name in names]


def test_azures_order_is_put_right_whatever_the_names() -> None:
    draw = random.Random(5)
    letters = ["a", "b", "-", "/", "é", "\ud7ff", "\ue000", "\uff5e", "\U00010000", "😀"]
    for _ in range(300):
        names = list({"".join(draw.choices(letters, k=draw.randint(1, 4))) for _ in range(draw.randint(0, 30))})
        by_bytes = sorted(names, key=str.encode)
        for order in (lambda name: name.encode("utf-16-be"), str.encode):
            listed = infos(sorted(names, key=order))
            assert [found.key for found in in_byte_order(listed, "az://a/c")] == by_bytes


def test_an_account_with_yet_another_order_is_refused() -> None:
    listed = in_byte_order(infos(["a/b", "a-b"]), "az://a/c")
    with pytest.raises(NotSupported, match="doesn't list in order") as caught:
        list(listed)
    assert "hierarchical namespace" in caught.value.hint


def test_a_listing_goes_on_page_by_page_and_starts_after_any_key(
    store: AzureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regions.storage.azure.store._PAGE", 3)
    for number in range(10):
        store.put(f"{number}", b"")
    assert [info.key for info in store.list()] == [str(number) for number in range(10)]
    for number in range(10):
        assert [info.key for info in store.list(start_after=f"{number}")] == [str(n) for n in range(number + 1, 10)]
    assert [info.key for info in store.list(start_after="x")] == []


def test_metadata_may_have_any_names(store: AzureStore) -> None:
    metadata = {"with-hyphen": "1", "With Space": "2", "ünïcödé": "日本", "": "%25"}
    store.put("key", b"x", metadata=metadata)
    assert dict(store.stat("key").metadata) == metadata
    assert store.get("key") == b"x"


def test_an_object_of_others_has_no_sha256_and_is_read(store: AzureStore) -> None:
    blob = store._opened().get_blob_client("some/prefix/theirs")
    blob.upload_blob(b"x", metadata={"note": "100%25"})
    store._opened().get_blob_client("some/prefix/folder/").upload_blob(b"")
    assert store.get("theirs") == b"x"
    assert store.stat("theirs").sha256 is None
    assert dict(store.stat("theirs").metadata) == {"note": "100%25"}
    assert [info.key for info in store.list()] == ["theirs"]


def test_a_large_file_that_changes_is_refused_and_nothing_is_visible(
    store: AzureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(secrets.token_bytes(17 * MIB))
    read = SourceFile.read

    def changing(self: SourceFile, offset: int, size_bytes: int) -> bytes:
        found = read(self, offset, size_bytes)
        with source.open("ab") as file:
            file.write(b"more")
        return found

    monkeypatch.setattr(SourceFile, "read", changing)
    with pytest.raises(IntegrityError, match="changed while it was read"):
        store.put_file("key", source)
    assert not store.exists("key")
    assert list(store.list()) == []


def test_a_container_that_is_not_there(azure_config: StoreConfig) -> None:
    store = AzureStore(replace(azure_config, url=f"az://{azurite.ACCOUNT}/no-such-container/x"))
    uses: list[Callable[[], object]] = [
        lambda: store.put("key", b"", Create()),
        lambda: store.get("key"),
        lambda: store.stat("key"),
        lambda: list(store.list()),
    ]
    for use in uses:
        with pytest.raises(NotFound, match="the container does not exist") as caught:
            use()
        assert "create the container" in caught.value.hint


def test_credentials_by_reference_by_environment_and_by_identity(
    azure_config: StoreConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from azure.core.credentials import AzureNamedKeyCredential
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    AzureStore(azure_config).put("key", b"x")
    bare = replace(azure_config, secret_access_key=None)
    monkeypatch.setenv("AZURE_STORAGE_KEY", azurite.KEY)
    assert AzureStore(bare).get("key") == b"x"
    monkeypatch.delenv("AZURE_STORAGE_KEY")
    token = generate_container_sas(
        azurite.ACCOUNT,
        azure_config.url.split("/")[3],
        azurite.KEY,
        permission=ContainerSasPermissions(read=True),
        expiry="2099-01-01T00:00:00Z",
    )
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", f"?{token}")
    by_token = AzureStore(bare)
    assert by_token.get("key") == b"x"
    with pytest.raises(PermissionDenied):
        by_token.put("key", b"y")
    with pytest.raises(NotSupported, match="can't sign URLs"):
        by_token.signed_url("key")
    monkeypatch.delenv("AZURE_STORAGE_SAS_TOKEN")
    identity = ModuleType("azure.identity")
    identity.DefaultAzureCredential = lambda: AzureNamedKeyCredential(azurite.ACCOUNT, azurite.KEY)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "azure.identity", identity)
    assert AzureStore(bare).get("key") == b"x"
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(PermissionDenied, match="no credentials for Azure") as caught:
        AzureStore(bare).get("key")
    assert "AZURE_STORAGE_KEY" in caught.value.hint


def test_a_wrong_key_is_permission_denied_and_never_shown(
    azure_config: StoreConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for secret in ("cGxhbnRlZC1zZWNyZXQ=", "planted-secret, no base64"):
        monkeypatch.setenv("AZURITE_KEY", secret)
        with pytest.raises(PermissionDenied) as caught:
            AzureStore(azure_config).get("key")
        assert secret not in str(caught.value) + caught.value.hint
    with pytest.raises(PermissionDenied, match="takes no access_key_id"):
        AzureStore(replace(azure_config, access_key_id=SecretRef(env="X"))).get("key")


def test_a_rotated_key_is_read_anew(azure_config: StoreConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURITE_KEY", "cGxhbnRlZC1zZWNyZXQ=")
    store = AzureStore(azure_config)
    with pytest.raises(PermissionDenied):
        store.put("key", b"x")
    monkeypatch.setenv("AZURITE_KEY", azurite.KEY)
    store.put("key", b"x")
    assert store.get("key") == b"x"


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        (None, "https://account1.blob.core.windows.net"),
        ("http://127.0.0.1:10000", "http://127.0.0.1:10000/account1"),
        ("https://account1.blob.core.chinacloudapi.cn", "https://account1.blob.core.chinacloudapi.cn"),
    ],
)
def test_the_address_of_an_account(endpoint: str | None, address: str) -> None:
    store = AzureStore(StoreConfig(url="az://account1/models", endpoint=endpoint))
    assert address_of(store._account, store._endpoint) == address


def test_every_error_class_of_the_sdk_has_its_meaning_and_passes_the_door(store: AzureStore) -> None:
    import azure.core.exceptions
    import azure.storage.blob._shared.authentication as authentication
    import azure.storage.blob._shared.response_handlers as response_handlers

    found = [
        kind
        for module in (azure.core.exceptions, authentication, response_handlers)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__ == module.__name__
    ]
    unmapped = [
        kind.__name__
        for kind in found
        if not any(ancestor.__name__ in errors.KINDS for ancestor in kind.__mro__)
        or not issubclass(kind, store._sdk_errors())
    ]
    assert len(found) > 20
    assert unmapped == []


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (304, "", PreconditionFailed),
        (400, "Md5Mismatch", IntegrityError),
        (400, "InvalidResourceName", InvalidStoreURL),
        (400, "InvalidBlockList", Unavailable),
        (400, "SomethingNew", StoreError),
        (401, "", PermissionDenied),
        (403, "AuthorizationPermissionMismatch", PermissionDenied),
        (404, "BlobNotFound", NotFound),
        (404, "", NotFound),
        (408, "", Unavailable),
        (409, "BlobAlreadyExists", PreconditionFailed),
        (409, "BlobImmutableDueToPolicy", PermissionDenied),
        (409, "SomethingNew", StoreError),
        (412, "ConditionNotMet", PreconditionFailed),
        (412, "LeaseIdMissing", PermissionDenied),
        (429, "", Unavailable),
        (500, "InternalError", Unavailable),
        (503, "ServerBusy", Unavailable),
        (501, "", NotSupported),
    ],
)
def test_answers_become_store_errors(status: int, code: str, kind: type[StoreError]) -> None:
    error = answered(status, code, {"Retry-After": "3"})
    found = errors.store_error(error, store="az://a/c", operation="put", key="key")
    assert type(found) is kind
    assert (found.store, found.operation, found.key) == ("az://a/c", "put", "key")
    assert str(found).startswith("store az://a/c: ")
    assert "in the server's words" in str(found) or kind is NotFound
    assert not isinstance(found, Unavailable) or (found.retry_after_s == 3 and found.hint)


def test_no_answer_is_unavailable() -> None:
    from azure.core.exceptions import IncompleteReadError, ServiceRequestError, ServiceResponseTimeoutError

    for error in (ServiceRequestError("refused"), ServiceResponseTimeoutError("late"), IncompleteReadError("cut")):
        found = errors.store_error(error, store="az://a/c", operation="get", key="key")
        assert type(found) is Unavailable
        assert found.is_passing
        assert found.hint
    error = ServiceRequestError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed")
    found = errors.store_error(error, store="az://a/c", operation="get", key="key")
    assert isinstance(found, Unavailable)
    assert not found.is_passing
    assert "REQUESTS_CA_BUNDLE" in found.hint


def test_something_else_that_answers_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", azurite.KEY)
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            endpoint = f"http://127.0.0.1:{server.server_port}"
            config = StoreConfig("az://account1/models", endpoint, secret_access_key=SecretRef(env="KEY"))
            store = AzureStore(config)
            store.patience = Patience(tries=1)
            uses: list[Callable[[], object]] = [
                lambda: store.put("key", b"", Create()),
                lambda: store.stat("key"),
                lambda: store.get("key"),
                lambda: list(store.list()),
            ]
            for use in uses:
                with pytest.raises(StoreError):
                    use()
        finally:
            server.shutdown()
            thread.join()
