"""A store's URL and the configured regions enter, the store that holds a result leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from federation.index.rows import Row
from regions.model import Region, StoreConfig
from regions.storage import open_store, parse_store_url
from regions.storage.store import Store


def store_name(url: str) -> str:
    """What two URLs of one store share: without endpoint and other parameters."""
    return url.partition("?")[0].rstrip("/")


def result_store(row: Row, regions: Mapping[str, Region]) -> Store:
    """The result's store, opened as the configuration says where it still names that store (endpoint, credentials),
    else by the URL in the index and the SDK's own credentials (a datacenter that moved or is gone)."""
    for config in _configured(row, regions):
        if store_name(config.url) == store_name(row.store):
            return open_store(config)
    return open_store(parse_store_url(row.store))


class Stores:
    """The stores of a federation and of its index by name, each opened once."""

    def __init__(self, regions: Mapping[str, Region], further: Iterable[StoreConfig] = ()) -> None:
        datacenters = [datacenter for region in regions.values() for datacenter in region.datacenters.values()]
        configs = [*(datacenter.store for datacenter in datacenters), *further]
        self._configs = {store_name(config.url): config for config in reversed(configs)}
        self._opened: dict[str, Store] = {}

    @property
    def names(self) -> list[str]:
        """Those that the configuration has, sorted."""
        return sorted(self._configs)

    def of(self, url: str) -> Store:
        """The store of that URL: as the configuration says where it has it, else by the URL and the SDK's own
        credentials. Raises InvalidStoreURL."""
        name = store_name(url)
        if name not in self._opened:
            self._opened[name] = open_store(self._configs.get(name) or parse_store_url(url))
        return self._opened[name]


def _configured(row: Row, regions: Mapping[str, Region]) -> list[StoreConfig]:
    """The row's own datacenter first, then all others: the store may serve several."""
    own = regions.get(row.region)
    first = [own.datacenters[row.datacenter].store] if own and row.datacenter in own.datacenters else []
    return first + [datacenter.store for region in regions.values() for datacenter in region.datacenters.values()]
