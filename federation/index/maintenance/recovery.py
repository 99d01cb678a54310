"""Reads the entries of an index whose log was lost, by number, from what survives: a catalog, a checkpoint, entries that can
still be read. Changes that can't be used are counted and left out.

A catalog knows every entry but for the records of its results: those are in the stores. An entry that is read from the
log wins where the catalog has the same hash for it, or doesn't know it. Where a log that was set back to an older state went
on without what the catalog knows, its own entries follow those of the catalog.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from federation.claims import Expected, fields_of, known
from federation.errors import PublishError, UsageError
from federation.index.catalog.catalog import SCHEMA, catalog_path
from federation.index.catalog.changes import CHANGE_OF_STATE, RECORD_CHANGES, UNREADABLE, usable
from federation.index.catalog.checkpoint import check_catalog, checkpoints, unpack_checkpoint
from federation.index.columns import COLUMNS
from federation.index.home import LOG_PREFIX
from federation.index.lost import LOST_PREFIX
from federation.index.maintenance.log_reader import read_entries
from federation.log import ENTRY_BYTES_READ_MAX, Change, Entry
from federation.result import ResultRecord, store_name
from jobs.errors import FedmlError
from regions.storage.store import Store

_GZIP = b"\x1f\x8b"
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


@dataclass(frozen=True, slots=True)
class Memory:
    """Entries by number, and what they were taken from. `has_catalog`: a catalog or checkpoint is among that."""

    entries: dict[int, Remembered]
    sources: list[str] = field(default_factory=list)
    has_catalog: bool = False


def remember(
    home: Store, cache_dir: Path, home_ids: Iterable[str], *, with_log: bool = True, catalog: Path | None = None
) -> Memory:
    """All that survives of the index's entries. `home_ids` are those under which the home may have a catalog here, the
    likeliest first; `catalog` is a file that takes their place. `with_log` False leaves out the log itself (it is of a
    rebuild that was broken off). Raises UsageError for a `catalog` that can't be used."""
    found, sources = _from_file(catalog) if catalog else _from_catalogs(cache_dir, home_ids)
    in_checkpoint, name = _from_checkpoint(home)
    if len(in_checkpoint) > len(found) and not catalog:
        found, sources = in_checkpoint, [name]
    has_catalog = bool(found)
    read = _readable(home, with_log=with_log)
    branch = _branch(found, read)
    last = max(found, default=0)
    taken = 0
    for number, entry in read.items():
        known = found.get(number)
        if number not in branch and (known is None or known.sha256 == entry.sha256):
            found[number] = _of_entry(entry)
            taken += 1
    for place, entry in enumerate(branch.values(), start=1):
        found[last + place] = replace(_of_entry(entry), number=last + place)
    if taken:
        sources.append(f"{taken} entries of the log")
    if branch:
        sources.append(f"revisions {min(branch)} to {max(branch)} of a log that went on without what the catalog knows")
    return Memory(dict(sorted(found.items())), sources, has_catalog)


def _branch(found: Mapping[int, Remembered], read: Mapping[int, Entry]) -> dict[int, Entry]:
    """The entries with which the log left what the catalog knows: whole, in a chain, up to the log's end."""
    numbers = sorted(read)
    first = next((one for one in numbers if one in found and found[one].sha256 != read[one].sha256), 0)
    if not first:
        return {}
    rest = {number: read[number] for number in numbers if number >= first}
    before = found[first - 1].sha256 if first > 1 and first - 1 in found else ""
    for entry in rest.values():
        if entry.previous != before:
            return {}
        before = entry.sha256
    return rest if len(rest) == numbers[-1] - first + 1 else {}


def _of_entry(entry: Entry) -> Remembered:
    changes = usable(entry.changes)
    left_out = len(entry.changes) - len(changes)
    own = tuple(change for change in changes if change["type"] != "rebuild")
    true_time = next((change["time"] for change in changes if change["type"] == "rebuild" and change.get("time")), "")
    return Remembered(
        entry.number, true_time or entry.time, entry.author, entry.reason, own, entry.sha256, left_out
    )  # fmt: skip


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
        names = ("run", "job", "version", "spec_hash", "slots", "expected_keys", "name")
        for number, *values in db.execute(f"SELECT revision, {', '.join(names)} FROM run ORDER BY rowid"):  # noqa: S608
            opened = dict(zip(names, values, strict=True))
            opened = {name: value for name, value in opened.items() if value != "" or name != "name"}
            changes.setdefault(number, []).append({"type": "open", **opened})
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
            unreadable = sum(change["type"] == UNREADABLE for change in known)
            kept = tuple(change for change in known if change["type"] not in (UNREADABLE, "rebuild"))
            found[number] = Remembered(number, time, author, reason, kept, sha256, unreadable)
        return found


def _from_file(path: Path) -> tuple[dict[int, Remembered], list[str]]:
    """The entries of a catalog's file, or of a checkpoint's. Raises UsageError for another file."""
    try:
        with tempfile.TemporaryDirectory(prefix="fedml-rebuild-") as folder, path.open("rb") as source:
            unpacked = path
            if source.read(len(_GZIP)) == _GZIP:
                unpacked = Path(folder) / "catalog.sqlite"
                with gzip.open(path, "rb") as packed, unpacked.open("wb") as target:
                    shutil.copyfileobj(packed, target)
            check_catalog(unpacked)
            found = of_catalog(unpacked)
    except (OSError, EOFError, ValueError, KeyError, sqlite3.Error) as error:
        raise UsageError(
            f"{path} is not a catalog that can be used: {error}",
            hint="a catalog is FEDML_CACHE_DIR/index/*.sqlite (default: .fedml/cache/index/ of a project), a checkpoint "
            "index/checkpoints/*.sqlite.gz of a home store",
        ) from error
    if not found:
        raise UsageError(f"the catalog {path} has no entries")
    return found, [f"the catalog {path} (revision {max(found)})"]


def _from_catalogs(cache_dir: Path, home_ids: Iterable[str]) -> tuple[dict[int, Remembered], list[str]]:
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
    """Entries in the log and, where it has none of a number, in what `salvage` has set aside: the newest first. A log that was
    rebuilt to its end has all that was set aside before."""
    folders = {LOG_PREFIX} if with_log else set()
    folders |= {match[0] for info in home.list(LOST_PREFIX) if (match := re.match(r"index/lost/[^/]+/", info.key))}
    found: dict[int, Entry] = {}
    for folder in sorted(folders, key=lambda folder: (folder == LOG_PREFIX, folder), reverse=True):
        entries = read_entries(home, folder)
        is_whole = any(change.get("is_done") for one in entries.values() for change in _marks(one.changes))
        for number, entry in entries.items():
            if is_whole or not is_rebuilt(entry.changes):
                found.setdefault(number, entry)
        if is_whole:
            break
    return found


def _marks(changes: Iterable[Change]) -> list[Change]:
    return [change for change in usable(changes) if change["type"] == "rebuild"]


def is_rebuilt(changes: tuple[Change, ...]) -> bool:
    """Whether an entry was made by `rebuild` (and not by whom it tells of)."""
    return bool(_marks(changes))


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
