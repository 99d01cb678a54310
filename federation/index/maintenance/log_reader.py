"""Reads all of a log that may be damaged: the entries that can be read, and everything that is wrong.

`Log` stops at the first fault, because nothing may be built on what follows it.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from federation.errors import FormatTooNew, IndexCorrupt
from federation.index.catalog.checkpoint import OtherSchema, checkpoint_key, checkpoints, unpack_checkpoint
from federation.index.home import LOG_PREFIX, entry_key, read_home
from federation.index.lost import traces
from federation.index.maintenance.problem import Problem
from federation.log import Entry, Log, Position
from jobs.errors import FedmlError
from regions.storage.errors import IntegrityError
from regions.storage.store import Store

_READS_AT_ONCE = 16
_RESTORE = "restore it from the bucket's version history or a copy; else: fedml index rebuild --salvage"
_SUFFIX = ".json"


@dataclass(slots=True)
class Chain:
    """The readable entries of a log, in order of their numbers, and its faults."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    last: int = 0
    """The highest number that is there, readable or not."""

    @property
    def head(self) -> Position:
        """The last readable entry."""
        last = self.entries[-1] if self.entries else None
        return Position(last.number, last.sha256, last.time) if last else Position()


def read_chain(home: Store, *, remembered: Mapping[int, str] | None = None, head: str = "") -> Chain:
    """Read every entry of the index's log. `remembered` is the sha256 by number of what this machine read before, `head`
    an entry's sha256 (or its beginning) that must be among them. Raises the store's errors for what can't be asked."""
    chain = read_log(home, LOG_PREFIX, _RESTORE)
    _compare(home, chain, remembered or {})
    if head and not any(entry.sha256.startswith(head.lower()) for entry in chain.entries):
        chain.problems.append(
            Problem(
                "head-unknown",
                home.url_of(LOG_PREFIX.rstrip("/")),
                f"no entry has the hash {head}: the log was rewritten, or that head belongs to another index",
                "compare with another copy of the log; "
                "restore the bucket to a version that has this head: fedml index verify --head " + head,
            )
        )
    return chain


def read_log(home: Store, prefix: str, mend: str) -> Chain:
    """Read every entry of the log below `prefix` (ending in `/`); `mend` is what is said to do about a damaged one."""
    chain = Chain()
    numbers = _numbers(home, prefix, chain)
    log = Log(home, prefix)

    def read(number: int) -> Entry | Problem:
        where = home.url_of(_key(prefix, number))
        if number not in numbers:
            return Problem("entry-missing", where, f"log entry {number} is missing, though later ones exist", mend)
        try:
            return log.read(number)
        except (IndexCorrupt, FormatTooNew) as error:
            return Problem("entry-torn", where, error.message, mend)

    chain.last = max(numbers, default=0)
    with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
        for found in pool.map(read, range(1, chain.last + 1)):
            if isinstance(found, Problem):
                chain.problems.append(found)
            else:
                _link(home, prefix, chain, found, mend)
    return chain


def read_entries(home: Store, folder: str) -> dict[int, Entry]:
    """Every entry below `folder` (ending in `/`) that can be read, by number; whether they chain is not looked at."""
    names = (info.key.removeprefix(folder).removesuffix(_SUFFIX) for info in home.list(folder))
    numbers = sorted(int(name) for name in names if name.isascii() and name.isdecimal())
    log = Log(home, folder)

    def read(number: int) -> Entry | None:
        try:
            return log.read(number)
        except IndexCorrupt:
            return None

    with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
        return {entry.number: entry for entry in pool.map(read, numbers) if entry is not None}


def check_home(home: Store, chain: Chain, *, was_known: bool) -> list[Problem]:
    """What is wrong with `format.json`, and with a home without any entry. `was_known`: this machine read its log before."""
    where = home.url_of("format.json")
    try:
        found = read_home(home)
    except (IndexCorrupt, IntegrityError) as error:
        mend = "restore it from the bucket's version history, or delete it: the next write makes a new one"
        return [Problem("format-torn", where, error.message, mend)]
    if not chain.last and not was_known and (left := traces(home)):
        what = f"the home holds {left} and no index: its log was lost, or results came before it"
        mend = "restore index/ from the bucket's version history; else: fedml index rebuild, on the machine that used it last"
        return [Problem("index-lost", home.url_of(LOG_PREFIX.rstrip("/")), what, mend)]
    if found is None and (chain.last or was_known):
        mend = "restore it from the bucket's version history"
        mend += "; else the next write makes it again: fedml index sync --yes" if chain.last else ""
        return [Problem("format-missing", where, "format.json is gone, though the home has (or had) a log", mend)]
    return []


def check_checkpoints(home: Store, chain: Chain) -> list[Problem]:
    """The checkpoints that can't be used. They only save time: none of them is needed."""
    problems: list[Problem] = []
    hashes = {entry.number: entry.sha256 for entry in chain.entries}
    for revision in checkpoints(home):
        with tempfile.TemporaryDirectory(prefix="fedml-verify-") as folder:
            try:
                position = unpack_checkpoint(home, revision, Path(folder) / "catalog.sqlite")
                if hashes.get(revision) == position.sha256:
                    continue
                why = "it is of another log"
            except OtherSchema:  # another version of fedml made it, and reads it
                continue
            except (OSError, EOFError, ValueError, sqlite3.Error, FedmlError) as error:
                why = str(error)
        what = f"the checkpoint of revision {revision} is passed over by every reader: {why}"
        mend = "delete it: the log says all that it would"
        problems.append(Problem("checkpoint-torn", home.url_of(checkpoint_key(revision)), what, mend))
    return problems


def _key(prefix: str, number: int) -> str:
    return f"{prefix}{number:020d}{_SUFFIX}"


def _numbers(home: Store, prefix: str, chain: Chain) -> set[int]:
    numbers: set[int] = set()
    for info in home.list(prefix):
        name = info.key.removeprefix(prefix).removesuffix(_SUFFIX)
        if name.isdecimal() and name.isascii() and int(name) > 0 and info.key == _key(prefix, int(name)):
            numbers.add(int(name))
        else:
            what = f"{info.key} is not an entry of the log; fedml never reads it"
            chain.problems.append(
                Problem("entry-stray", home.url_of(info.key), what, "look at who writes there, and delete it")
            )
    return numbers


def _link(home: Store, prefix: str, chain: Chain, entry: Entry, restore: str) -> None:
    before = chain.entries[-1] if chain.entries else None
    is_next = entry.number == (before.number + 1 if before else 1)
    if is_next and entry.previous != (before.sha256 if before else ""):
        what = (
            f"log entry {entry.number} doesn't chain: entry {entry.number - 1} isn't the one that it was written after"
        )
        mend = "find the one that was changed (fedml index verify on a machine that read it before), and " + restore
        chain.problems.append(Problem("chain-forked", home.url_of(_key(prefix, entry.number)), what, mend))
    chain.entries.append(entry)


def _compare(home: Store, chain: Chain, remembered: Mapping[int, str]) -> None:
    for entry in chain.entries:
        known = remembered.get(entry.number, entry.sha256)
        if known != entry.sha256:
            what = (
                f"log entry {entry.number} by {entry.author!r} is not the one that this machine read before ({known})"
            )
            chain.problems.append(Problem("entry-rewritten", home.url_of(entry_key(entry.number)), what, _RESTORE))
    newest = max(remembered, default=0)
    if newest > chain.last:
        what = f"the log ends at {chain.last}, and this machine has read {newest} entries of it before"
        mend = "restore them from the bucket's version history; else: fedml index rebuild --from-catalog"
        chain.problems.append(Problem("tail-missing", home.url_of(entry_key(chain.last + 1)), what, mend))
