"""Remembers which local catalog belongs to a home store, and when it was last up to date: for answers without the store, and
to notice that the store lost its index.

Only the store knows the id of its home. So the cache folder keeps the id by URL, in a small file whose time is that of the
last look.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from federation.log import timestamp

_SUFFIX = ".home"


class LastSync(NamedTuple):
    """A home's id, and when it was looked at last (RFC 3339); its store's URL and its federation, where they are known."""

    home_id: str
    when: str
    url: str = ""
    federation: str = ""


def note_sync(cache_dir: Path, url: str, home_id: str, federation: str = "") -> None:
    """Note that the catalog of that home is up to date with the store now. A file that can't be written is no error."""
    path = _path(cache_dir, url)
    text = "\n".join((home_id, url, federation))
    try:
        if path.exists() and path.read_text() == text:
            os.utime(path)
        else:
            path.write_text(text)
    except OSError:
        return


def forget_sync(cache_dir: Path, url: str) -> None:
    """Note that nothing is known of the home at that URL any more. A file that can't be removed is no error."""
    with suppress(OSError):
        _path(cache_dir, url).unlink(missing_ok=True)


def last_sync(cache_dir: Path, url: str) -> LastSync | None:
    """Returns what was noted about the home at that URL; None if nothing was."""
    return _read(_path(cache_dir, url))


def homes_of(cache_dir: Path, federation: str) -> Iterator[LastSync]:
    """The homes that this machine knows of a federation, the one that was read last first. One that moved is given once,
    where it was read last."""
    read = [seen for path in (cache_dir / "index").glob(f"*{_SUFFIX}") if (seen := _read(path)) is not None]
    given: set[str] = set()
    for seen in sorted(read, key=lambda seen: (seen.when, seen.url), reverse=True):
        if seen.url and seen.federation == federation and seen.home_id not in given:
            given.add(seen.home_id)
            yield seen


def _read(path: Path) -> LastSync | None:
    try:
        home_id, url, federation, *_ = [*path.read_text().split("\n"), "", ""]
        moment = path.stat().st_mtime
    except (OSError, ValueError):
        return None
    when = timestamp(datetime.fromtimestamp(moment, UTC))
    return LastSync(home_id, when, url, federation) if home_id.isalnum() else None


def _path(cache_dir: Path, url: str) -> Path:
    return cache_dir / "index" / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}{_SUFFIX}"
