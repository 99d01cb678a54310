"""Every built-in backend keeps the contract, by the suite that ships in the package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from regions.model import StoreConfig
from regions.storage import open_store
from regions.storage.conformance import StoreConformance
from regions.storage.file import FileStore
from regions.storage.layout import file_of
from regions.storage.localfs import is_lockable
from regions.storage.s3 import S3Store
from regions.storage.store import Store
from regions.storage.url import folder_of, folder_url, split_bucket
from tests.emulators.requirements import is_required


class TestFileStore(StoreConformance):
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


class TestS3Store(StoreConformance):
    @pytest.fixture(autouse=True)
    def _place(self, s3_config: StoreConfig) -> None:
        self.config = s3_config

    def make_store(self) -> Store:
        return S3Store(self.config)

    def damage(self, store: Store, key: str) -> None:
        import boto3

        bucket, prefix = split_bucket(store.url)
        client: Any = boto3.client("s3", endpoint_url=self.config.endpoint, region_name=self.config.location)
        answer = client.get_object(Bucket=bucket, Key=f"{prefix}/{key}")
        data = bytearray(answer["Body"].read())
        data[0] ^= 1
        client.put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=bytes(data), Metadata=answer["Metadata"])


def test_every_built_in_backend_has_its_suite() -> None:
    from regions.storage import BUILT_IN

    suites = {suite.__name__.removeprefix("Test") for suite in StoreConformance.__subclasses__()}
    assert {name for _, name in BUILT_IN.values()} == suites


def test_open_store_gives_the_backend_of_the_scheme(tmp_path: Path, s3_config: StoreConfig) -> None:
    assert type(open_store(StoreConfig(url=folder_url(tmp_path)))) is FileStore
    assert type(open_store(s3_config)) is S3Store
