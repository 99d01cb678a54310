"""Which store a result is fetched from, and with which settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from federation.index import Index, Row, stores
from federation.result import ResultRecord
from regions.model import Datacenter, Region, StoreConfig

MakeRow = Callable[..., Row]


@pytest.fixture
def make_row(open_index: Callable[..., Index], memory_store: Any, make_record: Callable[..., ResultRecord]) -> MakeRow:
    def make(**fields: Any) -> Row:
        record = make_record(**fields)
        index = open_index(memory_store)
        index.commit([record])
        return index.result(record.alloc_id)

    return make


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[StoreConfig]:
    configs: list[StoreConfig] = []
    monkeypatch.setattr(stores, "open_store", configs.append)
    return configs


def region(name: str, **by_datacenter: StoreConfig) -> Region:
    return Region(
        name=name,
        addresses=("http://127.0.0.1:1",),
        datacenters={name: Datacenter(name, store) for name, store in by_datacenter.items()},
    )


def test_the_configuration_says_how_its_own_store_is_reached(make_row: MakeRow, opened: list[StoreConfig]) -> None:
    """The endpoint in the record is the one of its time (a development server's port changes)."""
    ours = StoreConfig("s3://models/us", endpoint="http://127.0.0.1:7000", anonymous=True)
    row = make_row(store="s3://models/us?endpoint=http://127.0.0.1:6000", region="us", datacenter="dc1")

    stores.result_store(row, {"us": region("us", dc1=ours)})

    assert opened == [ours]


def test_two_datacenters_of_one_name_are_not_mixed_up(make_row: MakeRow, opened: list[StoreConfig]) -> None:
    us, eu = StoreConfig("s3://models", endpoint="https://us"), StoreConfig("s3://models", endpoint="https://eu")
    row = make_row(store="s3://models", region="eu", datacenter="dc1")

    stores.result_store(row, {"us": region("us", dc1=us), "eu": region("eu", dc1=eu)})

    assert opened == [eu]


def test_a_store_that_moved_to_another_datacenter_is_found(make_row: MakeRow, opened: list[StoreConfig]) -> None:
    shared = StoreConfig("s3://shared", profile="ml")
    row = make_row(store="s3://shared", region="gone", datacenter="dc9")

    stores.result_store(row, {"us": region("us", dc1=StoreConfig("s3://own"), dc2=shared)})

    assert opened == [shared]


def test_a_store_that_nothing_names_any_more_is_opened_by_its_url(
    make_row: MakeRow, opened: list[StoreConfig], tmp_path: Path
) -> None:
    row = make_row(store=f"{tmp_path.as_uri()}", region="us", datacenter="dc1")

    stores.result_store(row, {"us": region("us", dc1=StoreConfig("s3://new-place"))})

    assert [config.url for config in opened] == [tmp_path.as_uri()]
