"""A home store's URL enters, which catalog is its own here and when it was last in step leaves: for answers without the store.

The store alone knows its home's id. So the cache folder keeps it by URL, in a small file whose time is that of the last
look. It may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from federation.log import timestamp


class Seen(NamedTuple):
    """A home's id, and when it was looked at last (RFC 3339)."""

    home_id: str
    when: str


def saw(cache_dir: Path, url: str, home_id: str) -> None:
    """The catalog of that home is in step with the store now. Where that can't be noted, it isn't."""
    path = _path(cache_dir, url)
    try:
        if path.exists() and path.read_text() == home_id:
            os.utime(path)
        else:
            path.write_text(home_id)
    except OSError:
        return


def last_seen(cache_dir: Path, url: str) -> Seen | None:
    """What is known of that home; None where nothing is."""
    path = _path(cache_dir, url)
    try:
        home_id, moment = path.read_text(), path.stat().st_mtime
    except (OSError, ValueError):
        return None
    return Seen(home_id, timestamp(datetime.fromtimestamp(moment, UTC))) if home_id.isalnum() else None


def _path(cache_dir: Path, url: str) -> Path:
    return cache_dir / "index" / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.home"
