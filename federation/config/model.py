"""Values of a checked `fedml.toml`: the federation, and what `fedml dev up` starts.

A key's type, default and meaning are declared in `federation.config.schema`. Fields here have the same names and take their
values from there; a comment says only what is different.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from federation.index.tag_rule import TagRule
from federation.plan import Shares
from federation.publish.adopt_pattern import Pattern
from federation.run.user_limits import Patience
from jobs.frozen import frozen
from jobs.store_task import Archive, StoreTask
from regions.credentials import SecretRef
from regions.model import Region, StoreConfig

if TYPE_CHECKING:
    from federation.config.schema import CoordinatorTable
    from federation.config.schema_code import RunTable


@frozen
class DevNode:
    """A pretend node of a development region."""

    name: str
    datacenter: str
    cpu_mhz: int
    memory_mb: int
    drivers: tuple[str, ...]
    cores: int | None
    node_class: str
    node_pool: str
    meta: Mapping[str, str]
    host_volumes: Mapping[str, Path]
    read_only_volumes: frozenset[str]
    devices: tuple[Mapping[str, Any], ...]
    """Each `{vendor, type, name, count, attributes}`."""


@frozen
class DevRegion:
    """A region that `fedml dev up` starts."""

    name: str
    nodes: tuple[DevNode, ...]
    version: str
    heartbeat_grace_s: float


@frozen
class DevStore:
    """A store server that `fedml dev up` starts."""

    name: str
    kind: Literal["s3", "gcs", "azure"]
    buckets: tuple[str, ...]


@frozen
class DevConfig:
    """What `fedml dev up` starts, in the file's order."""

    regions: Mapping[str, DevRegion]
    stores: Mapping[str, DevStore]
    namespaces: tuple[str, ...]
    policies: Mapping[str, str]
    """The text of the policy of each further token, in Nomad's HCL or JSON form, by the token's name."""


NO_DEV = DevConfig({}, {}, (), {})


@frozen
class Config:
    """One federation."""

    path: Path
    name: str
    is_named: bool
    """Whether the file has the name; else it is the folder's."""
    home: StoreConfig
    further_stores: tuple[StoreConfig, ...]
    job: str | None
    """As written: a path relative to `root`, or the ID of a registered job."""
    slots: int | None
    policy: str
    results: Literal["publish", "adopt", "none"]
    adopt: Mapping[str, Pattern]
    """By region: where its jobs write results themselves. Regions without a pattern are left out."""
    deploy: Literal["auto", "never"]
    version_meta: str | None
    max_attempts: int
    grace_s: float
    keep_logs: Literal["failed", "sample", "all"]
    """Whose output is kept in the home store (`federation.run.log_keeper`)."""
    patience: Patience
    """The limits of a run for which the command line sets no others."""
    regions: Mapping[str, Region]
    """In the file's order."""
    allowed_regions: Mapping[str, frozenset[str]]
    """Job ID → the only regions that it may run in."""
    shares: Shares
    tags: Mapping[str, TagRule]
    store_task: StoreTask | None
    """The task that publishes; None where none is added to jobs."""
    archives: Mapping[str, Archive]
    """Kind of store → the archive with the programs of nodes."""
    node_python: str
    run: RunTable
    hooks: Mapping[str, tuple[str, ...]]
    """Event (`run_finished`, …) → the command that is run then."""
    stalled_after_s: float
    coordinator: CoordinatorTable
    dev: DevConfig | None
    """None where the file declares no development federation."""
    warnings: tuple[str, ...]
    """Sentences to show once."""

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.path.parent

    def stores(self) -> list[StoreConfig]:
        """The home store, those of all datacenters, and further ones, each once."""
        own = [datacenter.store for region in self.regions.values() for datacenter in region.datacenters.values()]
        further = [store for region in self.regions.values() for store in region.further_stores]
        return list(dict.fromkeys([self.home, *own, *further, *self.further_stores]))

    def secret_references(self) -> list[tuple[str, SecretRef]]:
        """Lists every reference to a credential, each with what it is for."""
        found = [(f"regions.{name}.token", region.token) for name, region in self.regions.items()]
        for store in self.stores():
            found.append((f"access_key_id of {store.url}", store.access_key_id))
            found.append((f"secret_access_key of {store.url}", store.secret_access_key))
        return [(key, reference) for key, reference in found if reference is not None]

    @property
    def cache_dir(self) -> Path:
        """Where local catalogs lie: `FEDML_CACHE_DIR`, else `.fedml/cache` in the project. It may not exist yet."""
        chosen = os.environ.get("FEDML_CACHE_DIR")
        return Path(chosen).absolute() if chosen else self.root / ".fedml" / "cache"
