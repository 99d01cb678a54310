"""Keeps the local catalog up to date with the log of a home store's index. Answers are up to date. A change takes all
earlier entries into account, and is checked before it is written.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from federation.errors import FederationError, IndexCorrupt, IndexLost, LogConflict
from federation.index.catalog.catalog import Catalog, catalog_path, read_hashes
from federation.index.catalog.checkpoint import is_due
from federation.index.home import (
    LOG_PREFIX,
    Home,
    Owner,
    make_home,
    probe_write,
    read_home,
    read_home_of_log,
    refuse_other_federation,
)
from federation.index.last_sync import last_sync, note_sync
from federation.index.local_catalog import LocalCatalog, knows_nothing
from federation.index.lost import accept, half_rebuilt, known_id, refuse_lost, refuse_older
from federation.log import Change, Entry, Log, Position, default_author, timestamp, utc_now
from jobs.errors import FedmlError
from regions.storage.store import Store

_LOOKS_NOTED_EVERY_S = 1.0

Answer = TypeVar("Answer")


class Replica:
    """The log of one home store and its catalog. Nothing is read or written before the first question; may be used from
    threads. Readers need to read the home store only. The first write makes the home (`format.json`)."""

    def __init__(
        self,
        home: Store,
        *,
        cache_dir: Path,
        author: str = "",
        clock: Callable[[], datetime] = utc_now,
        owner: Owner | None = None,
    ) -> None:
        """`owner`: the federation; a home of another one is refused. None: not compared."""
        self._store = home
        self._owner = owner
        self._cache_dir = cache_dir
        self._clock = clock
        self.author = author or default_author()
        self._log = Log(home, LOG_PREFIX, author=self.author, clock=clock)
        self._has_home = False
        """Whether `format.json` is there."""
        self._is_proved = False
        """Whether the log was compared with the catalog, so that an entry may follow."""
        self._local = LocalCatalog(home, self._log, cache_dir)
        self._lock = threading.RLock()
        self._noted_s = float("-inf")
        self.as_of = ""
        """Where it answers without the store (`go_offline`): when the catalog was last in step with it, RFC 3339."""

    def close(self) -> None:
        """Closes the local catalog."""
        with self._lock:
            self._local.close()

    @property
    def home(self) -> Store:
        """The home store."""
        return self._store

    def go_offline(self) -> str:
        """From now on answers from the local catalog without asking the store. Returns when the catalog was last in step with
        the store. Raises FederationError if this machine has no catalog. Refuses writes, and reads that need the log."""
        with self._lock:
            seen = last_sync(self._cache_dir, self._store.url)
            if seen is not None and catalog_path(self._cache_dir, seen.home_id).exists():
                self._local.open_kept(seen.home_id)
                self.as_of = seen.when
                if self._ask(lambda catalog: catalog.position().number):
                    return self.as_of
            raise knows_nothing(self._store)

    def now(self) -> datetime:
        """The machine's clock."""
        return self._clock()

    def change(self, decide: Callable[[Catalog], list[Change]], *, reason: str = "") -> None:
        """Appends the changes that `decide` returns for an up-to-date catalog, in one entry. Calls it again whenever another
        writer was faster, so that all earlier entries are taken into account. Writes nothing for an empty list."""
        with self._lock:
            self._append(decide, reason=reason)

    def ask(self, question: Callable[[Catalog], Answer]) -> Answer:
        """Asks the catalog, brought up to the end of the log."""
        with self._lock:
            self._sync()
            return self._ask(question)

    def ask_again(self, question: Callable[[Catalog], Answer]) -> Answer:
        """Asks the catalog as it was at the last answer."""
        with self._lock:
            if not self._local.is_open:
                self._sync()
            return self._ask(question)

    def entry(self, number: int) -> Entry:
        """One entry of the log, whole. Raises IndexCorrupt where it isn't any more what the catalog took in."""
        self._refuse_offline("the records of results lie in the home store")
        entry = self._log.read(number)
        known = self.ask_again(lambda catalog: catalog.entry(number))
        if known is None or known[-1] != entry.sha256:
            raise self._rewritten(number)
        return entry

    def remembered(self) -> dict[int, str]:
        """sha256 by number of the entries that the local catalog has read before; the log isn't asked. Raises the
        store's errors, IndexCorrupt for a torn `format.json`, ConfigError for the home of another federation."""
        if self._local.path is not None:
            return read_hashes(self._local.path)
        home = read_home(self._store)
        if home is not None:
            refuse_other_federation(self._store, home, self._owner)
        seen = last_sync(self._cache_dir, self._store.url)
        is_known = seen is not None and (home is None or seen.home_id not in home.rebuilt_from)
        known = seen.home_id if seen and is_known else home.id if home else ""
        path = catalog_path(self._cache_dir, known)
        return read_hashes(path) if known and path.is_file() else {}

    def require_writable(self) -> None:
        """Checks, before anything happens elsewhere, that the home can be written, and creates it if it is new. Raises the
        store's error, or NotSupported for one that can't be a home."""
        with self._lock:
            if not self._local.is_open or not self._has_home:
                self._sync()
            self._make_home()
            probe_write(self._store)

    def _append(self, decide: Callable[[Catalog], list[Change]], *, reason: str) -> None:
        """Decides and appends. Writes nothing for an empty decision.

        The first decision may use what this process read last. If its entry then gets the next number, no other entry was
        missed. Before it does nothing or refuses, the log is read.
        """
        self._refuse_offline("nothing is written")
        about = Entry(0, timestamp(self._clock()), self.author, reason, "", ())

        def checked(catalog: Catalog) -> list[Change]:
            """One question: the log may move to where the catalog is before it, never between decision and check."""
            changes = decide(catalog)
            if changes and catalog.is_half_rebuilt():
                raise half_rebuilt(self._store)
            if changes:
                catalog.refuse_unusable(changes, about)
            return changes

        knows = self._local.is_open and self._has_home
        if not knows:
            self._sync()
            self._make_home()
        changes = self._decide_on_the_known(checked) if knows else self._ask(checked)
        if knows and not changes:
            self._sync()
            changes = self._ask(checked)
        if not changes:
            return
        self._refuse_rewritten()

        def rebase(_: object) -> list[Change] | None:
            nonlocal changes
            self._local.take_in()
            changes = self._ask(checked)
            return changes or None

        written = 0
        try:
            written = self._log.append(changes, reason=reason, rebase=rebase).number
        except LogConflict:
            if changes:
                raise
        self._local.take_in()
        if is_due(written):
            self._local.write_checkpoint()

    def _decide_on_the_known(self, decide: Callable[[Catalog], list[Change]]) -> list[Change]:
        self._local.align()
        try:
            return self._ask(decide)
        except FedmlError:
            return []

    def _refuse_rewritten(self) -> None:
        """Raises IndexCorrupt where the entry that the next one will follow isn't the one that the catalog took in. Leaves the
        log where the decision was made: another process may have brought the shared catalog further meanwhile."""
        if self._is_proved:
            return
        at = self._log.position
        if at.number and self._log.read(at.number).sha256 != at.sha256:
            raise self._rewritten(at.number)
        self._is_proved = True

    def _make_home(self) -> None:
        """Makes `format.json` of a home that is new, or that lost only that: then it keeps its id."""
        if self._has_home:
            return
        known = self._local.home_id
        found = read_home_of_log(self._store) if self._local.align().number else None
        home = found or make_home(self._store, self._clock(), self._owner, home_id=known)
        refuse_other_federation(self._store, home, self._owner)
        self._has_home = True
        if home.id != known:
            self._local.open(home.id)
            self._sync()

    def _open(self) -> None:
        """Opens the catalog of this home, after a look whether the store still has what it says. Raises IndexLost."""
        home = read_home(self._store)
        if home is not None:
            refuse_other_federation(self._store, home, self._owner)
        self._local.open(known_id(self._store, self._log, home, self._cache_dir))
        self._has_home = home is not None
        try:
            known = self._local.align()
            self._take_all()
            at = self._local.align()
            if at.number == known.number:
                refuse_older(self._store, at, self._local.path)
            if at.number == 0:
                self._refuse_lost(home)
        except FedmlError:
            self.close()
            raise

    def _refuse_lost(self, home: Home | None) -> None:
        try:
            refuse_lost(self._store, home, self._owner, self._cache_dir)
        except IndexLost:
            self._take_all()  # somebody may have begun the index meanwhile
            if self._local.align().number == 0:
                raise

    def _refuse_offline(self, why: str) -> None:
        if self.as_of:
            raise FederationError(f"offline: {why}", hint="run it without --offline")

    def _sync(self) -> None:
        """Brings the catalog up to the end of the log."""
        if self.as_of:
            return
        with self._lock:
            if not self._local.is_open or not self._has_home:
                self._open()
            else:
                self._take_all()
            self._note_the_look()

    def _take_all(self) -> None:
        at = self._local.align()
        entries = self._refreshed(at)
        self._ask(lambda catalog: catalog.apply(entries))
        self._is_proved = self._is_proved or bool(entries) or at.number == 0

    def _note_the_look(self) -> None:
        now_s = time.monotonic()
        if self._local.home_id and now_s - self._noted_s > _LOOKS_NOTED_EVERY_S:
            self._noted_s = now_s
            federation = self._owner.name if self._owner else ""
            note_sync(self._cache_dir, self._store.url, self._local.home_id, federation)

    def _refreshed(self, at: Position) -> list[Entry]:
        try:
            return self._log.refresh()
        except IndexCorrupt as error:
            how = self._how_to_accept() if at.number else ""
            error.hint += f"; {how}" if how else ""
            raise

    def _rewritten(self, number: int) -> IndexCorrupt:
        return IndexCorrupt(
            f"revision {number} of the index was rewritten after it was read", hint=self._how_to_accept()
        )

    def _how_to_accept(self) -> str:
        return accept(self._local.path)

    def _ask(self, question: Callable[[Catalog], Answer]) -> Answer:
        with self._lock:
            return self._local.ask(question, may_read_log=not self.as_of)
