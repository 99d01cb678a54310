"""Which stores are looked into: each once, and two of one URL on different servers are two. What is too large isn't read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from federation.errors import IndexCorrupt
from federation.index.home import entry_key
from federation.index.maintenance.collect import collect
from federation.index.maintenance.copy import copy_result
from federation.index.maintenance.store_set import StoreSet
from federation.index.maintenance.sync import apply_sync, plan_sync
from federation.index.maintenance.verify import verify
from federation.index.stores import Stores
from regions.model import Datacenter, Region, StoreConfig

Clouds = Any
NAME = "s3://models"
HUGE_BYTES = 10 << 30


@pytest.fixture
def twins(clouds: Clouds) -> Stores:
    """The stores of `clouds`, both called s3://models, on two servers."""
    by_endpoint = {}
    for region, store in (("us", clouds.us), ("eu", clouds.eu)):
        store.url, store.endpoint = NAME, f"https://{region}.example"
        by_endpoint[store.endpoint] = store
    regions = {
        name: Region(
            name, ("http://127.0.0.1:1",), {f"{name}-1": Datacenter(f"{name}-1", StoreConfig(NAME, endpoint=endpoint))}
        )
        for name, endpoint in (("us", "https://us.example"), ("eu", "https://eu.example"))
    }
    return Stores(regions, opener=lambda config: by_endpoint[config.endpoint or ""])


def published(clouds: Clouds, slot: int, region: str, **given: Any) -> Any:
    return clouds.publish(slot, region=region, store=f"{NAME}?endpoint=https://{region}.example", **given)


def test_verify_looks_into_both(clouds: Clouds, twins: Stores) -> None:
    published(clouds, 0, "us")
    record = published(clouds, 1, "eu")

    found = verify(clouds.home, twins.of, twins.names, deep=True)
    assert (found.problems, found.stores) == ((), 2)

    clouds.eu.delete(record.artifact_prefix + record.files[0].path)
    (problem,) = verify(clouds.home, twins.of, twins.names).problems
    assert problem.kind == "file-missing"
    assert problem.mend.startswith("restore it")  # the other store has no copy of it


def test_sync_takes_the_results_of_both_and_records_copies_with_their_server(clouds: Clouds, twins: Stores) -> None:
    first = published(clouds, 0, "us", commit=False)
    second = published(clouds, 1, "eu", commit=False)
    for key in [info.key for info in clouds.us.list()]:
        clouds.eu.put(key, clouds.us.get(key))
    published(clouds, 2, "us")

    plan = plan_sync(clouds.index, twins.of, twins.names)

    assert plan.commit == [first, second]
    assert plan.locate == [(first.alloc_id, f"{NAME}?endpoint=https://eu.example")]
    assert plan.problems == []
    apply_sync(clouds.index, twins.of, plan)
    assert plan_sync(clouds.index, twins.of, twins.names).locate == []
    assert verify(clouds.home, twins.of, twins.names, deep=True).problems == ()


def test_a_copy_from_one_to_the_other_is_a_copy(clouds: Clouds, twins: Stores) -> None:
    record = published(clouds, 0, "us")
    row = clouds.index.result(record.alloc_id)
    target = f"{NAME}?endpoint=https://eu.example"

    copied = copy_result(clouds.index, twins.of, row, target)

    assert (copied.files, copied.is_new) == (len(record.files), True)
    assert clouds.index.ask(lambda catalog: catalog.copies_of(record.alloc_id)) == [target]
    assert not copy_result(clouds.index, twins.of, row, target).is_new
    assert verify(clouds.home, twins.of, twins.names, deep=True).problems == ()


def test_stores_are_named_with_their_server_only_where_the_url_is_not_enough(clouds: Clouds, twins: Stores) -> None:
    stores = StoreSet(twins.of)
    stores.add(twins.names[0])
    assert list(stores.listed()) == [NAME]

    stores.add(twins.names[1])
    assert list(stores.listed()) == [f"{NAME}?endpoint=https://{region}.example" for region in ("eu", "us")]
    assert stores.name_of(f"{NAME}?endpoint=https://us.example") == f"{NAME}?endpoint=https://us.example"
    assert stores.name_of("s3://other") == ""


def grown(root: Path, key: str) -> None:
    """Make the object one of 10 GB (without as much on the disk)."""
    os.truncate(root / key, HUGE_BYTES)


def test_a_record_of_ten_gigabytes_is_refused_with_its_size(clouds: Clouds) -> None:
    record = clouds.publish(0)
    other = clouds.publish(1, commit=False)
    for each in (record, other):
        grown(clouds.root / "us", each.key.record_key(each.alloc_id))

    (found,) = collect(clouds.store, clouds.names, known=[record.alloc_id]).problems
    assert found.kind == "record-torn"
    assert "has 10,737,418,240 bytes" in found.what
    kinds = {problem.kind: problem.what for problem in verify(clouds.home, clouds.store, clouds.names).problems}
    assert "has 10,737,418,240 bytes" in kinds["record-torn"]


def test_an_entry_of_ten_gigabytes_is_refused_with_its_size(clouds: Clouds) -> None:
    clouds.publish(0)
    grown(clouds.root / "home", entry_key(1))

    with pytest.raises(IndexCorrupt, match="has 10,737,418,240 bytes"):
        clouds.another_index("fresh").query()
    (problem, *_) = verify(clouds.home, clouds.store, clouds.names).problems
    assert problem.kind == "entry-torn"
    assert "has 10,737,418,240 bytes" in problem.what
