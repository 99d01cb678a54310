"""The stores' figures: large files, many small ones and listings against each SDK's own best way, on the same server; memory.

A kind whose server isn't installed is left out.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from regions.credentials import SecretRef
from regions.model import StoreConfig
from regions.storage import open_store, store_url
from regions.storage.store import Create, Store
from regions.storage.url import folder_url
from tests.bench.measure import Figure, at_least, ratio_of
from tests.emulators import azurite, gcs, moto, seaweed

MB = 1_000_000
LARGE_MB = 128
SMALL_FILES = 1000
SMALL_BYTES = 4096
THREADS = 32
LISTED = 10_000
MEMORY_FILE_MB = 1000
MEMORY_LIMIT_MB = 150
RUNS = 3

BUCKET = "fedml-bench"

MEMORY = """
import re, sys
from pathlib import Path
from regions.storage import open_store, parse_store_url
store, folder = open_store(parse_store_url(sys.argv[1])), Path(sys.argv[2])
(folder / "small").write_bytes(b"x" * 1000)
store.put_file("small", folder / "small")
store.get_file("small", folder / "copy")
peak_mb = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1000
base_mb = peak_mb()
store.put_file("large", folder / "large")
store.get_file("large", folder / "copy")
print(peak_mb() - base_mb)
"""


class Sdk(ABC):
    """One vendor's SDK, used as its documentation says it is fastest, and the server for it."""

    name: str
    config: StoreConfig

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


class Boto3(Sdk):
    name = "S3 (moto)"

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

    def __init__(self, endpoint: str) -> None:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.storage import Client
        from requests.adapters import HTTPAdapter

        self.config = StoreConfig(f"gs://{BUCKET}", endpoint=endpoint, anonymous=True)
        credentials, options = AnonymousCredentials(), {"api_endpoint": endpoint}
        self.client: Any = Client(project="bench", credentials=credentials, client_options=options)
        self.client._http.mount("http://", HTTPAdapter(pool_maxsize=THREADS))
        self.bucket = self.client.create_bucket(BUCKET)

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
        credential = AzureNamedKeyCredential(azurite.ACCOUNT, azurite.KEY)
        self.client: Any = ContainerClient(f"{endpoint}/{azurite.ACCOUNT}", BUCKET, credential=credential)
        self.client.create_container()

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


def figures(folder: Path) -> Iterator[Figure]:
    """All figures of the stores, one by one."""
    with ExitStack() as stack:
        sdks: list[Sdk] = []
        if moto.is_installed():
            os.environ.update(moto.CREDENTIALS)
            sdks.append(Boto3(stack.enter_context(moto.moto_server())))
        if gcs.is_installed():
            sdks.append(GoogleCloudStorage(stack.enter_context(gcs.gcs_server())))
        if azurite.is_installed():
            sdks.append(AzureBlobs(stack.enter_context(azurite.azurite_server())))
        for sdk in sdks:
            yield from _against(sdk, open_store(sdk.config), folder)
    if not Path("/proc/self/status").exists():  # only Linux tells the peak of one process
        return
    yield _memory("file", folder_url(folder / "store"), folder)
    if (weed := seaweed.program()) is not None:
        with seaweed.seaweed_server(weed) as endpoint, _environment(seaweed.CREDENTIALS):
            import boto3

            session = boto3.session.Session(region_name="us-east-1")
            session.client("s3", endpoint_url=endpoint).create_bucket(Bucket=BUCKET)
            url = store_url(StoreConfig(f"s3://{BUCKET}", endpoint=endpoint, location="us-east-1"))
            yield _memory("S3 (SeaweedFS)", url, folder)


def _against(sdk: Sdk, ours: Store, folder: Path) -> Iterator[Figure]:
    source, target = folder / "large", folder / "copy"
    source.write_bytes(secrets.token_bytes(LARGE_MB * MB))
    ours.put_file("large", source)
    pairs: list[tuple[str, Callable[[], object], Callable[[], object]]] = [
        ("up", lambda: ours.put_file("large", source), lambda: sdk.up(source, "large-theirs")),
        ("down", lambda: ours.get_file("large", target), lambda: sdk.down("large", target)),
    ]
    for way, our_way, their_way in pairs:
        seconds, ratio = ratio_of(_timed(our_way), _timed(their_way), runs=RUNS)
        name = f"{sdk.name}: {LARGE_MB} MB {way}"
        yield at_least(name, LARGE_MB / seconds, "MB/s", "the SDK's own best way", 1 / ratio, 0.9)
    data = secrets.token_bytes(SMALL_BYTES)
    seconds, ratio = ratio_of(
        _timed(lambda: _many(lambda number, run: ours.put(f"small-{run}/{number:05d}", data, Create()), SMALL_FILES)),
        _timed(lambda: _many(lambda number, run: sdk.put(f"theirs-{run}/{number:05d}", data), SMALL_FILES)),
        runs=RUNS,
    )
    name = f"{sdk.name}: {SMALL_FILES} × {SMALL_BYTES} B created, {THREADS} threads"
    yield at_least(name, SMALL_FILES / seconds, "files/s", "the SDK with as many threads", 1 / ratio, 0.9)
    _many(lambda number, run: sdk.put(f"listed/{number:05d}", b""), LISTED)
    seconds, ratio = ratio_of(
        _timed(lambda: _exactly(LISTED, sum(1 for _ in ours.list("listed/")))),
        _timed(lambda: _exactly(LISTED, sdk.list("listed/"))),
        runs=RUNS,
    )
    name = f"{sdk.name}: list of {LISTED}"
    yield Figure(name, round(seconds, 3), "s", "the SDK's paginator", round(ratio, 3), "≤ 1.1", ratio <= 1.1)


def _timed(act: Callable[[], object]) -> Callable[[], float]:
    def timed() -> float:
        start = time.perf_counter()
        act()
        return time.perf_counter() - start

    return timed


def _many(act: Callable[[int, str], object], count: int) -> None:
    run = secrets.token_hex(4)
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(act, number, run) for number in range(count)]:
            done.result()


def _exactly(expected: int, found: int) -> None:
    if found != expected:
        raise RuntimeError(f"{found} objects were listed, not {expected}")


def _memory(name: str, url: str, folder: Path) -> Figure:
    """Resident memory for one large file up and down, over what a small one takes."""
    with (folder / "large").open("wb") as file:
        file.truncate(MEMORY_FILE_MB * MB)
    arguments = [sys.executable, "-c", MEMORY, url, str(folder)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    used_mb = float(done.stdout)
    label = f"{name}: memory for {MEMORY_FILE_MB} MB up and down"
    ratio = used_mb / MEMORY_FILE_MB
    goal = f"≤ {MEMORY_LIMIT_MB} MB"
    return Figure(label, round(used_mb, 1), "MB", "the file's size", round(ratio, 3), goal, used_mb <= MEMORY_LIMIT_MB)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
