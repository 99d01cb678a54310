"""The stores' figures: large files, many small ones and listings against each SDK's own best way, on the same server; memory.

All that is held against each other is run in turn, A B C A B C …, and the median of the ratios of each turn is quoted, so
that whatever else the machine does hits all alike. obstore (Rust) is measured beside them where it is installed.
A kind whose server isn't installed is left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from federation.publish.publish import publish
from regions.model import StoreConfig
from regions.storage import open_store, store_url
from regions.storage.store import Create, Store
from regions.storage.url import folder_url
from tests.bench.measure import Figure, at_least
from tests.bench.stores_rivals import BUCKET, THREADS, AzureBlobs, Boto3, GoogleCloudStorage, Sdk
from tests.emulators import azurite, gcs, moto, seaweed

MB = 1_000_000
LARGE_MB = 200
SMALL_FILES = 1000
SMALL_BYTES = 4096
LISTED = 10_000
PUBLISHED = 10_000
MEMORY_FILE_MB = 1000
MEMORY_LIMIT_MB = 150
TURNS = 3

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
            yield _published(sdk, folder)
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
    ours.put("warm", b"")
    sdk.put("warm", b"")
    yield from _large(sdk, ours, folder)
    yield from _small(sdk, ours)


def _large(sdk: Sdk, ours: Store, folder: Path) -> Iterator[Figure]:
    """Up as `fedml publish` sends it, which knows each file's sha256 from its manifest; beside it, not knowing it."""
    source, target = folder / "large", folder / "copy"
    source.write_bytes(data := secrets.token_bytes(LARGE_MB * MB))
    sha256 = hashlib.sha256(data).hexdigest()
    acts = [
        lambda: ours.put_file("large", source, sha256=sha256),
        lambda: sdk.up(source, "theirs"),
        lambda: ours.put_file("large", source),
    ]
    if sdk.obstore is not None and sdk.has_obstore_up:
        acts.append(lambda: sdk.obstore_up(source, "rust"))
    seconds, up, unknown, *rust = _in_turn(*acts)
    name, best = f"{sdk.name}: {LARGE_MB} MB up", "the SDK's own best way"
    yield at_least(name, LARGE_MB / seconds, "MB/s", best, up, sdk.up_goal)
    unknown_s = seconds * unknown
    yield _printed(f"{name}, its sha256 not known before", unknown_s, best, up / unknown)
    if rust:
        yield at_least(name, LARGE_MB / seconds, "MB/s", "obstore", rust[0], 0.8)
    elif sdk.obstore is None:
        print(f"{name}: not held against obstore, which isn't installed")
    seconds, down = _in_turn(lambda: ours.get_file("large", target), lambda: sdk.down("large", target))
    name = f"{sdk.name}: {LARGE_MB} MB down"
    yield at_least(name, LARGE_MB / seconds, "MB/s", best, down, 0.9)
    if sdk.obstore is not None:
        yield _printed(name, seconds, "obstore", _seconds(lambda: sdk.obstore_down("large", target)) / seconds)


def _printed(name: str, seconds: float, against: str, ratio: float) -> Figure:
    return Figure(name, round(LARGE_MB / seconds, 2), "MB/s", against, round(ratio, 3), "none", None)


def _small(sdk: Sdk, ours: Store) -> Iterator[Figure]:
    """What is written for the one figure is listed for the other."""
    data = secrets.token_bytes(SMALL_BYTES)
    seconds, ratio = _in_turn(
        lambda: _many(lambda name: ours.put(f"listed/{name}", data, Create()), SMALL_FILES),
        lambda: _many(lambda name: sdk.put(f"listed/{name}", data), SMALL_FILES),
    )
    name = f"{sdk.name}: {SMALL_FILES} × {SMALL_BYTES} B created, {THREADS} threads"
    yield at_least(name, SMALL_FILES / seconds, "files/s", "the SDK with as many threads", ratio, 1.0)
    _many(lambda name: sdk.put(f"listed/{name}", b""), LISTED - 2 * TURNS * SMALL_FILES)
    seconds, ratio = _in_turn(
        lambda: _exactly(LISTED, sum(1 for _ in ours.list("listed/"))),
        lambda: _exactly(LISTED, sdk.list("listed/")),
    )
    name, took = f"{sdk.name}: list of {LISTED}", 1 / ratio
    yield Figure(name, round(seconds, 3), "s", "the SDK's paginator", round(took, 3), "≤ 1.1", took <= 1.1)


def _published(sdk: Sdk, folder: Path) -> Figure:
    """Many small files by `publish`, hashes and record included, against a loop over the same files."""
    source = folder / "many"
    source.mkdir(exist_ok=True)
    for number in range(PUBLISHED):
        (source / f"{number:05d}").write_bytes(secrets.token_bytes(SMALL_BYTES))
    task = {
        "NOMAD_REGION": "us",
        "NOMAD_JOB_ID": "bench/dispatch-1-a",
        "NOMAD_GROUP_NAME": "g",
        "NOMAD_ALLOC_INDEX": "0",
        "NOMAD_DC": "dc1",
        "FEDML_STORES": json.dumps({"dc1": store_url(sdk.config)}),
    }

    def loop() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            paths = list(source.iterdir())
            for done in [
                pool.submit(lambda path: sdk.put(f"loop/{path.name}", path.read_bytes()), path) for path in paths
            ]:
                done.result()

    seconds, ratio = _in_turn(lambda: publish(source, environ=task | {"NOMAD_ALLOC_ID": secrets.token_hex(8)}), loop)
    name = f"{sdk.name}: {PUBLISHED} × {SMALL_BYTES} B published"
    return at_least(name, PUBLISHED / seconds, "files/s", "the SDK's loop over the same files", ratio, 0.9)


def _in_turn(*acts: Callable[[], object]) -> list[float]:
    """The first one's median seconds, then how many times as long each of the others took."""
    turns = [[_seconds(act) for act in acts] for _ in range(TURNS)]
    ours, *others = zip(*turns, strict=True)
    ratios = [[theirs / own for own, theirs in zip(ours, other, strict=True)] for other in others]
    return [statistics.median(found) for found in (ours, *ratios)]


def _seconds(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def _many(act: Callable[[str], object], count: int) -> None:
    run = secrets.token_hex(4)
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(act, f"{run}-{number:05d}") for number in range(count)]:
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
