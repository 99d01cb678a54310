"""A project whose index holds results of a sweep, with their artifacts in stores. No region answers."""

from __future__ import annotations

import json
import struct
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from starlette.requests import Request

from federation.app import App
from federation.config.load import load
from federation.index import Index
from federation.result import Key, ResultFile, ResultRecord, manifest_sha256
from federation.web.page import Page, View
from federation.web.site import Settings, Site
from regions.storage import open_store

CONFIG = """
[federation]
name = "shop"
home = "{root}/home"
[regions.us]
addresses = ["http://127.0.0.1:9"]
[regions.us.datacenters.dc1]
store = "{root}/us"
[regions.eu]
addresses = ["http://127.0.0.1:9"]
[regions.eu.datacenters.dc1]
store = "{root}/eu"
"""


def png(grey: int = 128) -> bytes:
    """A picture of 16 by 16 grey pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 16, 16, 8, 0, 0, 0, 0)
    lines = zlib.compress((b"\0" + bytes([grey]) * 16) * 16)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


@dataclass
class Shop:
    """The project in a folder."""

    root: Path

    def __post_init__(self) -> None:
        self.toml = self.root / "fedml.toml"
        self.toml.write_text(CONFIG.format(root=self.root.as_uri()))
        self.config = load(self.toml)
        self.index = Index(open_store(self.config.home), cache_dir=self.root / "other-cache", author="ann@desk")
        self._made = 0

    def record(
        self,
        files: Mapping[str, bytes] | None = None,
        *,
        job: str = "churn",
        version: str = "4",
        run: str = "run-1",
        region: str = "us",
        metrics: Mapping[str, float | str] | None = None,
        params: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> ResultRecord:
        """A record of the next allocation; its files are in the region's store."""
        self._made += 1
        number = self._made
        files = {"model.bin": b"model %d" % number} if files is None else files
        entries = tuple(ResultFile(path, len(data), sha256(data).hexdigest()) for path, data in files.items())
        store = self.config.regions[region].datacenters["dc1"].store
        record = ResultRecord(
            Key(run, number, "train", 0), 1, job, version, "5pec", region, "dc1", f"{region}-node",
            str(uuid.UUID(int=(number * 0x9E3779B97F4A7C15F39CC0605CEDC834) % (1 << 128))), f"{job}/dispatch-{number}",
            store.url, manifest_sha256(entries), entries, f"2026-11-24T10:{number % 60:02d}:00Z",
            metrics=metrics or {}, params=params or {}, environment=environment or {},
        )  # fmt: skip
        opened = open_store(store)
        for path, data in files.items():
            opened.put(record.artifact_prefix + path, data)
        return record

    def sweep(self, count: int = 24) -> list[ResultRecord]:
        """Results of a sweep in one revision, with a metric that is best at lr 0.1 and depth 6."""
        self.index.open_run("run-1", "churn", "4", "5pec", count + 1, count)
        records = []
        for number in range(count):
            lr, depth = (0.001, 0.01, 0.1)[number % 3], (2, 4, 6, 8)[number // 3 % 4]
            auc = 0.9 - abs(depth - 6) / 50 - abs(0.1 - lr) / 2 + number / 10_000
            curve = "".join(f"{json.dumps({'step': step, 'loss': 1 / step})}\n" for step in range(1, 20))
            records.append(
                self.record(
                    {
                        "roc.png": png(10 * number % 256),
                        "report.txt": b"fine <b>really</b>\n",
                        "metrics.jsonl": curve.encode(),
                    },
                    region=("us", "eu")[number % 2],
                    metrics={"auc": round(auc, 4), "log_loss": round(1 - auc, 4)},
                    params={"lr": str(lr), "depth": str(depth), "optimizer": ("adam", "sgd")[number % 2]},
                    environment={"git_commit": "5e1f", "data_url": "s3://data/churn.csv"},
                )
            )
        self.index.commit(records)
        return records

    def site(self, settings: Settings | None = None) -> Site:
        """Its pages. Close `site.app` at the end."""
        return Site(App(load(self.toml)), settings or Settings())


def request(path: str, query: str = "", **names: str) -> Request:
    """A request as a view takes it."""
    scope = {
        "type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": [], "path_params": names,
        "scheme": "http", "server": ("127.0.0.1", 80), "root_path": "",
    }  # fmt: skip
    return Request(scope)


def page(view: View, site: Site, path: str, query: str = "", **names: str) -> Page:
    """What a view reads."""
    found = view(site, request(path, query, **names))
    assert isinstance(found, Page)
    return found
