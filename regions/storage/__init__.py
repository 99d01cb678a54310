"""Object stores behind one contract, `Store`. Each backend is a folder here, or an entry point of a third party (`backend`)."""

from __future__ import annotations

from regions.storage.backend import ENTRY_POINTS, backend_of, schemes
from regions.storage.errors import InvalidStoreURL
from regions.storage.store import Store
from regions.storage.url import store_url
from regions.storage.url_parser import meant_by, parse_store_url
from regions.store_config import StoreConfig

__all__ = ["ENTRY_POINTS", "Store", "StoreConfig", "open_store", "parse_store_url", "schemes", "store_url"]


def open_store(config: StoreConfig) -> Store:
    """The store of that URL. Nothing is sent yet: a wrong bucket or a missing permission shows at the first use.

    Raises InvalidStoreURL for a scheme that no backend serves or a URL that its backend can't read.
    """
    backend = backend_of(config.url)
    if backend.store:
        return backend.open(config)
    parse_store_url(config.url)  # says what is wrong with one that has no scheme
    raise InvalidStoreURL(
        f"no store is known for {backend.scheme}://",
        hint=meant_by(config.url) or f"known: {', '.join(f'{known}://' for known in schemes())}",
    )
