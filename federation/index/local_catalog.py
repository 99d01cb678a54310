"""This machine's catalog of one log: opened, asked, and replaced where its file fails. Safe under the replica's lock only."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from federation.errors import FederationError
from federation.index.catalog.catalog import Catalog, catalog_path, open_catalog
from federation.index.catalog.checkpoint import restore_checkpoint, write_checkpoint
from federation.log import Log, Position
from regions.storage.store import Store

_CATALOGS_TRIED = 3
_logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class LocalCatalog:
    """The catalog of the log in `store`, in a file below `cache_dir`; in memory for a home that has no ID yet."""

    def __init__(self, store: Store, log: Log, cache_dir: Path) -> None:
        self._store = store
        self._log = log
        self._cache_dir = cache_dir
        self._catalog: Catalog | None = None
        self.home_id = ""

    @property
    def is_open(self) -> bool:
        """Whether it can be asked."""
        return self._catalog is not None

    @property
    def path(self) -> Path | None:
        """Its file; None for one in memory, and before it is opened."""
        return self._catalog.path if self._catalog else None

    def close(self) -> None:
        """Closes the file."""
        if self._catalog is not None:
            self._catalog.close()
            self._catalog = None

    def open(self, home_id: str) -> None:
        """Opens the catalog of that home. Where this machine has none, begins with the newest checkpoint in the store."""
        path = catalog_path(self._cache_dir, home_id)
        if home_id and not path.exists():
            restore_checkpoint(self._store, path, is_of_this_log=self._is_in_log)
        self.open_kept(home_id)

    def open_kept(self, home_id: str) -> None:
        """Opens the catalog that this machine has of that home, without asking the store."""
        self.close()
        self.home_id = home_id
        self._catalog = open_catalog(catalog_path(self._cache_dir, home_id)) if home_id else Catalog(None)

    def ask(self, question: Callable[[Catalog], Answer], *, may_read_log: bool = True) -> Answer:
        """Asks the catalog. Where its file fails, goes on with another one that is brought up to date, or raises
        FederationError where the log may not be read."""
        assert self._catalog is not None
        for _ in range(_CATALOGS_TRIED):
            try:
                return question(self._catalog)
            except sqlite3.Error as error:
                self._catalog = self._catalog.replacement(error)
                if not may_read_log:
                    raise knows_nothing(self._store) from error
            try:
                self._log.start_at(self._catalog.position())
                self._catalog.apply(self._log.refresh())
            except sqlite3.Error as error:
                self._catalog = self._catalog.replacement(error)
        return question(self._catalog)

    def align(self) -> Position:
        """Lets the log go on where the catalog is: another process may have brought it further."""
        at = self.ask(lambda catalog: catalog.position())
        if at != self._log.position:
            self._log.start_at(at)
        return at

    def take_in(self) -> None:
        """Applies the entries that the log has read or appended meanwhile."""
        entries = self._log.take()
        self.ask(lambda catalog: catalog.apply(entries))

    def write_checkpoint(self) -> None:
        """Saves time for others. If it can't be written, nothing is lost."""
        why_not = write_checkpoint(self._store, self.path)
        if why_not:
            _logger.info("no checkpoint was written: %s", why_not)

    def _is_in_log(self, position: Position) -> bool:
        return self._log.read(position.number).sha256 == position.sha256


def knows_nothing(store: Store) -> FederationError:
    """The error of a machine that is offline and has no catalog."""
    return FederationError(
        f"this machine has no catalog of {store.url}: offline there is nothing to answer from",
        hint="without --offline the store is asked, and a catalog is kept",
    )
