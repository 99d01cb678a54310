"""Reads the entries of an index whose log was lost, by number, from what survives: a catalog, a checkpoint, entries that can
still be read. Changes that can't be used are counted and left out.

A catalog knows every entry but for the records of its results: those are in the stores. An entry that is read from the
log wins where the catalog has the same hash for it, or doesn't know it.
"""

from __future__ import annotations

import json
import re
import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from federation.claims import Expected, fields_of, known
from federation.errors import PublishError
from federation.index.catalog.catalog import SCHEMA, catalog_path
from federation.index.catalog.changes import CHANGE_OF_STATE, RECORD_CHANGES, UNREADABLE, usable
from federation.index.catalog.checkpoint import checkpoints, unpack_checkpoint
from federation.index.columns import COLUMNS
from federation.index.home import LOG_PREFIX
from federation.index.maintenance.log_reader import read_entries
from federation.log import ENTRY_BYTES_READ_MAX, Change, Entry
from federation.result import ResultRecord, store_name
from jobs.errors import FedmlError
from regions.storage.store import Store

LOST_PREFIX = "index/lost/"
_FACTS = {column.name: column.sql_name for column in COLUMNS.values() if column.type and column.value}
"""What a catalog has of a result: each column by its name, which is the field's name in `federation.claims` too."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """One entry as it was. A result's change holds its `record`, or (from a catalog) its `alloc_id`, its `store` and
    what else a catalog has of it (`known`)."""

    number: int
    time: str
    author: str
    reason: str
    changes: tuple[Change, ...]
    sha256: str
    unusable: int = 0
    """How many changes of a known type it has besides, which can't be used."""


def remember(
    home: Store, cache_dir: Path, home_ids: list[str], *, with_log: bool = True
) -> tuple[dict[int, Remembered], list[str]]:
    """(entries by number, what they were taken from). `home_ids` are those under which the home may have a catalog here,
    the likeliest first; `with_log` False leaves out the log itself (it is of a rebuild that was broken off)."""
    found, sources = _from_catalogs(cache_dir, home_ids)
    in_checkpoint, name = _from_checkpoint(home) if with_log else ({}, "")
    if len(in_checkpoint) > len(found):
        found, sources = in_checkpoint, [name]
    read = _readable(home, with_log=with_log)
    taken = 0
    for number, entry in read.items():
        known = found.get(number)
        if known is None or known.sha256 == entry.sha256:
            found[number] = _of_entry(entry)
            taken += 1
    if taken:
        sources.append(f"{taken} entries of the log")
    return dict(sorted(found.items())), sources


def _of_entry(entry: Entry) -> Remembered:
    changes = usable(entry.changes)
    left_out = len(entry.changes) - len(changes)
    return Remembered(entry.number, entry.time, entry.author, entry.reason, changes, entry.sha256, left_out)


def stores_of(memory: Iterable[Remembered]) -> list[str]:
    """URLs of all stores that remembered entries name."""
    changes = [change for one in memory for change in one.changes]
    records = [change.get("record", change) for change in changes]
    named = [record.get("store") for record in records if isinstance(record, dict)]
    return sorted({url for url in named if isinstance(url, str)})


def facts_of(memory: Iterable[Remembered]) -> dict[str, Expected]:
    """What is remembered of each result, by allocation: a record in a store must agree with it."""
    found: dict[str, Expected] = {}
    for one in memory:
        for change in one.changes:
            if change["type"] in RECORD_CHANGES:
                with suppress(
                    PublishError, KeyError, TypeError, AttributeError
                ):  # one that can't be read tells nothing
                    alloc_id, facts = _facts(change)
                    found.setdefault(alloc_id, {name: known("the index had", value) for name, value in facts.items()})
    return found


def _facts(change: Change) -> tuple[str, dict[str, object]]:
    if "record" in change:
        record = ResultRecord.from_dict(change["record"])
        return record.alloc_id, fields_of(record)
    return change["alloc_id"], {**change.get("known", {}), "store": store_name(change["store"])}


def of_catalog(path: Path) -> dict[int, Remembered]:
    """The entries that the catalog in that file was made from. Raises sqlite3.Error, ValueError."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
        (schema,) = db.execute("PRAGMA user_version").fetchone()
        if schema != SCHEMA:
            raise ValueError(f"catalog of schema {schema}")
        changes: dict[int, list[Change]] = {}
        runs = "SELECT revision, run, job, version, spec_hash, slots, expected_keys FROM run ORDER BY rowid"
        for number, *values in db.execute(runs):
            names = ("run", "job", "version", "spec_hash", "slots", "expected_keys")
            changes.setdefault(number, []).append({"type": "open", **dict(zip(names, values, strict=True))})
        results = f"SELECT entered, {', '.join(_FACTS.values())} FROM result ORDER BY rowid"  # noqa: S608
        for state, *values in db.execute(results):
            facts = dict(zip(_FACTS, values, strict=True))
            named = {"alloc_id": facts["alloc_id"], "store": facts["store"], "known": facts}
            changes.setdefault(facts["revision"], []).append({"type": CHANGE_OF_STATE[state], **named})
        for number, text in db.execute("SELECT number, change FROM event ORDER BY rowid"):
            changes.setdefault(number, []).append(json.loads(text))
        entries = db.execute("SELECT number, time, author, reason, lower(hex(sha256)) FROM entry ORDER BY number")
        found = {}
        for number, time, author, reason, sha256 in entries:
            known = changes.get(number, [])
            kept = tuple(change for change in known if change["type"] != UNREADABLE)
            found[number] = Remembered(number, time, author, reason, kept, sha256, len(known) - len(kept))
        return found


def _from_catalogs(cache_dir: Path, home_ids: list[str]) -> tuple[dict[int, Remembered], list[str]]:
    for home_id in home_ids:
        path = catalog_path(cache_dir, home_id)
        try:
            found = of_catalog(path) if path.is_file() else {}
        except (sqlite3.Error, ValueError, KeyError):
            continue
        if found:
            return found, [f"the catalog {path} (revision {max(found)})"]
    return {}, []


def _from_checkpoint(home: Store) -> tuple[dict[int, Remembered], str]:
    for revision in checkpoints(home):
        try:
            with tempfile.TemporaryDirectory(prefix="fedml-rebuild-") as folder:
                path = Path(folder) / "catalog.sqlite"
                unpack_checkpoint(home, revision, path)
                return of_catalog(path), f"the checkpoint of revision {revision}"
        except (OSError, EOFError, ValueError, KeyError, sqlite3.Error, FedmlError):
            continue
    return {}, ""


def _readable(home: Store, *, with_log: bool) -> dict[int, Entry]:
    """Entries in the log and, where it has none of a number, in what `salvage` has set aside: the newest first."""
    folders = {LOG_PREFIX} if with_log else set()
    folders |= {match[0] for info in home.list(LOST_PREFIX) if (match := re.match(r"index/lost/[^/]+/", info.key))}
    found: dict[int, Entry] = {}
    for folder in sorted(folders, key=lambda folder: (folder == LOG_PREFIX, folder), reverse=True):
        for number, entry in read_entries(home, folder).items():
            if not is_rebuilt(entry.changes):
                found.setdefault(number, entry)
    return found


def is_rebuilt(changes: tuple[Change, ...]) -> bool:
    """Whether an entry was made by `rebuild` (and not by whom it tells of)."""
    return any(change["type"] == "rebuild" for change in usable(changes))


def set_aside(home: Store, stamp: str) -> int:
    """Move all that lies in the log under `index/lost/{stamp}/`, and give how many objects that were. What can't be read
    whole is left out. A crash leaves some of them in both places."""
    infos = list(home.list(LOG_PREFIX))
    for info in infos:
        try:
            data = home.get_small(info.key, limit_bytes=ENTRY_BYTES_READ_MAX)
        except FedmlError:
            continue
        home.put(f"{LOST_PREFIX}{stamp}/{info.key.removeprefix(LOG_PREFIX)}", data, content_type="application/json")
    for info in infos:
        home.delete(info.key)
    return len(infos)
