"""Records and indexes for tests."""

from __future__ import annotations

import hashlib
import itertools
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from federation.index import Index
from federation.result import Key, ResultFile, ResultRecord
from regions.storage.store import Store

MakeRecord = Callable[..., ResultRecord]
OpenIndex = Callable[..., Index]


@pytest.fixture
def make_record() -> MakeRecord:
    """Builds a valid record; keyword arguments replace its fields, `slot`, `run`, `group`, `index` those of its key."""
    numbers = itertools.count()

    def make(**given: Any) -> ResultRecord:
        number = next(numbers)
        key = Key(
            given.pop("run", "run-1"), given.pop("slot", number), given.pop("group", "train"), given.pop("index", 0)
        )
        data = given.pop("data", b"model")
        fields: dict[str, Any] = {
            "key": key,
            "attempt": 1,
            "job": "sales",
            "version": "4",
            "spec_hash": "s" * 8,
            "region": "us",
            "datacenter": "us-east-1",
            "node": "us-1",
            "alloc_id": str(uuid.UUID(int=(number + 1) << 96)),
            "job_id": f"sales/dispatch-{number}",
            "store": "memory://us",
            "manifest_sha256": hashlib.sha256(data).hexdigest(),
            "files": (ResultFile("model.bin", len(data), hashlib.sha256(data).hexdigest()),),
            "created": "2026-11-24T10:00:00Z",
            "metrics": {"auc": 0.75},
            "params": {"epochs": "3"},
        }
        return ResultRecord(**(fields | given))

    return make


@pytest.fixture
def open_index(tmp_path: Path) -> Iterator[OpenIndex]:
    """Opens indexes (by default with a catalog of their own), and closes them after the test."""
    opened: list[Index] = []

    def open_one(store: Store, cache: str = "", **given: Any) -> Index:
        index = Index(store, cache_dir=tmp_path / (cache or f"cache-{len(opened)}"), author="a@b", **given)
        opened.append(index)
        return index

    yield open_one
    for index in opened:
        index.close()
