"""Keeps changes as numbered entries: an append-only log in an object store, without any server.

Entries are objects `{prefix}{number:020d}.json` with dense numbers from 1. Appending creates the next number; if it is
taken, the writer reads on and tries again. Reading gets number + 1, + 2 … until not found; no listing is needed.

What holds (every reader sees the same entries in the same order, and an appended entry stays for ever) rests on three
promises of the store:

1. create-if-absent is atomic: of many writers that create one key, exactly one succeeds;
2. what was created is read back by anyone, whole (late at worst: a stale "not found" costs freshness, never
   correctness, since the append that follows is refused);
3. nothing else writes or deletes under the prefix.

Each entry holds the hash of the one before, so that everyone who reads past a changed, lost or forged entry sees it.
"""

from federation.log.entry import (
    ENTRY_BYTES_READ_MAX,
    LOG_FORMAT,
    Change,
    Entry,
    Position,
    timestamp,
    utc_now,
)
from federation.log.log import CLOCK_SKEW_MAX_S, Log, default_author, look_again

__all__ = [
    "CLOCK_SKEW_MAX_S",
    "ENTRY_BYTES_READ_MAX",
    "LOG_FORMAT",
    "Change",
    "Entry",
    "Log",
    "Position",
    "default_author",
    "look_again",
    "timestamp",
    "utc_now",
]
