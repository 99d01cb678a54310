"""Reads the commits, tags and retirements of new revisions, one event at a time, under a name that keeps its place.

The cursor of a name (`index/watch/{name}.json`, the newest revision that was dealt with) lies in the home store. The next
process under that name begins after it. Delivery is at least once: the cursor moves when all events of a revision were
dealt with, so they are repeated after a process died in between. Commits don't wait for watchers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from federation.errors import IndexCorrupt
from federation.index.catalog.changes import RECORD_CHANGES
from federation.index.catalog.history import Revision
from federation.index.validation import checked_tag
from jobs.errors import ForeignTextError
from jobs.foreign import Members, parse_json
from jobs.frozen import frozen
from regions.storage.errors import NotFound, TooLarge, Unavailable
from regions.storage.store import Store

WATCH_PREFIX = "index/watch/"
_CURSOR_BYTES_MAX = 65_536

_KINDS = {**dict.fromkeys(RECORD_CHANGES, "commit"), "tag": "tag", "untag": "tag", "retire": "retire"}


class Followed(Protocol):
    """The part of an index that a cursor reads."""

    def log(self, *, after: int = 0, limit: int | None = None) -> list[Revision]: ...


@frozen
class Event:
    """Something that happened to a result: `kind` is commit, tag or retire. `document` is all of it, JSON-ready: event,
    revision, time, author, reason, and what the change says (`alloc_id`, for a tag `tag` and `previous`, …)."""

    kind: str
    document: dict[str, Any]


class Watcher:
    """One watcher of that name. Raises UsageError for a name that isn't valid, IndexCorrupt for a damaged cursor."""

    def __init__(self, index: Followed, home: Store, name: str) -> None:
        self._index = index
        self._home = home
        self._key = f"{WATCH_PREFIX}{checked_tag(name)}.json"

    def begin(self, after: int | None = None) -> int:
        """The revision after which it goes on: `after`, else its cursor, else (the first time) the newest there is. The
        cursor is there afterwards."""
        head = max((one.number for one in self._index.log(limit=1)), default=0)
        found = self._cursor() if after is None else after
        start = head if found is None else min(found, head)
        self.advance(start)
        return start

    def follow(
        self,
        after: int,
        *,
        pause: Callable[[], object] | None,
        unreachable: Callable[[Unavailable], object] = lambda error: None,
    ) -> Iterator[tuple[Revision, list[Event]]]:
        """Every revision after that one with its events. Between two looks it pauses; without a pause it ends where there
        is nothing new. `unreachable` gets the error of a home store that doesn't answer; it is asked again after a pause."""
        while True:
            entries: list[Revision] = []
            try:
                entries = self._index.log(after=after)
            except Unavailable as error:
                if pause is None:
                    raise
                unreachable(error)
            for entry in entries:
                yield entry, events(entry)
                after = entry.number
            if pause is None:
                return
            pause()

    def advance(self, revision: int) -> None:
        """Everything up to that revision was dealt with."""
        document = json.dumps({"format": 1, "revision": revision}).encode()
        self._home.put(self._key, document, content_type="application/json")

    def _cursor(self) -> int | None:
        try:
            where = self._home.url_of(self._key)
            data = self._home.get_small(self._key, limit_bytes=_CURSOR_BYTES_MAX)
            return Members(parse_json(data, source=where), source=where).whole("revision")
        except NotFound:
            return None
        except (ForeignTextError, TooLarge) as error:
            raise IndexCorrupt(
                f"the cursor {self._home.url_of(self._key)} is not what fedml wrote",
                hint="say where to begin: fedml index watch --after REVISION",
            ) from error


def events(entry: Revision) -> list[Event]:
    """Returns the events of a revision in order; none for a revision that `rebuild` wrote, since they were reported before."""
    if any(change["type"] == "rebuild" for change in entry.changes):
        return []
    found: list[Event] = []
    for change in entry.changes:
        kind = _KINDS.get(change["type"])
        if kind is None:
            continue
        document: dict[str, Any] = {"event": f"index_{kind}", "revision": entry.number, "time": entry.time}
        document |= {"author": entry.author, "reason": entry.reason}
        document |= {name: value for name, value in change.items() if name not in ("type", "name", "depth", "rollback")}
        match kind:
            case "commit":
                document["state"] = RECORD_CHANGES[change["type"]]
            case "tag":
                document |= {"tag": change["name"], "alloc_id": change.get("alloc_id", "")}
                document["is_rollback"] = bool(change.get("rollback"))
            case "retire":
                document["is_undone"] = bool(document.pop("undo", False))
        found.append(Event(kind, document))
    return found
