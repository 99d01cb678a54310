"""Opens the stores to look into, each once, and lists what they hold. A store that can't be opened or read is a problem."""

from __future__ import annotations

from federation.errors import StoreRefused
from federation.index.columns import Row
from federation.index.maintenance.problem import Problem
from federation.index.maintenance.store_listing import StoreListing, list_store
from federation.index.stores import OpenStore, identity, shown_store, url_with_endpoint
from federation.result import ResultRecord, store_name
from jobs.errors import FedmlError
from regions.storage.store import Store


class StoreSet:
    """Stores by name: the URL, with the endpoint only where stores of the same URL lie on different servers."""

    def __init__(self, open_store: OpenStore) -> None:
        self._open_store = open_store
        self._stores: dict[tuple[str, str], Store] = {}
        self._problems: dict[str, Problem] = {}

    @property
    def problems(self) -> list[Problem]:
        """The stores that couldn't be opened or listed."""
        return list(self._problems.values())

    def __len__(self) -> int:
        return len(self._stores)

    def add(self, url: str, result: Row | ResultRecord | None = None) -> bool:
        """Opens the store at `url` (see `Stores.of`). False where it may not be opened."""
        try:
            store = self._open_store(url, result)
            self._stores.setdefault(identity(store), store)
        except StoreRefused as error:
            region = result.region if result else ""
            problem = Problem("store-refused", shown_store(url), error.message, error.hint)
            self._problems.setdefault(f"{region} {url}", problem)
            return False
        except FedmlError as error:
            self._unreachable(shown_store(url), error)
        return True

    def name_of(self, url: str, result: Row | ResultRecord | None = None) -> str:
        """The name of the store at `url`; empty for one that isn't among these."""
        alike = [store for store in self._stores.values() if store_name(store.url) == store_name(url)]
        if len(alike) > 1:
            try:
                alike = [self._stores[identity(self._open_store(url, result))]]
            except (FedmlError, KeyError):
                return ""
        return self._name(alike[0]) if alike else ""

    def listed(self) -> dict[str, StoreListing]:
        """What each store holds, by its name."""
        found: dict[str, StoreListing] = {}
        for name, store in sorted((self._name(store), store) for store in self._stores.values()):
            try:
                found[name] = list_store(store)
            except FedmlError as error:
                self._unreachable(name, error)
        return found

    def _name(self, store: Store) -> str:
        name = store_name(store.url)
        is_only = sum(store_name(other.url) == name for other in self._stores.values()) == 1
        return name if is_only else url_with_endpoint(store)

    def _unreachable(self, name: str, error: FedmlError) -> None:
        what = f"store {name} can't be read: {error.message}"
        self._problems.setdefault(
            name, Problem("store-unreachable", name, what, error.hint or f"fedml stores check {name}")
        )
