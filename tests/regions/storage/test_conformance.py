"""Every built-in backend keeps the contract, by the suite that ships in the package.

With SOAK=1 (`make soak`) races have the rounds that the suite asks of a third party's backend; elsewhere a fifth of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regions.model import StoreConfig
from regions.storage import open_store
from regions.storage.azure.store import AzureStore
from regions.storage.backend import own_backends
from regions.storage.checked_store import CheckedStore
from regions.storage.conformance import StoreConformance
from regions.storage.file.layout import file_of
from regions.storage.file.localfs import is_lockable
from regions.storage.file.store import FileStore
from regions.storage.gcs.store import GCSStore
from regions.storage.s3.store import S3Store
from regions.storage.store import Store
from regions.storage.url import folder_of, folder_url, split_bucket
from tests.emulators.requirements import is_required


def _deviates(test: Callable[[Any], None], reason: str) -> Callable[[Any], None]:
    """The test, of which a server is known to fail; it is told when it no longer does."""

    def deviating(self: Any) -> None:
        test(self)

    return pytest.mark.xfail(reason=reason, strict=True)(deviating)


class OwnStore(StoreConformance):
    race_rounds = StoreConformance.race_rounds if os.environ.get("SOAK") else StoreConformance.race_rounds // 5


class TestFileStore(OwnStore):
    holds_nested_keys = False

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.config = StoreConfig(url=folder_url(tmp_path / "store with space"))
        self.supports_update = is_lockable(tmp_path)
        assert self.supports_update or not is_required("file"), "the tests' folder is on a network file system"

    def make_store(self) -> Store:
        return FileStore(self.config)

    def damage(self, store: Store, key: str) -> None:
        path = file_of(folder_of(store.url), key)
        status = path.stat()
        data = bytearray(path.read_bytes())
        data[0] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


class TestCheckedStore(TestFileStore):
    """A store as a third party's is opened."""

    def make_store(self) -> Store:
        return CheckedStore(super().make_store())


class TestS3Store(OwnStore):
    prefix_bytes = len("some/prefix/")

    @pytest.fixture(autouse=True)
    def _place(self, s3_config: StoreConfig) -> None:
        self.config = s3_config

    def make_store(self) -> Store:
        return S3Store(self.config)

    def damage(self, store: Store, key: str) -> None:
        import boto3

        bucket, prefix = split_bucket(store.url)
        session = boto3.session.Session(region_name=self.config.location)
        client: Any = session.client("s3", endpoint_url=self.config.endpoint)
        answer = client.get_object(Bucket=bucket, Key=f"{prefix}/{key}")
        data = bytearray(answer["Body"].read())
        data[0] ^= 1
        client.put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=bytes(data), Metadata=answer["Metadata"])


class TestSeaweedFS(StoreConformance):
    """A second S3 server: real signatures, real concurrency."""

    prefix_bytes = len("some/prefix/")
    race_writers = 8
    race_rounds = 5

    @pytest.fixture(autouse=True)
    def _place(self, seaweed_config: StoreConfig) -> None:
        self.config = seaweed_config

    make_store = TestS3Store.make_store
    damage = TestS3Store.damage

    test_what_was_put_is_read_back_with_what_is_known_of_it = _deviates(
        StoreConformance.test_what_was_put_is_read_back_with_what_is_known_of_it, "it drops empty metadata"
    )
    test_list_is_in_order_of_the_keys_bytes = _deviates(
        StoreConformance.test_list_is_in_order_of_the_keys_bytes,
        "it lists folder by folder, and a segment has at most 255 bytes",
    )
    test_awkward_keys_are_kept_apart_and_come_back_as_they_are = _deviates(
        StoreConformance.test_awkward_keys_are_kept_apart_and_come_back_as_they_are,
        "a segment has at most 255 bytes",
    )


class TestGCSStore(OwnStore):
    prefix_bytes = len("some/prefix/")

    @pytest.fixture(autouse=True)
    def _place(self, gcs_config: StoreConfig) -> None:
        self.config = gcs_config

    def make_store(self) -> Store:
        return GCSStore(self.config)

    def damage(self, store: Store, key: str) -> None:
        assert isinstance(store, GCSStore)
        blob = store._blob(store._opened(), store._name(key))
        blob.reload()
        data = bytearray(blob.download_as_bytes())
        data[0] ^= 1
        metadata, blob = blob.metadata, store._blob(store._opened(), store._name(key))
        blob.metadata = metadata
        blob.upload_from_string(bytes(data))


class TestAzureStore(OwnStore):
    prefix_bytes = len("some/prefix/")

    @pytest.fixture(autouse=True)
    def _place(self, azure_config: StoreConfig) -> None:
        self.config = azure_config

    def make_store(self) -> Store:
        return AzureStore(self.config)

    def damage(self, store: Store, key: str) -> None:
        assert isinstance(store, AzureStore)
        blob = store._opened().get_blob_client(store._name(key))
        body = blob.download_blob()
        data = bytearray(body.readall())
        data[0] ^= 1
        blob.upload_blob(bytes(data), overwrite=True, metadata=body.properties.metadata)


def test_every_built_in_backend_has_its_suite() -> None:
    suites = {suite.__name__.removeprefix("Test") for suite in OwnStore.__subclasses__()}
    assert {backend.store.partition(":")[2] for backend in own_backends().values()} <= suites


def test_open_store_gives_the_backend_of_the_scheme(tmp_path: Path, s3_config: StoreConfig) -> None:
    assert type(open_store(StoreConfig(url=folder_url(tmp_path)))) is FileStore
    assert type(open_store(s3_config)) is S3Store
