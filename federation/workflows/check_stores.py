"""Chooses stores by name or URL and checks that each keeps its promises (`fedml stores check`)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager

from federation.app import App
from federation.check import Check, Outcome
from federation.checks.doctor.roles import results_stores
from federation.checks.stores.promises import check_promises
from federation.checks.stores.report import CheckedStore
from federation.checks.stores.uses import DEV_DOWN, by_store, chosen, places_of
from federation.errors import ConfigError, UsageError
from jobs.errors import FedmlError
from jobs.frozen import frozen
from regions.model import StoreConfig
from regions.storage import open_store, parse_store_url, store_url


@frozen
class ChosenStores:
    """Stores with the names of their uses, and the home store of the federation that they belong to."""

    uses: dict[StoreConfig, list[str]]
    home: StoreConfig | None
    results: Collection[StoreConfig] | None = None
    """The stores of datacenters; None: all."""


def choose_stores(name: str, open_project: Callable[[], AbstractContextManager[App]]) -> ChosenStores:
    """The stores of this name (empty: all), or the store at this URL. A URL needs no fedml.toml. A fedml.toml that has the
    store gives its endpoint and credentials. Raises ConfigError, UsageError and InvalidStoreURL."""
    try:
        with open_project() as app:
            uses = by_store(chosen(places_of(app.config), name))
            return ChosenStores(uses, app.config.home, results_stores(app.config))
    except (ConfigError, UsageError):
        if "://" not in name:
            raise
        return ChosenStores({parse_store_url(name): []}, None)


def check_store(config: StoreConfig, uses: list[str]) -> CheckedStore:
    """The checks of one store. A store that can't be opened has one failed check."""
    url = store_url(config)
    try:
        if config.endpoint and config.endpoint.startswith("dev:"):
            raise FedmlError(DEV_DOWN)
        checks = check_promises(open_store(config), url)
    except FedmlError as error:
        checks = [Check(url, "open", Outcome.FAILED, error.message, error.hint)]
    return CheckedStore(url, tuple(uses), tuple(checks))
