"""Descriptions of the kinds of stores: what the rest of fedml must know of each before a store of it is opened.

Every folder beside this module with a module `backend` is a backend of fedml's own; its `BACKEND` describes it. No list
names these folders, so they are also found in a checkout that isn't installed and in the archive for nodes. A third
party adds a backend by an entry point in the group `fedml.stores`: its name is the scheme, its value a `Backend`, or only
a class that takes a `StoreConfig`, which then counts as a bucket without more to say about it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.frozen import field, frozen
from regions.storage.errors import InvalidStoreURL
from regions.storage.url import PARAMETERS, bucket_url
from regions.store_config import StoreConfig

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from regions.storage.bucket_rules import Kind
    from regions.storage.store import Store

ENTRY_POINTS = "fedml.stores"


@frozen
class Grants:
    """What a role may do in one store, by the beginnings of keys below the store's prefix ("" is every key)."""

    role: str
    reads: tuple[str, ...]
    may_list: bool = True
    creates: tuple[str, ...] = ()
    """Small objects that are written once and never replaced."""
    uploads: tuple[str, ...] = ()
    """Files of any size."""
    appends: tuple[str, ...] = ()
    """Objects of the home store of any size that are written once: logs, leases, manifests. A `*` stands for one folder; a
    vendor without patterns gets what comes before it."""
    rewrites: tuple[str, ...] = ()
    """Objects that may be written again and not deleted, where the vendor knows the difference."""
    scratch: tuple[str, ...] = ()
    """Objects that may be written, replaced and deleted."""

    @property
    def added(self) -> tuple[str, ...]:
        """Where objects may be added that can't be replaced, by beginnings without patterns."""
        return before_patterns(self.creates + self.uploads + self.appends + self.rewrites)


def before_patterns(parts: Sequence[str]) -> tuple[str, ...]:
    """What comes before the first `*` of each, each once, without those that lie below another."""
    starts = dict.fromkeys(part.partition("*")[0] for part in parts)
    return tuple(one for one in starts if not any(one != other and one.startswith(other) for other in starts))


@frozen
class PolicyForm:
    """How the vendor writes down least rights. `make` gives the policy of one store."""

    kind: str
    """The word for it in `fedml stores check --policy --json`."""
    usage: str
    """How a person applies it."""
    make: Callable[[StoreConfig, Grants], dict[str, Any]]
    joined: Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]] | None = None
    """One policy with the rights of several, where an identity has one for all its stores."""


@frozen
class LocalServer:
    """A server of this machine that `fedml dev` can start for stores of this kind."""

    kind: str
    """The word for it in `[dev.stores]`."""
    location: str | None = None
    """The location that its clients must name."""


@frozen
class Backend:
    """One kind of store."""

    __eq__, __hash__ = object.__eq__, object.__hash__

    scheme: str
    store: str
    """`module:Class` of the store, which takes a `StoreConfig`. It is imported when the first store is opened."""
    title: str = ""
    """The vendor's name for it, for people."""

    example: str = ""
    """A URL of it, for hints; empty: `scheme://bucket/prefix`."""
    normalized: Callable[[str], str] = bucket_url
    """The URL (without parameters) as it is written back. Raises InvalidStoreURL for one that names no store."""
    parameters: tuple[str, ...] = PARAMETERS
    """The parameters that its URLs take."""
    place_segments: int | None = 1
    """How many segments after `scheme://` name the bucket. None: all of them may."""
    elsewhere: tuple[tuple[str, str], ...] = ()
    """URLs of it as other tools write them: a regular expression, and what is written here instead."""
    is_folder: bool = False
    """Whether it is a folder of this machine, which no credentials guard and no other machine is sure to have."""
    public_endpoint: str | None = None
    """The server for unsigned requests where the environment could name another one; None: it can't."""

    credential_names: tuple[str, ...] = ()
    """Variables of a task's environment that hand it credentials."""
    create_right: str = ""
    read_right: str = ""
    """What creating and reading an object need, in the vendor's words."""
    objects_below: str = "artifacts/ and results/"
    """How the vendor names the objects of a store for these rights; `{place}` is the URL without its scheme."""
    rule_rights: Mapping[Kind, str] = field(factory=dict)
    """What reading each kind of the bucket's own settings needs."""
    policy: PolicyForm | None = None

    node_packages: tuple[str, ...] | None = None
    """Distributions that the archive for nodes needs for it. None: there is no such archive."""
    artifact_url: Callable[[StoreConfig, str], str] | None = None
    """The URL of an object (configuration, key) by which Nomad's own artifact block fetches it, with the rights that the
    node has. An empty URL, or None here: it can't."""
    needs_cryptography: bool = False
    """Whether the archive needs a stand-in for `cryptography`, which is compiled."""
    local_server: LocalServer | None = None

    @property
    def module(self) -> str:
        """The module of the store."""
        return self.store.partition(":")[0]

    def open(self, config: StoreConfig) -> Store:
        """The store of that configuration. Raises InvalidStoreURL for a URL that names no store of this kind."""
        made: Callable[[StoreConfig], Store]
        if own_backend(self.scheme) is self:
            made = getattr(import_module(self.module), self.store.partition(":")[2])
            return made(config)
        from importlib.metadata import EntryPoint

        made = EntryPoint(self.scheme, self.store, ENTRY_POINTS).load()
        store = made(config)
        from regions.storage.checked_store import CheckedStore

        return CheckedStore(store)


@cache
def own_backends() -> Mapping[str, Backend]:
    """The backends of the folders beside this module, by scheme, sorted."""
    import pkgutil  # imports `inspect`, which takes a while

    folders = [each.name for each in pkgutil.iter_modules([str(Path(__file__).parent)]) if each.ispkg]
    found = map(_described, folders)
    return {backend.scheme: backend for backend in sorted(found, key=lambda backend: backend.scheme)}


def own_backend(scheme: str) -> Backend | None:
    """fedml's own backend of that scheme. Loads no other one where its folder has the name of the scheme."""
    with suppress(ModuleNotFoundError):
        if scheme.isidentifier() and (backend := _described(scheme)).scheme == scheme:
            return backend
    return own_backends().get(scheme)


def _described(folder: str) -> Backend:
    backend: Backend = import_module(f"{__package__}.{folder}.backend").BACKEND
    return backend


def backends() -> list[Backend]:
    """Every backend that can be loaded here, fedml's own first."""
    own = own_backends()
    found = [*own.values()]
    for scheme in sorted(_entry_points() - own.keys()):
        try:
            found.append(backend_of(scheme))
        except InvalidStoreURL:
            continue
    return found


def schemes() -> list[str]:
    """Every scheme that has a backend here, sorted."""
    return sorted({*own_backends(), *_entry_points()})


def backend_of(url: str) -> Backend:
    """The backend of a URL (or of a scheme). One that is not installed here counts as a bucket that can't be opened.

    Raises InvalidStoreURL for a backend that is installed but can't be loaded.
    """
    scheme = url.partition(":")[0]
    own = own_backend(scheme)
    if own is not None:
        return own
    point = _entry_points().get(scheme)
    return _loaded(point) if point is not None else Backend(scheme, "")


def is_folder(url: str) -> bool:
    """Whether that store is a folder of this machine."""
    return any(backend.is_folder for scheme, backend in own_backends().items() if url.startswith(f"{scheme}://"))


def _entry_points() -> Mapping[str, EntryPoint]:
    return _entry_points_of(tuple(sys.path))


@lru_cache(maxsize=2)
def _entry_points_of(path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    """The entry points of the distributions on that path, by scheme; the first of a name counts."""
    from importlib.metadata import distributions

    found: dict[str, EntryPoint] = {}
    for distribution in distributions(path=list(path)):
        for point in distribution.entry_points:
            if point.group == ENTRY_POINTS:
                found.setdefault(point.name, point)
    return found


@lru_cache
def _loaded(point: EntryPoint) -> Backend:
    try:
        loaded = point.load()
    except (ImportError, AttributeError) as error:
        raise InvalidStoreURL(
            f"the backend of {point.name}:// can't be loaded: {error}", hint=f"it is installed as {point.value}"
        ) from error
    if not isinstance(loaded, Backend):
        return Backend(point.name, point.value)
    if loaded.scheme != point.name:
        raise InvalidStoreURL(
            f"the entry point {point.name} of {ENTRY_POINTS} describes {loaded.scheme}://",
            hint=f"name it {loaded.scheme}",
        )
    return loaded
