"""Which store a result is read from, and from which its bytes may be deleted: only what fedml.toml has, as it has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from federation.errors import StoreRefused, UsageError
from federation.index import Index, Row
from federation.index.stores import NO_MORE, KnownStores, Stores, allowed_store, shown_store
from federation.result import ResultRecord
from regions.model import Datacenter, Region, StoreConfig
from regions.storage.errors import InvalidStoreURL

MakeRow = Callable[..., Row]
AWS = StoreConfig("s3://models/us", profile="ml")
HERE = "http://127.0.0.1:7000"


@pytest.fixture
def make_row(open_index: Callable[..., Index], memory_store: Any, make_record: Callable[..., ResultRecord]) -> MakeRow:
    def make(store: str, region: str = "us", datacenter: str = "dc1") -> Row:
        record = make_record(store=store, region=region, datacenter=datacenter)
        index = open_index(memory_store)
        index.commit([record])
        return index.result(record.alloc_id)

    return make


def region(name: str, *further: StoreConfig, **by_datacenter: StoreConfig) -> Region:
    return Region(
        name=name,
        addresses=("http://127.0.0.1:1",),
        datacenters={name: Datacenter(name, store) for name, store in by_datacenter.items()},
        further_stores=further,
    )


class Opened:
    """The stores of some regions, and the configurations that were opened."""

    def __init__(self, *regions: Region, known: KnownStores = NO_MORE, allow: Sequence[str] = ()) -> None:
        self.configs: list[StoreConfig] = []
        by_name = {region.name: region for region in regions}
        self.stores = Stores(by_name, known, allow=allow, opener=self.configs.append)  # type: ignore[arg-type]

    def of(self, url: str, result: Row | None = None) -> StoreConfig:
        self.stores.of(url, result)
        return self.configs[-1]

    def own(self, row: Row) -> StoreConfig:
        self.stores.own(row)
        return self.configs[-1]


def test_the_configuration_says_how_its_store_is_opened(make_row: MakeRow) -> None:
    ours = StoreConfig("s3://models/us", endpoint="https://minio", profile="ml")
    row = make_row("s3://models/us?endpoint=https://MINIO:443/&profile=root&anonymous=true&location=mars")

    opened = Opened(region("us", dc1=ours))

    assert opened.of(row.store, row) == ours
    assert opened.own(row) == ours


def test_a_server_on_this_machine_gets_another_port_and_stays_the_same_store(make_row: MakeRow) -> None:
    ours = StoreConfig("s3://models/us", endpoint=HERE, anonymous=True)
    row = make_row("s3://models/us?endpoint=http://127.0.0.1:6000")

    assert Opened(region("us", dc1=ours)).of(row.store, row) == ours
    with pytest.raises(StoreRefused):
        Opened(region("us", dc1=StoreConfig("s3://models/us", endpoint="https://minio"))).of(row.store, row)


def test_a_development_store_that_is_not_up_is_still_that_store(make_row: MakeRow) -> None:
    ours = StoreConfig("s3://models/us", endpoint="dev:s3")
    row = make_row("s3://models/us?endpoint=http://127.0.0.1:6000")
    opened = Opened(region("us", dc1=ours))

    assert opened.of(row.store, row) == ours
    assert [opened.of(name) for name in opened.stores.names] == [ours]
    assert shown_store(opened.stores.names[0]) == "s3://models/us"
    assert shown_store("s3://me:secret@models/us") == "(not a store's URL)"
    with pytest.raises(StoreRefused):
        opened.of("s3://models/us?endpoint=dev:s3", row)


def test_a_server_that_got_another_address_is_asked_at_the_new_one(make_row: MakeRow) -> None:
    old = "https://minio.old:9000"
    ours = StoreConfig("s3://models/us", endpoint="https://minio.new", former_endpoints=("http://10.1.2.3", old))
    opened = Opened(region("us", dc1=ours))

    for url in (f"s3://models/us?endpoint={old}", "s3://models/us?endpoint=http://10.1.2.3:80/"):
        row = make_row(url)
        assert opened.of(url, row) == opened.own(row) == ours
    for url in (f"s3://models?endpoint={old}", "s3://models/us?endpoint=http://10.1.2.4", "s3://models/us"):
        with pytest.raises(StoreRefused):
            opened.of(url, make_row(url))


def test_two_datacenters_of_one_name_are_not_mixed_up(make_row: MakeRow) -> None:
    us, eu = StoreConfig("s3://models", endpoint="https://us"), StoreConfig("s3://models", endpoint="https://eu")
    row = make_row("s3://models?endpoint=https://eu", region="eu")

    opened = Opened(region("us", dc1=us), region("eu", dc1=eu))

    assert opened.of(row.store, row) == opened.own(row) == eu


@pytest.mark.parametrize(
    "url",
    [
        "s3://models/us?endpoint=http://127.0.0.1:1",
        "s3://models/us?endpoint=https://s3.amazonaws.com.evil.example",
        "s3://models",
        "s3://models/us/deeper",
        "s3://models/US",
        "s3://Models/us",
        "S3://models/us",
        "s3://models/eu/../us",
        "s3://models/./us",
        "s3://models/%75s",
        "s3://user:secret@models/us",
        "s3://models/us#",
        "gs://models/us",
        "az://models/us",
        "file:///models/us",
        "http://models/us",
        "models/us",
        "",
        "s3://models/us\x1b]0;x",
        "s3://models/us?endpoint=http://[::1",
        "s3://models/us?endpoint=http://host:99999",
        "s3://models/us?endpoint=",
        "s3://models/us?token=x",
    ],
)
def test_any_other_store_is_refused_and_not_opened(make_row: MakeRow, url: str) -> None:
    row = make_row(url)
    opened = Opened(region("us", dc1=AWS))

    for opening in (lambda: opened.of(url, row), lambda: opened.own(row)):
        with pytest.raises(StoreRefused) as refused:
            opening()
        assert row.alloc_id in refused.value.message
        assert "secret" not in str(refused.value)
        assert refused.value.message.isprintable()

    assert opened.configs == []


@pytest.mark.parametrize(
    "url", ["s3://models/us/", "s3://models//us", "s3://models/us?location=eu-west-1", " s3://models/us "]
)
def test_other_ways_to_write_the_same_store(make_row: MakeRow, url: str) -> None:
    row = make_row(url)

    assert Opened(region("us", dc1=AWS)).of(url, row) == AWS


@pytest.mark.parametrize(
    ("url", "is_same"),
    [
        ("file:///srv/fedml/us", True),
        ("file:///srv/fed%6Dl/us/", True),
        ("file:///srv/fedml/x/../us", False),
        ("file:///srv/fedml/x/%2e%2e/us", False),
        ("file:///SRV/fedml/us", False),
        ("file://localhost/srv/fedml/us", False),
        ("file:////srv/fedml/us", False),
        ("file:///srv/fedml/us?endpoint=http://127.0.0.1:1", False),
        ("file:///srv/fedml", False),
    ],
)
def test_folders(make_row: MakeRow, url: str, is_same: bool) -> None:
    ours = StoreConfig("file:///srv/fedml/us")
    row = make_row(url)
    opened = Opened(region("us", dc1=ours))

    if is_same:
        assert opened.of(url, row) == ours
    else:
        with pytest.raises(StoreRefused):
            opened.of(url, row)


def test_a_datacenters_store_is_not_taken_for_another_of_its_name() -> None:
    minio, aws = StoreConfig("s3://models", endpoint="https://minio"), StoreConfig("s3://models")
    opened = Opened(region("us", dc1=minio), known=KnownStores(aws, further=[aws]))

    assert [opened.of(name) for name in opened.stores.names] == [minio]
    assert opened.of("s3://models") == aws


def test_a_result_may_not_lie_in_another_regions_store_and_a_copy_may(make_row: MakeRow) -> None:
    eu = StoreConfig("gs://models-eu")
    home = StoreConfig("s3://home")
    row = make_row(eu.url)
    opened = Opened(region("us", dc1=AWS), region("eu", dc1=eu), known=KnownStores(home))

    with pytest.raises(StoreRefused, match=r"fedml\.toml has no such store for region 'us'") as refused:
        opened.of(row.store, row)

    assert "s3://models/us" in refused.value.hint
    assert "further_stores under [regions.us]" in refused.value.hint
    assert opened.of(row.store) == eu
    assert opened.of("s3://home") == home
    with pytest.raises(StoreRefused, match="the index names a copy in 's3://other'"):
        opened.of("s3://other")


def test_a_store_that_moved_is_read_where_further_stores_name_it(make_row: MakeRow) -> None:
    old = StoreConfig("s3://old", profile="archive")
    row = make_row("s3://old")

    with pytest.raises(StoreRefused):
        Opened(region("us", dc1=AWS)).of(row.store, row)
    opened = Opened(region("us", old, dc1=AWS))

    assert opened.of(row.store, row) == opened.own(row) == old


def test_a_region_that_is_gone_is_read_where_the_federation_names_its_store(make_row: MakeRow) -> None:
    gone = StoreConfig("s3://gone")
    row = make_row("s3://gone", region="mars")

    with pytest.raises(StoreRefused, match=r"fedml\.toml has no region 'mars'") as refused:
        Opened(region("us", gone, dc1=AWS)).of(row.store, row)
    assert "further_stores under [federation]" in refused.value.hint

    assert Opened(region("us", dc1=AWS), known=KnownStores(further=[gone])).of(row.store, row) == gone


def test_another_datacenters_store_is_read_and_nothing_is_deleted_there(make_row: MakeRow) -> None:
    other = StoreConfig("s3://models/us-2")
    row, left = make_row(other.url), make_row(AWS.url, datacenter="dc9")
    opened = Opened(region("us", dc1=AWS, dc2=other))

    assert opened.of(row.store, row) == other
    with pytest.raises(StoreRefused, match="another store for us/dc1"):
        opened.own(row)
    with pytest.raises(StoreRefused, match="no datacenter 'dc9' in region 'us'"):
        opened.own(left)


def test_nothing_is_deleted_in_a_bucket_of_adopted_results(make_row: MakeRow) -> None:
    bucket = StoreConfig("gs://pipelines")
    row = make_row(bucket.url)
    opened = Opened(region("us", dc1=AWS), known=KnownStores(adopted={"us": [bucket]}))

    assert opened.of(row.store, row) == bucket
    with pytest.raises(StoreRefused):
        opened.own(row)


def test_what_a_person_allows_is_opened_without_credentials(make_row: MakeRow) -> None:
    row = make_row("s3://other?profile=ml")

    assert Opened(region("us", dc1=AWS), allow=["s3://other"]).of(row.store, row) == StoreConfig(
        "s3://other", anonymous=True
    )


def test_what_a_person_allows_brings_no_endpoint_of_the_record(make_row: MakeRow) -> None:
    row = make_row(f"s3://other?endpoint={HERE}")

    with pytest.raises(StoreRefused):
        Opened(region("us", dc1=AWS), allow=["s3://other"]).of(row.store, row)
    typed = f"s3://other?endpoint={HERE}"

    opened = Opened(region("us", dc1=AWS), allow=[typed])

    assert opened.of(row.store, row) == StoreConfig("s3://other", endpoint=HERE, anonymous=True)
    with pytest.raises(StoreRefused):
        opened.own(row)


def test_allowing_a_configured_store_takes_nothing_from_it(make_row: MakeRow) -> None:
    row = make_row(AWS.url)

    assert Opened(region("us", dc1=AWS), allow=[AWS.url]).of(row.store, row) == AWS


def test_a_url_that_is_wrong_is_refused_when_it_is_typed() -> None:
    with pytest.raises(UsageError, match="takes no profile"):
        allowed_store("s3://other?profile=ml")
    with pytest.raises(InvalidStoreURL):
        allowed_store("file:///a/../b")
    assert allowed_store("gs://other").endpoint == "https://storage.googleapis.com"
    assert allowed_store("file:///srv/x").url == "file:///srv/x"


def test_each_store_is_opened_once(make_row: MakeRow, tmp_path: Path) -> None:
    ours = StoreConfig(tmp_path.as_uri())
    row = make_row(ours.url)
    stores = Stores({"us": region("us", dc1=ours)})

    assert stores.of(row.store, row) is stores.of(ours.url) is stores.own(row)
    assert stores.names == [ours.url]
