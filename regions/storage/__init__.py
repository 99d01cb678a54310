"""A `StoreConfig` enters, the `Store` behind it leaves: backends are found by URL scheme and imported when first used.

A third party adds one by an entry point in the group `fedml.stores` (name: the scheme; value: a class that takes a
`StoreConfig`), and proves it with `regions.storage.conformance`. The built-in ones need no entry point.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import cast

from regions.model import StoreConfig
from regions.storage.errors import InvalidStoreURL
from regions.storage.store import Store
from regions.storage.url import meant_by, parse_store_url, store_url

BUILT_IN = {
    "az": ("regions.storage.azure.store", "AzureStore"),
    "file": ("regions.storage.file.store", "FileStore"),
    "gs": ("regions.storage.gcs.store", "GCSStore"),
    "s3": ("regions.storage.s3.store", "S3Store"),
}
ENTRY_POINTS = "fedml.stores"

__all__ = ["BUILT_IN", "ENTRY_POINTS", "Store", "StoreConfig", "open_store", "parse_store_url", "schemes", "store_url"]

Backend = Callable[[StoreConfig], Store]


def open_store(config: StoreConfig) -> Store:
    """The store of that URL. Nothing is sent yet: a wrong bucket or a missing permission shows at the first use.

    Raises InvalidStoreURL for a scheme that no backend serves or a URL that its backend can't read.
    """
    return _backend(config.url)(config)


def schemes() -> list[str]:
    """Every scheme that has a backend here, sorted."""
    return sorted({*BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINTS))})


def _backend(url: str) -> Backend:
    scheme = url.partition("://")[0]
    if scheme in BUILT_IN:
        module, name = BUILT_IN[scheme]
        return cast("Backend", getattr(import_module(module), name))
    for point in entry_points(group=ENTRY_POINTS, name=scheme):
        return cast("Backend", point.load())
    parse_store_url(url)  # says what is wrong with one that has no scheme
    raise InvalidStoreURL(
        f"no store is known for {scheme}://",
        hint=meant_by(url) or f"known: {', '.join(f'{known}://' for known in schemes())}",
    )
