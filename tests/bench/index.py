"""The index's figures: list with a million entries, cold start, sizes, appends. By default up to 100,000 entries, and with
SOAK=1 up to 1,000,000. Catalogs are filled by the code that folds a log, from entries that no store holds."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

from federation.index import Index
from federation.index.catalog.catalog import Catalog, catalog_path
from federation.index.catalog.checkpoint import checkpoint_key, write_checkpoint
from federation.index.home import entry_key, read_home
from federation.log import Entry, Position
from federation.log.entry import draft
from federation.result import ResultRecord
from regions.model import StoreConfig
from regions.storage import open_store
from regions.storage.store import Create, Store
from tests.bench.measure import Figure, at_least, at_most, process_s, ratio_of
from tests.emulators import moto

FEDML = str(Path(sys.executable).with_name("fedml"))
BUCKET = "fedml-bench"
SIZES = [10**3, 10**4, 10**5] + ([10**6] if os.environ.get("SOAK") else [])
BATCH = 100
RUNS = 5
WRITERS = 32
RESULTS_A_WRITER = 100
SINGLE_COMMITS_A_WRITER = 2
"""One entry a commit is measured with fewer: how many a second is what counts."""

WHERE = "metrics.roc_auc > 0.99 and params.learning_rate in (0.1, 0.01) and region != 'us'"
FOUND = 20
"""So many results meet it, wherever they are among all."""

CONFIG = """
[federation]
home = {{ url = "{url}", endpoint = "{endpoint}", location = "us-east-1" }}
[regions.us]
addresses = ["http://127.0.0.1:1"]
[regions.us.datacenters.dc1]
store = "file://./store"
"""
SAME_REQUESTS = """
import sys
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
client = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1", config=Config(s3={"addressing_style": "path"}))
for key in sys.argv[2:]:
    try:
        client.get_object(Bucket="fedml-bench", Key=key)["Body"].read()
    except ClientError:
        pass
"""


def record(number: int, draw: random.Random, *, is_good: bool) -> dict[str, Any]:
    """A result as the main job's are: five metrics, three parameters."""
    region = number % 3
    run = f"019aded1-{number // BATCH:04x}-7c11-a0f6-{number // BATCH:012x}"
    return {
        "format": 1,
        "key": {"run": run, "slot": number % BATCH, "group": "train", "index": 0},
        "attempt": 1,
        "job": "churn" if number % 20 == 0 else "sales-close-prediction",
        "version": str(number // 1000 + 1),
        "spec_hash": f"{number // BATCH:064x}",
        "region": ["us", "eu", "onprem"][region],
        "datacenter": ["us-east-1", "eu-west-1", "hall-a"][region],
        "node": f"node-{number % 50}",
        "alloc_id": str(uuid.UUID(int=draw.getrandbits(128))),
        "job_id": f"sales-close-prediction/dispatch-1732439000-{number:08x}",
        "store": ["s3://models-us", "gs://models-eu", "file:///srv/models"][region],
        "manifest_sha256": hashlib.sha256(str(number).encode()).hexdigest(),
        "files": [{"path": "model/model.joblib", "size_bytes": 2000 + number % 977, "sha256": "0" * 64}],
        "created": "2026-11-24T21:00:00Z",
        "metrics": {
            "roc_auc": round((0.99 if is_good else 0.7) + draw.random() / 100, 4),
            "log_loss": round(0.1 + draw.random() / 10, 4),
            "lift_top_fifth": round(2 + draw.random(), 3),
            "train_seconds": round(draw.random() * 60, 2),
            "customers": number % 2000,
        },
        "params": {"learning_rate": "0.1" if number % 2 else "0.01", "epochs": "30", "batch_size": "64"},
        "environment": {},
    }


def filled(path: Path, count: int) -> bytes:
    """A catalog of `count` results in that file, `BATCH` a revision, and the bytes of its last entry. Those that are good are
    no result of us."""
    draw = random.Random(7)
    good = {number for number in range(1, count, count // FOUND) if number % 3}
    catalog = Catalog(path)
    entries: list[Entry] = []
    at, data = Position(), b""
    for number in range(1, count // BATCH + 1):
        start = (number - 1) * BATCH
        changes = [
            {"type": "add", "record": record(each, draw, is_good=each in good)} for each in range(start, start + BATCH)
        ]
        moment = f"2026-{number // 40_000 + 1:02d}-{number // 2400 % 20 + 1:02d}T{number // 100 % 24:02d}:00:00.000000Z"
        entry, data = draft(at, moment, "ann@workstation", "run", changes, "")
        entries.append(entry)
        at = Position(entry.number, entry.sha256, entry.time)
        if len(entries) == 20 or number == count // BATCH:
            catalog.apply(entries)
            entries.clear()
    catalog.close()
    return data


class Home:
    """A home in S3 whose catalog on this machine holds so many entries; its log holds the newest ones only."""

    def __init__(self, folder: Path, endpoint: str, count: int) -> None:
        self.count, self.folder = count, folder / str(count)
        self.folder.mkdir()
        self.endpoint, self.prefix = endpoint, f"home-{count}"
        self.store = open_store(s3(endpoint, self.prefix))
        (self.folder / "fedml.toml").write_text(CONFIG.format(url=self.store.url, endpoint=endpoint))
        self.cache = self.folder / ".fedml" / "cache"
        first = Index(self.store, cache_dir=folder / "first")
        first.require_writable()  # makes format.json
        first.close()
        home = read_home(self.store)
        assert home is not None
        self.catalog = catalog_path(self.cache, home.id)
        self.catalog.parent.mkdir(parents=True)
        start_s = time.perf_counter()
        last = filled(self.catalog, count)
        self.built_s = time.perf_counter() - start_s
        self.store.put(entry_key(count // BATCH), last)
        index = Index(self.store, cache_dir=self.cache)
        index.commit([ResultRecord.from_dict(record(count, random.Random(8), is_good=False))])
        self.revision = index.log(limit=1)[-1].number
        index.close()

    def list_s(self, *arguments: str) -> float:
        """Wall seconds of `fedml index list` in a process of its own."""
        return process_s([FEDML, "index", "list", *arguments, "--json"], self.folder)

    def same_requests_s(self) -> float:
        """Those of the SDK, imported as its documentation says, for the same two objects."""
        script = self.folder / "same.py"
        script.write_text(SAME_REQUESTS)
        keys = [f"{self.prefix}/format.json", f"{self.prefix}/index/log/{self.revision + 1:020d}.json"]
        return process_s([sys.executable, str(script), self.endpoint, *keys], self.folder)


def s3(endpoint: str, prefix: str) -> StoreConfig:
    return StoreConfig(f"s3://{BUCKET}/{prefix}", endpoint=endpoint, location="us-east-1")


def list_figures(homes: list[Home]) -> Iterator[Figure]:
    """A filtered list, catalog warm; its growth; then the other questions at the largest size."""
    for home in homes:
        done = subprocess.run(
            [FEDML, "index", "list", "--where", WHERE, "--json"], cwd=home.folder, check=True, capture_output=True
        )
        assert 5 <= len(json.loads(done.stdout)["results"]) <= FOUND, home.count
    for home in homes:
        is_largest = home is homes[-1]
        ours, ratio = ratio_of(lambda home=home: home.list_s("--where", WHERE), home.same_requests_s, runs=RUNS)  # type: ignore[misc]
        name = f"fedml index list --where, {home.count:,} entries in S3"
        figure = at_most(name, ours, "boto3 making the same requests", ratio, 1.5)
        yield figure if is_largest else growth(figure)
    home = homes[-1]
    for arguments in (
        ["--job", "churn", "--version", "7"],
        ["--limit", "100"],
        ["--sort", "metrics.roc_auc:desc", "--limit", "5"],
    ):
        ours, ratio = ratio_of(lambda: home.list_s(*arguments), home.same_requests_s, runs=2)  # noqa: B023 - called here
        name = f"fedml index list {' '.join(arguments)}, {home.count:,} entries"
        yield growth(at_most(name, ours, "boto3 making the same requests", ratio, 0))


def growth(figure: Figure) -> Figure:
    """The same without a goal: it tells how something grows."""
    return Figure(figure.name, figure.value, figure.unit, figure.against, figure.ratio, "none", None)


def size_figures(homes: list[Home]) -> Iterator[Figure]:
    """Bytes an entry, of the catalog and of its checkpoint."""
    for home in homes:
        is_largest = home is homes[-1]
        size = home.catalog.stat().st_size / (home.count + 1)
        start_s = time.perf_counter()
        assert write_checkpoint(home.store, home.catalog) == ""
        took_s = time.perf_counter() - start_s
        packed = home.store.stat(checkpoint_key(home.revision)).size_bytes / (home.count + 1)
        for what, found, limit in (("catalog", size, 1000), ("checkpoint", packed, 300)):
            name = f"{what}, bytes an entry, {home.count:,} entries"
            ratio, goal = round(found / limit, 3), f"≤ {limit} B"
            holds = found <= limit if is_largest else None
            yield Figure(name, round(found), "B", f"{limit} B", ratio, goal if is_largest else "none", holds)
        per_entry = home.built_s / home.count * 1e6
        name = f"filling the catalog, {home.count:,} entries (checkpoint written in {took_s:.2f} s)"
        yield Figure(name, round(per_entry, 1), "µs an entry", "nothing", 1, "none", None)


def cold_figures(folder: Path, homes: list[Home]) -> Iterator[Figure]:
    """The first question on a new machine, against getting and unpacking its checkpoint."""

    def ours(home: Home) -> float:
        shutil.rmtree(folder / "cold", ignore_errors=True)
        start_s = time.perf_counter()
        index = Index(home.store, cache_dir=folder / "cold")
        assert len(index.query(limit=1)) == 1
        took_s = time.perf_counter() - start_s
        index.close()
        return took_s

    def theirs(home: Home) -> float:
        packed, unpacked = folder / "packed.gz", folder / "unpacked"
        start_s = time.perf_counter()
        home.store.get_file(checkpoint_key(home.revision), packed)
        with gzip.open(packed, "rb") as source, unpacked.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        took_s = time.perf_counter() - start_s
        packed.unlink()
        return took_s

    for home in homes:
        runs = 3 if home is homes[-1] else 1
        value, ratio = ratio_of(lambda home=home: ours(home), lambda home=home: theirs(home), runs=runs)  # type: ignore[misc]
        name = f"cold start from the checkpoint, {home.count:,} entries"
        figure = at_most(name, value, "getting and unpacking that object", ratio, 3)
        yield figure if home is homes[-1] else growth(figure)


def append_figures(folder: Path, endpoint: str) -> Iterator[Figure]:
    """Requests of one append, its latency alone, and many writers at once."""
    store = open_store(s3(endpoint, "append"))
    index = Index(store, cache_dir=folder / "append")
    numbers = iter(range(10**9))
    draw = random.Random(9)

    def some(count: int) -> list[ResultRecord]:
        return [ResultRecord.from_dict(record(next(numbers), draw, is_good=False)) for _ in range(count)]

    index.commit(some(1))
    with counted(store) as requests:
        index.commit(some(100))
    name = "append of one batch of 100 results, store requests"
    yield Figure(name, len(requests), "requests", "3", round(len(requests) / 3, 3), "≤ 3", len(requests) <= 3)
    fresh = Index(store, cache_dir=folder / "append")
    with counted(store) as requests:
        fresh.commit(some(100))
    name = "the same as the first that a process does (format.json, the store's clock)"
    yield Figure(name, len(requests), "requests", "3", round(len(requests) / 3, 3), "none", None)
    fresh.close()

    body = json.dumps(some(1)[0].to_dict()).encode()
    commit = timed(lambda: index.commit(some(1)))
    put = timed(lambda: store.put(f"puts/{next(numbers):020d}.json", body, Create()))
    several = lambda work: lambda: sum(work() for _ in range(20)) / 20  # noqa: E731 - one is too short a time
    value, ratio = ratio_of(several(commit), several(put), runs=RUNS)
    yield at_most("commit of one result, alone", value, "one conditional put", ratio, 2.5)
    index.close()
    batched = writers_rate(folder / "batched", open_store(s3(endpoint, "batched")), some, batch=RESULTS_A_WRITER)
    single = writers_rate(folder / "single", open_store(s3(endpoint, "single")), some, batch=1)
    name = f"results a second of {WRITERS} writers of {RESULTS_A_WRITER} results each, batched"
    yield at_least(name, batched, "1/s", "one entry a commit", batched / single, 5)


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """The work, which then tells how long it took."""

    def run() -> float:
        start_s = time.perf_counter()
        work()
        return time.perf_counter() - start_s

    return run


class counted:
    """What the store is asked for within the `with`, as (verb, key)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._patches: list[Any] = []

    def __enter__(self) -> list[str]:
        asked: list[str] = []
        for verb in ("get", "get_small", "put", "stat", "list", "delete", "server_time"):
            real = getattr(self._store, verb)

            def through(*given: Any, _real: Any = real, _verb: str = verb, **more: Any) -> Any:
                asked.append(_verb)
                return _real(*given, **more)

            self._patches.append(patch.object(self._store, verb, through))
            self._patches[-1].start()
        return asked

    def __exit__(self, *_: object) -> None:
        for one in self._patches:
            one.stop()


def writers_rate(folder: Path, store: Store, some: Callable[[int], list[ResultRecord]], *, batch: int) -> float:
    """Results a second of many writers of one machine at once, each commit of `batch` results."""
    indexes = [Index(store, cache_dir=folder) for _ in range(WRITERS)]
    indexes[0].require_writable()
    commits = RESULTS_A_WRITER // batch if batch > 1 else SINGLE_COMMITS_A_WRITER
    work = [[some(batch) for _ in range(commits)] for _ in indexes]
    for index in indexes:
        index.query(limit=1)

    def write(writer: int) -> None:
        for records in work[writer]:
            indexes[writer].commit(records)

    start_s = time.perf_counter()
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    rate = WRITERS * commits * batch / (time.perf_counter() - start_s)
    assert len(indexes[0].query()) == WRITERS * commits * batch
    for index in indexes:
        index.close()
    return rate


def figures(folder: Path) -> Iterator[Figure]:
    """All of them, on a local S3 server."""
    environment = {**os.environ, **moto.CREDENTIALS}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # else each process compiles what changed since the last install
    with patch.dict(os.environ, environment, clear=True), moto.moto_server() as endpoint:
        from botocore.session import Session

        Session().create_client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket=BUCKET)
        homes = [Home(folder, endpoint, count) for count in SIZES]
        yield from list_figures(homes)
        yield from size_figures(homes)
        yield from cold_figures(folder, homes)
        yield from append_figures(folder, endpoint)
