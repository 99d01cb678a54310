"""A server's address enters, a vendor's SDK in its own documented fastest way leaves, and obstore (Rust) beside it."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from regions.credentials import SecretRef
from regions.model import StoreConfig
from tests.emulators import azurite, moto

BUCKET = "fedml-bench"
THREADS = 32
OBSTORE = {"allow_http": True, "timeout": "300s"}
_STREAMED_BYTES = 8 << 20


class Sdk(ABC):
    """One vendor's SDK, used as its documentation says it is fastest, and the server for it."""

    name: str
    config: StoreConfig
    obstore: Any = None
    """The same place by obstore; None where that isn't installed."""
    has_obstore_up = True
    up_goal = 0.9
    """The goal for a large file up."""

    @abstractmethod
    def up(self, path: Path, key: str) -> None:
        """A large file."""

    @abstractmethod
    def down(self, key: str, path: Path) -> None:
        """A large object."""

    @abstractmethod
    def put(self, key: str, data: bytes) -> None:
        """A small object."""

    @abstractmethod
    def list(self, prefix: str) -> int:
        """How many objects the paginator gives."""

    def obstore_up(self, path: Path, key: str) -> None:
        """A large file by obstore, in parts."""
        import obstore

        obstore.put(self.obstore, key, path)

    def obstore_down(self, key: str, path: Path) -> None:
        """A large object by obstore, streamed to the file."""
        import obstore

        with path.open("wb") as file:
            for chunk in obstore.get(self.obstore, key).stream(min_chunk_size=_STREAMED_BYTES):
                file.write(chunk)


class Boto3(Sdk):
    name = "S3 (moto)"
    up_goal = 0.95

    def __init__(self, endpoint: str) -> None:
        import boto3
        from boto3.s3.transfer import TransferConfig
        from botocore.config import Config

        self.config = StoreConfig(f"s3://{BUCKET}", endpoint=endpoint, location="us-east-1")
        options = Config(max_pool_connections=THREADS, s3={"addressing_style": "path"})
        session = boto3.session.Session(region_name="us-east-1")
        self.client: Any = session.client("s3", endpoint_url=endpoint, config=options)
        self.client.create_bucket(Bucket=BUCKET)
        self.transfer = TransferConfig(max_concurrency=10)
        keys = {name.lower(): value for name, value in moto.CREDENTIALS.items()}
        self.obstore = obstore_of("S3Store", endpoint=endpoint, region="us-east-1", **keys)

    def up(self, path: Path, key: str) -> None:
        self.client.upload_file(str(path), BUCKET, key, Config=self.transfer)

    def down(self, key: str, path: Path) -> None:
        self.client.download_file(BUCKET, key, str(path), Config=self.transfer)

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data)

    def list(self, prefix: str) -> int:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return sum(1 for page in pages for _ in page["Contents"])


class GoogleCloudStorage(Sdk):
    name = "GCS (fake-gcs-server)"
    has_obstore_up = False  # it writes by the XML API, which this server only reads by

    def __init__(self, endpoint: str) -> None:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.storage import Client
        from requests.adapters import HTTPAdapter

        self.config = StoreConfig(f"gs://{BUCKET}", endpoint=endpoint, anonymous=True)
        credentials, options = AnonymousCredentials(), {"api_endpoint": endpoint}
        self.client: Any = Client(project="bench", credentials=credentials, client_options=options)
        self.client._http.mount("http://", HTTPAdapter(pool_maxsize=THREADS))
        self.bucket = self.client.create_bucket(BUCKET)
        nobody = {"client_email": "", "private_key": "", "private_key_id": ""}
        account = json.dumps({"gcs_base_url": endpoint, "disable_oauth": True, **nobody})
        self.obstore = obstore_of("GCSStore", service_account_key=account)

    def up(self, path: Path, key: str) -> None:
        # transfer_manager's uploads by parts need the XML API's multipart uploads, which this server lacks
        self.bucket.blob(key).upload_from_filename(str(path))

    def down(self, key: str, path: Path) -> None:
        from google.cloud.storage import transfer_manager

        transfer_manager.download_chunks_concurrently(
            self.bucket.blob(key), str(path), max_workers=8, worker_type=transfer_manager.THREAD
        )

    def put(self, key: str, data: bytes) -> None:
        self.bucket.blob(key).upload_from_string(data)

    def list(self, prefix: str) -> int:
        return sum(1 for _ in self.client.list_blobs(BUCKET, prefix=prefix))


class AzureBlobs(Sdk):
    name = "Azure (Azurite)"

    def __init__(self, endpoint: str) -> None:
        from azure.core.credentials import AzureNamedKeyCredential
        from azure.storage.blob import ContainerClient

        os.environ["FEDML_BENCH_AZURE_KEY"] = azurite.KEY
        key = SecretRef(env="FEDML_BENCH_AZURE_KEY")
        self.config = StoreConfig(f"az://{azurite.ACCOUNT}/{BUCKET}", endpoint=endpoint, secret_access_key=key)
        address = f"{endpoint}/{azurite.ACCOUNT}"
        credential = AzureNamedKeyCredential(azurite.ACCOUNT, azurite.KEY)
        self.client: Any = ContainerClient(address, BUCKET, credential=credential)
        self.client.create_container()
        names = {"account_name": azurite.ACCOUNT, "account_key": azurite.KEY}
        self.obstore = obstore_of("AzureStore", endpoint=address, **names)

    def up(self, path: Path, key: str) -> None:
        with path.open("rb") as file:
            self.client.upload_blob(key, file, overwrite=True, max_concurrency=8)

    def down(self, key: str, path: Path) -> None:
        with path.open("wb") as file:
            self.client.download_blob(key, max_concurrency=8).readinto(file)

    def put(self, key: str, data: bytes) -> None:
        self.client.upload_blob(key, data, overwrite=True)

    def list(self, prefix: str) -> int:
        return sum(1 for _ in self.client.list_blobs(name_starts_with=prefix))


def obstore_of(kind: str, **options: Any) -> Any:
    """obstore's store of that kind over the bucket; None where obstore isn't installed."""
    try:
        from obstore import store
    except ImportError:
        return None
    return getattr(store, kind)(BUCKET, client_options=OBSTORE, **options)
