"""A `fedml.toml` enters, a `Config` leaves: the federation's regions and stores as values, or one ConfigError.

Relative file paths count from the file. Addresses `dev:NAME` and endpoints `dev:NAME` are replaced by those of the
project's running development federation; where that isn't up they stay as they are, so that whatever needs none of it
goes on, and whoever uses one says `fedml dev up`.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from federation.config.dev_state import read_state
from federation.errors import ConfigError
from federation.index.tag_rule import TagRule
from federation.plan import Shares
from federation.publish.adopt_pattern import Pattern
from federation.run.user_limits import Patience
from jobs.store_task import StoreTask
from regions.credentials import SecretRef
from regions.model import Region, StoreConfig

FILE_NAME = "fedml.toml"


@dataclass(frozen=True, slots=True)
class DevNode:
    """A pretend node of a development region."""

    name: str
    datacenter: str
    cpu_mhz: int
    memory_mb: int
    drivers: tuple[str, ...]
    node_class: str
    meta: Mapping[str, str]
    host_volumes: Mapping[str, Path] = field(default_factory=dict)
    devices: tuple[Mapping[str, Any], ...] = ()
    """Each `{vendor, type, name, count, attributes}`."""
    read_only_volumes: frozenset[str] = frozenset()
    cores: int | None = None
    """None: this machine's."""
    node_pool: str = "default"


@dataclass(frozen=True, slots=True)
class DevRegion:
    """A region that `fedml dev up` starts."""

    name: str
    nodes: tuple[DevNode, ...]
    version: str
    heartbeat_grace_s: float = 5.0
    """For so long a node may be silent before it counts as down."""


@dataclass(frozen=True, slots=True)
class DevStore:
    """A store server that `fedml dev up` starts."""

    name: str
    kind: Literal["s3", "gcs", "azure"]
    buckets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DevConfig:
    """What `fedml dev up` starts, in the file's order."""

    regions: Mapping[str, DevRegion]
    stores: Mapping[str, DevStore]
    namespaces: tuple[str, ...] = ()
    """Besides `default`."""
    policies: Mapping[str, str] = field(default_factory=dict)
    """The text of the policy of each further token, in Nomad's HCL or JSON form, by the token's name."""


@dataclass(frozen=True, slots=True)
class CoordinatorJob:
    """How a detached run's coordinator runs in a region."""

    driver: str = "raw_exec"
    image: str | None = None
    command: str = "fedml"
    lease_s: float = 60.0
    """For how long any coordinator may be silent before another takes its run over."""
    cpu_mhz: int = 200
    memory_mb: int = 256


@dataclass(frozen=True, slots=True)
class Config:
    """One federation. `root` is the folder of the file; `warnings` are sentences to show once."""

    path: Path
    name: str
    home: StoreConfig
    job: str | None
    """As written: a path relative to `root`, or the ID of a registered job."""
    slots: int | None
    policy: str
    results: Literal["publish", "adopt", "none"]
    deploy: Literal["auto", "never"]
    version_meta: str | None
    """The meta key that carries the version; None: the job's own `model_version` or `version`."""
    max_attempts: int
    grace_s: float
    regions: Mapping[str, Region]
    """In the file's order."""
    dev: DevConfig | None
    """None where the file declares no development federation."""
    warnings: tuple[str, ...] = ()
    allowed_regions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Job ID → the only regions that it may run in."""
    shares: Shares = field(default_factory=Shares)
    adopt: Mapping[str, Pattern] = field(default_factory=dict)
    """By region: where its jobs write results themselves; regions that have no pattern are left out."""
    tags: Mapping[str, TagRule] = field(default_factory=dict)
    """Protected tags of the index, by name."""
    store_task: StoreTask | None = None
    """The task that publishes, where it is added to jobs."""
    hooks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Event (`run_finished`, …) → the command that is run then."""
    stalled_after_s: float = 900.0
    coordinator: CoordinatorJob = CoordinatorJob()
    patience: Patience = field(default_factory=Patience)
    """How long runs go on with what goes badly, where the command line says nothing."""
    further_stores: tuple[StoreConfig, ...] = ()
    """Stores with copies of results, or with results of regions that are no more."""

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.path.parent

    def secret_references(self) -> list[tuple[str, SecretRef]]:
        """Every reference to a credential, each with what it is for."""
        found = [(f"regions.{name}.token", region.token) for name, region in self.regions.items()]
        own = [datacenter.store for region in self.regions.values() for datacenter in region.datacenters.values()]
        further = [store for region in self.regions.values() for store in region.further_stores]
        for store in dict.fromkeys([self.home, *own, *further, *self.further_stores]):
            found.append((f"access_key_id of {store.url}", store.access_key_id))
            found.append((f"secret_access_key of {store.url}", store.secret_access_key))
        return [(key, reference) for key, reference in found if reference is not None]

    @property
    def cache_dir(self) -> Path:
        """Where local catalogs lie: `FEDML_CACHE_DIR`, else `.fedml/cache` in the project. It may not exist yet."""
        chosen = os.environ.get("FEDML_CACHE_DIR")
        return Path(chosen).absolute() if chosen else self.root / ".fedml" / "cache"


def find(path: Path | None = None, *, cwd: Path | None = None) -> Path:
    """The file that holds: `path`, else `FEDML_CONFIG`, else the first fedml.toml upward from `cwd`.

    A folder stands for the fedml.toml in it. Raises ConfigError where there is none.
    """
    start = (cwd or Path.cwd()).absolute()
    chosen = path or (Path(named) if (named := os.environ.get("FEDML_CONFIG")) else None)
    if chosen is not None:
        found = start / chosen.expanduser()
        found = found / FILE_NAME if found.is_dir() else found
        if not found.is_file():
            source = "--config" if path else "FEDML_CONFIG"
            raise ConfigError(f"no such file: {found} ({source})", hint="make a project with `fedml init`")
        return found
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise ConfigError(
        f"no {FILE_NAME} in {start} or any folder above it",
        hint="make a project with `fedml init`, or name one with --config or FEDML_CONFIG",
    )


def load(path: Path | None = None, *, cwd: Path | None = None) -> Config:
    """Find (as `find` does), read and check the file. Raises ConfigError with file, key and what to write instead."""
    found = find(path, cwd=cwd)
    data = _read(found)
    with _without_pydantic_plugins():
        from federation.config import schema  # pydantic: 100 ms that `--help` doesn't pay

    document = schema.validate(data)
    if not isinstance(document, schema.Document):
        first, *others = [f"{problem.key}: {problem.text}" for problem in document]
        more = "".join(f"\n  also {other}" for other in others[:5])
        raise ConfigError(f"{found}: {first}{more}", hint=document[0].hint)
    from federation.config.build import Builder

    return Builder(found, document, read_state(found.parent)).config()


@contextmanager
def _without_pydantic_plugins() -> Iterator[None]:
    """Looking for them reads the metadata of every installed distribution: a quarter of all the time of loading."""
    before = os.environ.get("PYDANTIC_DISABLE_PLUGINS")
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYDANTIC_DISABLE_PLUGINS"]
        else:
            os.environ["PYDANTIC_DISABLE_PLUGINS"] = before


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        told = re.fullmatch(r"(?s)(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", str(error))
        text, place = (told[1], f":{told[2]}:{told[3]}" if told[2] else "") if told else (str(error), "")
        hint = (
            "each table and key may stand only once"
            if "twice" in text or "overwrite" in text
            else "see https://toml.io"
        )
        raise ConfigError(f"{path}{place}: no valid TOML: {text[0].lower()}{text[1:]}", hint=hint) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: no UTF-8 text (byte {error.start})", hint="save the file as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from None
