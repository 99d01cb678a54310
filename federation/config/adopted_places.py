"""Decides in which store a result lies that a job wrote itself, and refuses stores that fedml.toml doesn't name.

A name is made from the pattern in fedml.toml (`adopt`) and from values of a run, some of which only the region's Nomad tells.
A value may choose among the stores that fedml.toml names for the region. It never brings another one: nothing is sent there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from federation.config.model import Config
from federation.errors import StoreRefused
from federation.index.stores import shown_store
from federation.publish.adopt_pattern import Pattern
from jobs.frozen import frozen
from regions.model import Datacenter, StoreConfig
from regions.storage import parse_store_url
from regions.storage.backend import backend_of
from regions.storage.errors import InvalidStoreURL

_URL = re.compile(r"[a-z][a-z0-9+.-]*://")


@frozen
class AdoptedPlace:
    """Where the jobs of one datacenter write results themselves."""

    pattern: Pattern
    region: str
    datacenter: Datacenter
    further: tuple[StoreConfig, ...]
    """`further_stores` of the region and of the federation."""

    def located(self, text: str) -> tuple[StoreConfig, str]:
        """The store and the key in it (or the key's beginning) of a name that the pattern gave. Raises StoreRefused."""
        if not _URL.match(text):
            return self.datacenter.store, text
        for base, store in self._stores():
            if text.startswith(f"{base}/"):
                return store, text.removeprefix(f"{base}/")
        raise StoreRefused(
            f"adopt names a result in {shown_store(text)} for {self.region}/{self.datacenter.name}, and that is neither the "
            "datacenter's own store, nor a bucket that adopt in fedml.toml names itself, nor one of further_stores; "
            "the store wasn't asked",
            hint="find out which value of the dispatch or of the job's meta names it; if results may lie there, add its "
            f"bucket to further_stores under [regions.{self.region}] in fedml.toml",
        )

    def bucket(self) -> tuple[str, StoreConfig] | None:
        """The bucket (or folder) that the pattern itself names, as text and as a store. None where it names none, or where
        a value of a run is a part of the bucket's name. The datacenter's credentials are used if its store is of the same
        kind."""
        if not self.pattern.is_place:
            return None
        text = self.pattern.prefix({"region": self.region, "datacenter": self.datacenter.name})
        scheme, _, rest = text.partition("://")
        depth = backend_of(scheme).place_segments
        if depth is None:
            depth = self.pattern.prefix({}).count("/") - 2
        parts = rest.split("/")
        if len(parts) <= depth:
            return None
        root = f"{scheme}://{'/'.join(parts[:depth])}"
        with suppress(InvalidStoreURL):
            store, own = parse_store_url(root), self.datacenter.store
            is_alike = own.url.partition("://")[0] == scheme
            return root, replace(own, url=store.url) if is_alike else store
        return None

    def _stores(self) -> Iterator[tuple[str, StoreConfig]]:
        """Each store with the text that its objects' names begin with."""
        own = self.datacenter.store
        yield own.url.rstrip("/"), own
        bucket = self.bucket()
        if bucket is not None:
            yield bucket
        yield from ((store.url.rstrip("/"), store) for store in self.further)


def adopted_places(config: Config, region: str) -> list[AdoptedPlace]:
    """Those of the region's datacenters; none where fedml.toml has no `adopt` for the region."""
    pattern, place = config.adopt.get(region), config.regions[region]
    further = (*place.further_stores, *config.further_stores)
    return [AdoptedPlace(pattern, region, each, further) for each in place.datacenters.values()] if pattern else []


def adopted_stores(config: Config) -> dict[str, list[StoreConfig]]:
    """By region, the buckets that its pattern itself names."""
    buckets = {name: [place.bucket() for place in adopted_places(config, name)] for name in config.adopt}
    return {name: stores for name, found in buckets.items() if (stores := [each[1] for each in found if each])}
