"""A result's row and the configured regions enter, the store that holds its artifact leaves."""

from __future__ import annotations

from collections.abc import Mapping

from federation.index.rows import Row
from regions.model import Region, StoreConfig
from regions.storage import open_store, parse_store_url
from regions.storage.store import Store


def result_store(row: Row, regions: Mapping[str, Region]) -> Store:
    """The result's store, opened as the configuration says where it still names that store (endpoint, credentials),
    else by the URL in the index and the SDK's own credentials (a datacenter that moved or is gone)."""
    named = row.store.partition("?")[0].rstrip("/")
    for config in _configured(row, regions):
        if config.url.partition("?")[0].rstrip("/") == named:
            return open_store(config)
    return open_store(parse_store_url(row.store))


def _configured(row: Row, regions: Mapping[str, Region]) -> list[StoreConfig]:
    """The row's own datacenter first, then all others: the store may serve several."""
    own = regions.get(row.region)
    first = [own.datacenters[row.datacenter].store] if own and row.datacenter in own.datacenters else []
    return first + [datacenter.store for region in regions.values() for datacenter in region.datacenters.values()]
