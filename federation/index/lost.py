"""Notices that a home store has lost its index, or is at an older state than this machine knew, before anything is built on
what is there. Reads only.

A home without any entry is a new one only where nothing tells otherwise: neither this machine's catalog nor what lies there.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

from federation.errors import IndexLost
from federation.index.catalog.catalog import catalog_path
from federation.index.catalog.checkpoint import CHECKPOINT_PREFIX, catalog_position
from federation.index.home import LOG_PREFIX, Home, Owner, entry_key
from federation.index.last_sync import homes_of, last_sync
from federation.log import Log, Position, look_again
from regions.storage.errors import PermissionDenied
from regions.storage.store import Store

LOST_PREFIX = "index/lost/"
_TRACES = {
    "runs/": "runs",
    "results/": "results",
    CHECKPOINT_PREFIX: "checkpoints of an index",
    LOST_PREFIX: "entries that a rebuild set aside",
    LOG_PREFIX: "later entries of a log",
}
"""What lies only in a home that has (or had) an index."""
_RESTORE = "restore format.json, index/ and runs/ from the bucket's version history or a copy"
_REBUILD = "else bring the index back from this machine's catalog: fedml index rebuild --from-catalog"


def known_id(store: Store, log: Log, home: Home | None, cache_dir: Path) -> str:
    """The id under which this machine has the home's catalog: that of `format.json`; where that is lost and the log is not,
    the one that it had. Empty for a home that is new to this machine. Raises IndexLost."""
    seen = last_sync(cache_dir, store.url)
    own_id = home.id if home else ""
    if seen is None or (home is not None and seen.home_id in (home.id, *home.rebuilt_from)):
        return own_id
    path = catalog_path(cache_dir, seen.home_id)
    known = position_of(path)
    if known.number == 0 or _is_in(store, log, known):
        return own_id or (seen.home_id if known.number else "")
    if home is not None:
        what = f"is another one (format.json says that it was made at {home.created})"
    elif (end := log_end(store)) > 0:
        what = f"has no format.json, and a log that ends at revision {end} and isn't the one that was read"
    else:
        what = "holds no index any more"
    raise IndexLost(
        f"this machine knows the index in {store.url} at revision {known.number} (read last at {seen.when}), and the home "
        f"store {what}; nothing was written",
        hint=f"if fedml.toml names the wrong place, mend `home`\n{_RESTORE}\n{_REBUILD}\n{accept(path)}",
    )


def refuse_older(store: Store, known: Position, path: Path | None) -> None:
    """Raises IndexLost where the log ends before the entry that the catalog in that file holds."""
    if known.number == 0 or look_again(lambda: store.exists(entry_key(known.number)) or None):
        return
    end = log_end(store)
    if end == 0:
        what = "and its log is gone"
    elif end > known.number:
        what = f"and its entry {known.number} is gone"
    else:
        what = f"and its log ends at revision {end}: its end was lost, or an older state was restored"
    raise IndexLost(
        f"this machine knows the index in {store.url} at revision {known.number}, {what}; nothing was written",
        hint=f"restore {LOG_PREFIX} from the bucket's version history or a copy\n{_REBUILD}\n{accept(path)}",
    )


def refuse_lost(store: Store, home: Home | None, owner: Owner | None, cache_dir: Path) -> None:
    """Raises IndexLost for a home without any entry, unless the home is new."""
    if home is not None and home.rebuilt_from:
        raise half_rebuilt(store)
    found = traces(store)
    if found:
        raise IndexLost(
            f"the home store {store.url} holds {found} and no index: its log was lost, or results came before it; "
            "nothing was written",
            hint=f"{_RESTORE}\nelse make the index again: fedml index rebuild, on the machine that used it last "
            "(its catalog knows tags, notes and the order of commits)",
        )
    for seen in homes_of(cache_dir, owner.name) if owner else ():
        known = position_of(catalog_path(cache_dir, seen.home_id))
        if known.number and seen.url != store.url:
            raise IndexLost(
                f"the home store {store.url} is empty, and this machine knows the index of federation "
                f"{seen.federation!r} in {seen.url}, at revision {known.number}; nothing was written",
                hint="if fedml.toml names the wrong place, mend `home`\n"
                f"if the home moves, copy format.json, index/ and runs/ of {seen.url} there first\n"
                f"{accept(catalog_path(cache_dir, seen.home_id))}",
            )


def half_rebuilt(store: Store) -> IndexLost:
    """The error of an index whose rebuild was broken off."""
    return IndexLost(
        f"the rebuild of the index in {store.url} was broken off; nothing was written",
        hint="fedml index rebuild --yes  goes on with it",
    )


def traces(store: Store) -> str:
    """What lies in the store that only a home with an index has; empty for a new one."""
    with suppress(PermissionDenied):  # a reader that may not list
        return next((name for prefix, name in _TRACES.items() if any(True for _ in store.list(prefix))), "")
    return ""


def log_end(store: Store) -> int:
    """The highest number of the entries that the store lists."""
    with suppress(PermissionDenied):
        names = [info.key.removeprefix(LOG_PREFIX).removesuffix(".json") for info in store.list(LOG_PREFIX)]
        return max((int(name) for name in names if name.isascii() and name.isdecimal()), default=0)
    return 0


def accept(path: Path | None) -> str:
    """How to say that what the store has now is right."""
    return f"where that was done on purpose, move {path} away and try again" if path else ""


def position_of(path: Path) -> Position:
    """Where the catalog in that file stands; Position() for one that is missing or can't be used."""
    try:
        return catalog_position(path) if path.is_file() else Position()
    except (OSError, sqlite3.Error, ValueError):
        return Position()


def _is_in(store: Store, log: Log, known: Position) -> bool:
    """Whether the log has the entry that this machine knows. One "not found" may be stale: looks again."""
    is_there = look_again(lambda: store.exists(entry_key(known.number)) or None)
    return is_there is not None and log.read(known.number).sha256 == known.sha256
