"""The same on each vendor's own API: verified, mended, copied between clouds, collected, lost and rebuilt."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from federation.index.maintenance.copy import copy_result
from federation.index.maintenance.gc import run_gc
from federation.index.maintenance.rebuild import apply_rebuild, plan_rebuild
from federation.index.maintenance.retention import Retention
from federation.index.maintenance.sync import apply_sync, plan_sync
from federation.index.maintenance.verify import verify
from federation.workflows.index_rebuild import logged_end
from regions.model import StoreConfig
from regions.storage import open_store

Clouds = Any


@pytest.fixture(params=["s3_config", "gcs_config", "azure_config", "seaweed_config"])
def cloud(request: pytest.FixtureRequest, clouds: Clouds, tmp_path: Path) -> Clouds:
    """The home and one store in the same bucket of a cloud, the other one a folder."""
    config: StoreConfig = request.getfixturevalue(request.param)
    home, us = (open_store(dataclasses.replace(config, url=f"{config.url}/{name}")) for name in ("home", "us"))
    made = type(clouds)(tmp_path / "project", home=home, us=us)
    yield made
    made.index.close()


def kinds(cloud: Clouds) -> list[str]:
    return sorted(problem.kind for problem in verify(cloud.home, cloud.store, cloud.names, deep=True).problems)


def test_kept_healthy_from_end_to_end(cloud: Clouds) -> None:
    records = [cloud.publish(slot, region=region) for slot, region in enumerate(("us", "us", "eu"))]
    orphan = cloud.publish(0, run="nomad:us/x", commit=False)
    assert kinds(cloud) == ["record-orphan"]
    first = records[0]
    cloud.us.delete(first.key.record_key(first.alloc_id))
    outcomes = apply_sync(cloud.index, cloud.store, plan_sync(cloud.index, cloud.store, cloud.names))
    assert outcomes == {orphan.alloc_id: "added"}
    assert kinds(cloud) == []

    row = cloud.index.result(first.alloc_id)
    assert copy_result(cloud.index, cloud.store, row, cloud.eu.url).files == 2
    cloud.us.put(first.artifact_prefix + "model/model.bin", b"other bytes")
    assert kinds(cloud) == ["file-size"]
    assert copy_result(cloud.index, cloud.store, row, cloud.us.url).files == 1
    assert kinds(cloud) == []
    to = cloud.root / "got"
    assert cloud.index.get(row, open_store=cloud.store, to=to).files == 2

    before = {row.alloc_id: row.state for row in cloud.index.query()}
    for info in list(cloud.home.list("index/")):
        cloud.home.delete(info.key)
    plan = plan_rebuild(
        cloud.home,
        cloud.root / "nowhere",
        cloud.store,
        cloud.names,
        partial(logged_end, cloud.home),
    )
    apply_rebuild(cloud.home, plan, author="b@c")
    index = cloud.another_index("fresh")
    assert {row.alloc_id: row.state for row in index.query()} == before
    assert kinds(cloud) == []

    index.tag("production", first.alloc_id)
    for days in (0, 2):
        done = run_gc(index, cloud.stores, Retention(), datetime.now(UTC) + timedelta(days=days))
    assert {row.alloc_id for row in done.removed} == before.keys() - {first.alloc_id}
    left = [info.key for store in (cloud.us, cloud.eu) for info in store.list()]
    assert len(left) == 6
    assert all(first.alloc_id in key for key in left)
    assert kinds(cloud) == []
    index.close()
