"""Remembers which local catalog belongs to a home store, and when it was last up to date, for answers without the store.

Only the store knows the id of its home. So the cache folder keeps the id by URL, in a small file whose time is that of the
last look. The file may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from federation.log import timestamp


class LastSync(NamedTuple):
    """A home's id, and when it was looked at last (RFC 3339)."""

    home_id: str
    when: str


def note_sync(cache_dir: Path, url: str, home_id: str) -> None:
    """Note that the catalog of that home is up to date with the store now. A file that can't be written is no error."""
    path = _path(cache_dir, url)
    try:
        if path.exists() and path.read_text() == home_id:
            os.utime(path)
        else:
            path.write_text(home_id)
    except OSError:
        return


def last_sync(cache_dir: Path, url: str) -> LastSync | None:
    """What is known of that home; None where nothing is."""
    path = _path(cache_dir, url)
    try:
        home_id, moment = path.read_text(), path.stat().st_mtime
    except (OSError, ValueError):
        return None
    return LastSync(home_id, timestamp(datetime.fromtimestamp(moment, UTC))) if home_id.isalnum() else None


def _path(cache_dir: Path, url: str) -> Path:
    return cache_dir / "index" / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.home"
