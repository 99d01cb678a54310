"""Open the store of a result: the only way from the text of a record, a row or a log entry to a store.

What a record says of its store is a claim of the node that wrote it. It chooses among the stores that `fedml.toml` has for
the record's region, and never brings a store, an endpoint or a parameter of its own. The store is opened as `fedml.toml`
configures it. What `--allow-store` names is opened without credentials, at the endpoint that the person typed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import urlsplit

from federation.errors import StoreRefused, UsageError
from federation.index.columns import Row
from federation.result import ResultRecord
from jobs.frozen import field, frozen
from regions.model import Region, StoreConfig
from regions.storage import open_store, parse_store_url, store_url
from regions.storage.backend import backend_of
from regions.storage.errors import InvalidStoreURL
from regions.storage.store import Store

_SHOWN_CHARS = 200
_NAME_CHARS = 64
_PORTS = {"http": 80, "https": 443}


class OpenStore(Protocol):
    """`Stores.of`, as the parts of the index take it."""

    def __call__(self, url: str, result: Row | ResultRecord | None = None, /) -> Store:
        """See `Stores.of`."""


@frozen
class KnownStores:
    """The stores that a configuration has, beside its regions' own."""

    home: StoreConfig | None = None
    further: Sequence[StoreConfig] = ()
    """For copies, and for results of regions that the configuration no longer has."""
    adopted: Mapping[str, Sequence[StoreConfig]] = field(factory=dict)
    """By region: the buckets in which `adopt` looks for results. Nothing is ever deleted there."""


NO_MORE = KnownStores()


def shown_store(url: str) -> str:
    """The name of a store that a record names, for people: what can't be a store's URL isn't repeated (it may hold a secret,
    or control characters)."""
    try:
        return parse_store_url(url.partition("?")[0]).url[:_SHOWN_CHARS]
    except (InvalidStoreURL, ValueError):
        return "(not a store's URL)"


def identity(config: StoreConfig | Store) -> tuple[str, str]:
    """Returns what identifies a store, of a configuration or an opened store: its place (`s3://bucket/prefix`), and the address
    of its server ("" for the vendor's own)."""
    if config.endpoint is None:
        return config.url.rstrip("/"), ""
    parts = urlsplit(config.endpoint)
    port = parts.port or _PORTS.get(parts.scheme)
    return config.url.rstrip("/"), f"{parts.scheme}://{parts.hostname}:{port}{parts.path.rstrip('/')}"


def is_at(url: str, store: Store) -> bool:
    """Whether the URL names this very store, its server included."""
    try:
        return identity(parse_store_url(url)) == identity(store)
    except (InvalidStoreURL, ValueError):
        return False


def url_with_endpoint(store: Store) -> str:
    """The URL of an opened store that tells it apart from one of the same name on another server."""
    return store_url(StoreConfig(store.url.rstrip("/"), endpoint=store.endpoint))


def allowed_store(url: str) -> StoreConfig:
    """A store that a person named with `--allow-store`: unsigned requests, to the vendor's own server unless the URL itself
    names another. Raises InvalidStoreURL, UsageError."""
    config = parse_store_url(url)
    if config.profile:
        raise UsageError(
            "--allow-store opens a store without credentials, so its URL takes no profile",
            hint="a store that needs credentials goes into further_stores in fedml.toml",
        )
    return replace(config, anonymous=True, endpoint=config.endpoint or backend_of(config.url).public_endpoint)


class Stores:
    """The stores that results may lie in, each opened once. May be used from threads."""

    def __init__(
        self,
        regions: Mapping[str, Region],
        known: KnownStores = NO_MORE,
        *,
        allow: Iterable[str] = (),
        opener: Callable[[StoreConfig], Store] | None = None,
    ) -> None:
        """`allow` are the URLs of `--allow-store`. `opener` opens a configuration (`open_store`)."""
        self._regions = regions
        self._known = known
        self._allowed = {identity(parse_store_url(url)): allowed_store(url) for url in allow}
        self._opener = opener or open_store
        self._opened: dict[StoreConfig, Store] = {}
        self._named = {store_url(config): config for config in reversed(self._datacenters())}

    @property
    def names(self) -> list[str]:
        """The datacenters' stores, each by its URL with its endpoint, sorted."""
        return sorted({store_url(config) for config in self._datacenters()})

    def of(self, url: str, result: Row | ResultRecord | None = None, /) -> Store:
        """The store at `url`, as `fedml.toml` configures it. `result`: the result of which it is said that it was made there;
        the store must be one of its region. None: a further copy, or a configured store by its name; any configured
        store will do. Raises StoreRefused for any other store."""
        return self._open(self._config(url, result))

    def own(self, row: Row) -> Store:
        """The store from which the result's bytes may be deleted: that of its region's datacenter of that name, or one that
        the region's `further_stores` name, where the index says that it lies there. Raises StoreRefused."""
        return self._open(self._own_config(row))

    def check_removable(self, row: Row, copies: Iterable[str]) -> None:
        """Raises StoreRefused where the result's bytes may not be deleted from all stores that hold them. Opens none."""
        self._own_config(row)
        for url in copies:
            self._config(url, None)

    def _config(self, url: str, result: Row | ResultRecord | None) -> StoreConfig:
        if result is None and url in self._named:
            return self._named[url]
        claimed = _claimed(url, result)
        known = self._all() if result is None else self._of_region(result)
        found = _same(claimed, known, is_name=result is None) or self._allowed.get(identity(claimed))
        if found is None:
            raise self._refused(claimed, result, known)
        return found

    def _own_config(self, row: Row) -> StoreConfig:
        claimed = _claimed(row.store, row)
        region = self._regions.get(row.region)
        datacenter = region.datacenters.get(row.datacenter) if region else None
        further = region.further_stores if region else self._known.further
        known = [*([datacenter.store] if datacenter else []), *further]
        found = _same(claimed, known)
        if found is None:
            raise self._refused(claimed, row, known, datacenter=row.datacenter)
        return found

    def _open(self, config: StoreConfig) -> Store:
        if config not in self._opened:
            self._opened[config] = self._opener(config)
        return self._opened[config]

    def _datacenters(self) -> list[StoreConfig]:
        return [datacenter.store for region in self._regions.values() for datacenter in region.datacenters.values()]

    def _of_region(self, result: Row | ResultRecord) -> list[StoreConfig]:
        """The result's own datacenter's first."""
        region = self._regions.get(result.region)
        if region is None:
            return list(self._known.further)
        own = region.datacenters.get(result.datacenter)
        found = [*([own] if own else []), *region.datacenters.values()]
        adopted = self._known.adopted.get(region.name, ())
        return list(dict.fromkeys([*(each.store for each in found), *region.further_stores, *adopted]))

    def _all(self) -> list[StoreConfig]:
        further = [config for region in self._regions.values() for config in region.further_stores]
        adopted = [config for configs in self._known.adopted.values() for config in configs]
        home = [self._known.home] if self._known.home else []
        return list(dict.fromkeys([*self._datacenters(), *further, *self._known.further, *home, *adopted]))

    def _refused(
        self,
        claimed: StoreConfig,
        result: Row | ResultRecord | None,
        known: Sequence[StoreConfig],
        datacenter: str = "",
    ) -> StoreRefused:
        shown = _shown(claimed)
        if result is None:
            what = f"the index names a copy in {shown}, and fedml.toml has no such store"
            where = "[federation]"
        else:
            where = f"[regions.{result.region}]"
            has = f"fedml.toml has no such store for region {result.region[:_NAME_CHARS]!r}"
            region = self._regions.get(result.region)
            if region is None:
                has, where = f"fedml.toml has no region {result.region[:_NAME_CHARS]!r}", "[federation]"
            elif datacenter and datacenter not in region.datacenters:
                has = f"fedml.toml has no datacenter {datacenter[:_NAME_CHARS]!r} in region {result.region!r}"
            elif datacenter:
                has = f"fedml.toml has another store for {result.region}/{datacenter}"
            what = f"result {result.alloc_id[:_NAME_CHARS]!r} says that it lies in {shown}, and {has}"
        stores = ", ".join(_shown(config) for config in known) or "none"
        return StoreRefused(
            f"{what}; the store wasn't asked",
            hint=f"stores that fedml.toml has for it: {stores}\n"
            f"if you know that store (it moved, say), add it to further_stores under {where} in fedml.toml;\n"
            "index get, copy and verify read it without credentials with --allow-store URL",
        )


def _claimed(url: str, result: Row | ResultRecord | None) -> StoreConfig:
    """The place that a text names; of what else it says, nothing is used. Raises StoreRefused."""
    try:
        config = parse_store_url(url)
        identity(config)
    except (InvalidStoreURL, ValueError) as error:
        whose = (
            "the index names a copy in"
            if result is None
            else f"result {result.alloc_id[:_NAME_CHARS]!r} says that it lies in"
        )
        raise StoreRefused(
            f"{whose} a store whose URL is not valid: {str(error)[:_SHOWN_CHARS]}",
            hint="nobody who uses fedml writes that: look at who wrote the record (fedml index show)",
        ) from None
    return StoreConfig(config.url, endpoint=config.endpoint)


def _same(claimed: StoreConfig, known: Iterable[StoreConfig], *, is_name: bool = False) -> StoreConfig | None:
    """The configuration of the same store. A server on this machine gets another port with each start, so among those only
    the place counts; `is_name`: a text without an endpoint is a name, which leaves the endpoint open."""
    place, endpoint = identity(claimed)
    alike = [config for config in known if identity(config)[0] == place]
    exact = (config for config in alike if identity(config)[1] == endpoint)
    former = (config for config in alike if endpoint and endpoint in _former(config))
    is_local = _is_loopback(claimed.endpoint)
    near = (config for config in alike if (is_local and _is_loopback(config.endpoint)) or (is_name and not endpoint))
    return next(exact, None) or next(former, None) or next(near, None)


def _former(config: StoreConfig) -> set[str]:
    return {identity(replace(config, endpoint=address))[1] for address in config.former_endpoints}


def _is_loopback(endpoint: str | None) -> bool:
    if endpoint and endpoint.startswith("dev:"):  # a development server that isn't up
        return True
    host = urlsplit(endpoint).hostname if endpoint else None
    try:
        return host is not None and (host == "localhost" or ip_address(host).is_loopback)
    except ValueError:
        return False


def _shown(config: StoreConfig) -> str:
    """The store for a message: place and endpoint, no control characters, not too long."""
    return repr(store_url(StoreConfig(config.url, endpoint=config.endpoint))[:_SHOWN_CHARS])
