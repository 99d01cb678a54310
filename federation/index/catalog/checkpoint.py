"""Packs a catalog into one object of the home store, from which a new machine starts, and unpacks it.

`index/checkpoints/{revision:020d}.sqlite.gz` is the local catalog itself, packed (gzip: its checksum and length tell a torn
one). Only committing processes write them, after an entry whose number `is_due`. A checkpoint only
saves time: one that is damaged, of another schema or of another log is skipped with a warning.
"""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from federation.index.catalog.catalog import SCHEMA, Catalog
from federation.log import Position
from jobs.errors import FedmlError
from regions.storage.errors import NotFound, PermissionDenied, StoreError
from regions.storage.store import Store

CHECKPOINT_PREFIX = "index/checkpoints/"
CHECKPOINTS_KEPT = 3

_SUFFIX = ".sqlite.gz"
_STEP_MIN = 64
_SHARE = 64
_LEVEL = 1
"""A tenth larger than the usual 6, in two fifths of the time: the process that commits waits for it."""
_CHUNK_BYTES = 1 << 20
_UNPACKED_BYTES_MAX = 64 << 30
"""Ten times what a catalog of ten million results takes; a few megabytes can be packed from more."""
_DEFINED = "SELECT type, name, tbl_name, sql FROM sqlite_master"
_log = logging.getLogger(__name__)


def is_due(number: int) -> bool:
    """Whether the entry of this number is followed by a checkpoint: each 64th, and ever more seldom, so that the tail to be
    read stays below a 64th of the log, and what all checkpoints together cost grows with it only."""
    step = _STEP_MIN
    while step * _SHARE * 2 <= number:
        step *= 2
    return number > 0 and number % step == 0


def checkpoint_key(revision: int) -> str:
    """Where the checkpoint of that revision lies."""
    return f"{CHECKPOINT_PREFIX}{revision:020d}{_SUFFIX}"


def write_checkpoint(home: Store, catalog: Path | None) -> str:
    """Pack the catalog in that file and put it into the home; older ones are removed but for the newest three. Gives why
    that wasn't done, empty when it was. The object is there whole or not there."""
    if catalog is None:
        return "there is no catalog file to take it from"
    try:
        with tempfile.TemporaryDirectory(prefix="fedml-checkpoint-") as folder:
            copy, packed = Path(folder) / "catalog.sqlite", Path(folder) / "packed.gz"
            with closing(sqlite3.connect(f"{catalog.resolve().as_uri()}?mode=ro", uri=True)) as db:
                db.execute("VACUUM INTO ?", (str(copy),))
            position = catalog_position(copy)
            with copy.open("rb") as source, gzip.open(packed, "wb", compresslevel=_LEVEL) as target:
                shutil.copyfileobj(source, target, _CHUNK_BYTES)
            home.put_file(checkpoint_key(position.number), packed, content_type="application/gzip")
        for old in checkpoints(home)[CHECKPOINTS_KEPT:]:
            home.delete(checkpoint_key(old))
    except (OSError, sqlite3.Error, FedmlError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def checkpoints(home: Store) -> list[int]:
    """Revisions that have a checkpoint, newest first. Raises the store's errors."""
    names = (info.key.removeprefix(CHECKPOINT_PREFIX).removesuffix(_SUFFIX) for info in home.list(CHECKPOINT_PREFIX))
    return sorted((int(name) for name in names if name.isascii() and name.isdecimal()), reverse=True)


def restore_checkpoint(home: Store, path: Path, *, is_of_this_log: Callable[[Position], bool]) -> Position:
    """Unpack the newest usable checkpoint into `path` (which is not there yet), and give where it stands; Position() and no
    file where there is none. A warning is logged for each that was skipped. The file appears whole."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        found = checkpoints(home)
    except (OSError, StoreError):  # no folder to have it in, or a reader that may not list: the log is read by number
        return Position()
    for revision in found[:CHECKPOINTS_KEPT]:
        try:
            with tempfile.TemporaryDirectory(prefix=".fedml-checkpoint-", dir=path.parent) as folder:
                unpacked = Path(folder) / "catalog.sqlite"
                position = unpack_checkpoint(home, revision, unpacked)
                if not is_of_this_log(position):
                    raise ValueError("it is of another log")
                with suppress(FileExistsError):  # another process was faster; what it has is brought up to date
                    os.link(unpacked, path)
                return position
        except (PermissionDenied, NotFound):
            continue
        except (OSError, EOFError, ValueError, sqlite3.Error, FedmlError) as error:
            _log.warning("Warning: checkpoint %s is passed over: %s", home.url_of(checkpoint_key(revision)), error)
    return Position()


class OtherSchema(ValueError):
    """A catalog of another version of fedml, which that version can use."""


def unpack_checkpoint(home: Store, revision: int, path: Path) -> Position:
    """The checkpoint's catalog as a file at `path`, and where it stands. Raises OSError, EOFError, ValueError,
    sqlite3.Error or the store's errors for one that can't be used."""
    packed = path.with_name(path.name + ".gz")
    home.get_file(checkpoint_key(revision), packed)
    try:
        with gzip.open(packed, "rb") as source, path.open("wb") as target:
            while chunk := source.read(_CHUNK_BYTES):
                target.write(chunk)
                if target.tell() > _UNPACKED_BYTES_MAX:
                    raise ValueError(f"it unpacks to more than {_UNPACKED_BYTES_MAX:,} bytes")
    except zlib.error as error:
        raise ValueError(f"it is damaged ({error})") from error
    check_catalog(path)
    position = catalog_position(path)
    if position.number != revision:
        raise ValueError(f"it says that it is of revision {position.number}")
    return position


def catalog_position(path: Path) -> Position:
    """Where the catalog in that file stands. Raises sqlite3.Error or ValueError for one that can't be used."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
        (schema,) = db.execute("PRAGMA user_version").fetchone()
        if schema != SCHEMA:
            raise OtherSchema(f"its schema is {schema}, and this fedml's {SCHEMA}")
        found = db.execute("SELECT number, sha256, time FROM position").fetchone()
        if found is None:
            raise ValueError("it has no position")
        number, sha256, time = found
        if not (isinstance(number, int) and isinstance(sha256, str) and isinstance(time, str)):
            raise ValueError("its position isn't one")
        return Position(number, sha256, time)


def check_catalog(path: Path) -> None:
    """Looks at a database that somebody else may have made. Raises ValueError or sqlite3.Error where it is damaged, or
    defines anything else than a catalog does: a view or trigger would run in every question to it."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db, closing(Catalog(None)) as ours:
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("PRAGMA cell_size_check = ON")
        if db.execute("PRAGMA user_version").fetchone() != (SCHEMA,):
            return  # of another fedml: its caller refuses it
        if set(db.execute(_DEFINED)) != set(ours.table(_DEFINED)):
            raise ValueError("it defines something else than a catalog does")
        (problem,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if problem != "ok":
            raise ValueError(f"it is damaged ({problem})")
