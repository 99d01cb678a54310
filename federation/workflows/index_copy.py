"""Brings a result's files here, or into another store (`fedml index get`, `fedml index copy`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from federation.app import App
from federation.checks.stores.uses import by_store, chosen, places_of
from federation.errors import ConfigError, UsageError
from federation.index import Row
from federation.index.fetch import Fetched
from federation.index.maintenance.copy import Copied, copy_result
from federation.index.maintenance.signing import require_signature
from federation.index.signatures import read_public_keys
from federation.index.stores import OpenStore
from federation.result import ResultRecord
from regions.model import StoreConfig
from regions.storage import parse_store_url, store_url
from regions.storage.store import Progress, Store


def require_signer(app: App, row: Row, public_keys: Path) -> None:
    """Raises IntegrityError for a result that none of the keys in that file signed."""
    require_signature(app.index, row, read_public_keys(public_keys))


def get_result(
    app: App, row: Row, to: Path | None, *, force: bool, allow: Sequence[str], progress: Progress | None
) -> Fetched:
    """Bring the result's files into the folder `to` (None: one of the working folder, named by the result), verified."""
    place = to or Path.cwd() / folder_name(row)
    return app.index.get(row, open_store=_opener(app, allow, progress), to=place, force=force)


def copy_target(app: App, store: str) -> StoreConfig:
    """The store that REGION/DATACENTER, REGION or a URL names. Raises UsageError where it names none, or several."""
    try:
        targets = list(by_store(chosen(places_of(app.config), store)))
    except (ConfigError, UsageError):
        if "://" not in store:
            raise
        return parse_store_url(store)
    if len(targets) > 1:
        raise UsageError(
            f"{store} has {len(targets)} stores", hint="name one: REGION/DATACENTER; see fedml stores list"
        )
    return targets[0]


def copy_to(
    app: App, row: Row, target: StoreConfig, *, allow: Sequence[str], progress: Progress | None
) -> tuple[Copied, bool]:
    """(what the copy did, whether fedml.toml has that store)."""
    store = app.store(target)  # a person named it, not a record
    store.progress = progress
    copied = copy_result(app.index, _opener(app, allow, progress), row, store_url(target), target=store)
    return copied, target in by_store(places_of(app.config))


def _opener(app: App, allow: Sequence[str], progress: Progress | None) -> OpenStore:
    stores = app.result_stores(allow)

    def open_store(url: str, result: Row | ResultRecord | None = None) -> Store:
        store = stores.of(url, result)
        store.progress = progress
        return store

    return open_store


def folder_name(row: Row) -> str:
    """What a result's folder is called: `JOB-VERSION-ALLOCATION`."""
    name = f"{row.job}-{row.version}-{row.alloc_id[:8]}"
    return "".join(char if char.isalnum() or char in "._-" else "-" for char in name)
