"""Lists the stores of a `Config`, by region and datacenter or by name, and whether each answers."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

from federation.config.model import Config
from federation.errors import UsageError
from jobs.errors import FedmlError
from regions.model import StoreConfig
from regions.storage import open_store, parse_store_url
from regions.storage.errors import PermissionDenied

HOME = "home"
DEV_DOWN = "the development federation isn't up: start it with `fedml dev up`"


class Answer(StrEnum):
    """Whether a store answers. `denied` is an answer too: this identity may not list the store."""

    YES = "yes"
    DENIED = "denied"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Place:
    """One use of a store: a datacenter's, or as home (then `region` is `home` and `datacenter` empty)."""

    region: str
    datacenter: str
    store: StoreConfig
    is_home: bool
    """Whether the same store is the home store."""

    @property
    def name(self) -> str:
        """`home`, or `REGION/DATACENTER`."""
        return f"{self.region}/{self.datacenter}" if self.datacenter else self.region


@dataclass(frozen=True, slots=True)
class Reached:
    """What one request found. `detail` is empty when all is well."""

    answer: Answer
    detail: str = ""
    hint: str = ""


def places_of(config: Config) -> list[Place]:
    """The home store, then each datacenter's in the file's order."""
    return [
        Place(HOME, "", config.home, is_home=True),
        *(
            Place(region.name, datacenter.name, datacenter.store, is_home=_is_same(datacenter.store, config.home))
            for region in config.regions.values()
            for datacenter in region.datacenters.values()
        ),
    ]


def chosen(places: Sequence[Place], name: str) -> list[Place]:
    """The uses of that name: `home`, a region, a datacenter, `REGION/DATACENTER`, or a store's URL (with an endpoint, only
    at that one). All when it is empty. Raises UsageError for an unknown one, InvalidStoreURL for a URL that is not valid."""
    if "://" in name:
        asked = parse_store_url(name)
        found = [place for place in places if _serves(place.store, asked)]
    else:
        found = [place for place in places if not name or name in (place.name, place.region, place.datacenter)]
    if not found:
        known = list(dict.fromkeys(place.name for place in places))
        near = get_close_matches(name, known, n=1)
        raise UsageError(
            f"there is no store {name!r} in this federation",
            hint=f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(known)}; or give a store's URL",
        )
    return found


def by_store(places: Sequence[Place]) -> dict[StoreConfig, list[str]]:
    """Each store once, with the names of its uses."""
    uses: dict[StoreConfig, list[str]] = {}
    for place in places:
        uses.setdefault(place.store, []).append(place.name)
    return uses


def reach_all(stores: Sequence[StoreConfig]) -> dict[StoreConfig, Reached]:
    """Asks all stores side by side, by one listing each."""
    with ThreadPoolExecutor(max_workers=max(len(stores), 1)) as pool:
        return dict(zip(stores, pool.map(reach, stores), strict=True))


def reach(config: StoreConfig) -> Reached:
    """Asks whether the store answers. Writes nothing. Raises nothing but for a bug."""
    if config.endpoint and config.endpoint.startswith("dev:"):
        return Reached(Answer.NO, DEV_DOWN)
    try:
        next(open_store(config).list("results/"), None)
    except PermissionDenied as error:
        return Reached(Answer.DENIED, error.message, error.hint)
    except FedmlError as error:
        return Reached(Answer.NO, error.message, error.hint)
    return Reached(Answer.YES)


def _is_same(one: StoreConfig, other: StoreConfig) -> bool:
    return (one.url, one.endpoint) == (other.url, other.endpoint)


def _serves(store: StoreConfig, asked: StoreConfig) -> bool:
    return store.url == asked.url and asked.endpoint in (None, store.endpoint)
