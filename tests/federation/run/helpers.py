"""What tests of runs share."""

from __future__ import annotations

from federation.run.kept_logs import KeptAttempt, kept_keys, read_kept
from regions.storage.store import Store


def histories(home: Store, run: str) -> list[KeptAttempt]:
    """The attempts whose history is kept, and whose output isn't."""
    return [one for key in kept_keys(home, run) if "/histories/" in key for one in read_kept(home, key)]
