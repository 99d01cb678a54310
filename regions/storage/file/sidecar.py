"""Etags of stored files, and the file beside each that holds what is noted about that version of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from glob import escape
from pathlib import Path
from typing import Any

from jobs.errors import ForeignTextError
from jobs.foreign import parse_object
from regions.storage.errors import Unavailable
from regions.storage.file.layout import META_FOLDER
from regions.storage.file.localfs import remove_quietly

_TRIES = 16


def etag_of(status: os.stat_result) -> str:
    """Size and time of change: drawn by `write_note`, so that two versions of one object never share it."""
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def modified_of(status: os.stat_result) -> datetime:
    """When the file was written, by the file system's clock, in UTC."""
    return datetime.fromtimestamp(status.st_mtime, UTC)


def sidecar_of(target: Path, etag: str) -> Path:
    """The file of the note about that version."""
    return target.parent / META_FOLDER / f"{target.name}~{etag}"


def write_note(file: int, target: Path, note: dict[str, Any]) -> tuple[os.stat_result, Path]:
    """Gives the written, still unnamed file an etag that no other version of the target has, and writes its note.

    Gives the file's final status and the sidecar. Raises OSError, with no sidecar left.
    """
    written = os.fstat(file).st_mtime_ns // 1_000_000 * 1_000_000
    for attempt in range(_TRIES):
        drawn = written + attempt * 1_000_000_000 + int.from_bytes(os.urandom(8), "big") % 1_000_000
        os.utime(file, ns=(drawn, drawn))
        status = os.fstat(file)
        sidecar = sidecar_of(target, etag_of(status))
        try:
            with sidecar.open("x", encoding="utf-8") as text:
                json.dump(note, text, ensure_ascii=False)
        except FileExistsError:
            continue
        except OSError:
            remove_quietly(sidecar)
            raise
        return status, sidecar
    raise Unavailable(f"no free etag for {target.name}", key=target.name)


def read_note(sidecar: Path) -> dict[str, Any] | None:
    """What is noted of that version; None for one that wasn't written by fedml, or whose note was torn by a crash."""
    try:
        note = parse_object(sidecar.read_bytes(), source=str(sidecar))
    except (OSError, ForeignTextError):
        return None
    return note if isinstance(note.get("sha256"), str) else None


def notes_of_other_versions(target: Path) -> Iterator[dict[str, Any]]:
    """Every note about the target, for a version that has no note of its own."""
    with suppress(FileNotFoundError):
        for sidecar in (target.parent / META_FOLDER).glob(f"{escape(target.name)}~*"):
            note = read_note(sidecar)
            if note is not None:
                yield note
