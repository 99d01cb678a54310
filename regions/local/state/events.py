"""Makes the event stream's events from commits: a finite buffer that any number of followers read at their own pace."""

from __future__ import annotations

import threading
from base64 import b64decode, b64encode
from collections import deque
from typing import Any

from regions.local.state.snapshot import Record
from regions.local.state.transaction import Change

_TOPICS = {"jobs": "Job", "evals": "Evaluation", "allocs": "Allocation", "nodes": "Node"}
Topics = dict[str, set[str]]
"""Topic → keys; `*` stands for all topics, or all keys of a topic."""


class EventsLost(Exception):
    """The follower can't go on. In Nomad's words: the buffer dropped unread events, or the log was closed."""


class EventLog:
    """Buffer of the last `size` commits that made events."""

    def __init__(self, size: int) -> None:
        self._batches: deque[tuple[int, int, list[Record]]] = deque(maxlen=size)
        self._next = 0
        self._changed = threading.Condition()
        self._is_closed = False

    def publish(self, index: int, kind: str, changes: list[Change]) -> None:
        events = [
            _event(index, kind, _TOPICS[table], new)
            for table, _, _, new in _last_of_each(changes, kind)
            if table in _TOPICS and new is not None  # Nomad says nothing of what is forgotten
        ]
        if events:
            with self._changed:
                self._batches.append((self._next, index, events))
                self._next += 1
                self._changed.notify_all()

    def close(self) -> None:
        """Ends every follower."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def position(self, index: int) -> int:
        """Returns the position of a follower that has seen everything before `index` (0: the start of the buffer). An
        `index` in the future gives the newest commit, as with Nomad."""
        with self._changed:
            for number, at, _ in self._batches:
                if at >= index:
                    return number
            return max(0, self._next - 1)

    def begin(self, index: int) -> tuple[int, list[tuple[int, list[Record]]]]:
        """Returns what a new follower from `index` on reads first, in one step, so that a full buffer can't drop its
        oldest events in between. Raises EventsLost."""
        with self._changed:
            return self.read(self.position(index), 0)

    def read(self, position: int, timeout_s: float) -> tuple[int, list[tuple[int, list[Record]]]]:
        """Returns the next position and the events since `position`; none after `timeout_s`. Raises EventsLost."""
        with self._changed:
            if position >= self._next and not self._is_closed:
                self._changed.wait(timeout_s)
            if self._is_closed:
                raise EventsLost("subscription closed by server, client should resubscribe")
            if not self._batches or position >= self._next:
                return position, []
            first = self._batches[0][0]
            if position < first:
                raise EventsLost("event dropped from buffer")
            fresh = [(index, events) for number, index, events in self._batches if number >= position]
            return self._next, fresh


def wanted(event: Record, topics: Topics, namespace: str) -> bool:
    """Returns whether a follower of these topics and namespace (`*`: all) gets the event."""
    if event["Namespace"] and namespace not in ("*", event["Namespace"]):
        return False
    keys: set[str] = topics.get(event["Topic"], set()) | topics.get("*", set())
    return "*" in keys or event["Key"] in keys or any(key in keys for key in event["FilterKeys"] or ())


def _last_of_each(changes: list[Change], kind: str) -> list[Change]:
    """Returns one change per object. A job's change comes before its consequences, its mere status after them."""
    latest: dict[tuple[str, Any], Change] = {}
    for change in changes:
        latest[change[0], change[1]] = change
    order = {"evals": 1, "allocs": 2, "jobs": 0 if kind.startswith("Job") else 3, "nodes": 4}
    return sorted(latest.values(), key=lambda change: order.get(change[0], 9))


def _event(index: int, kind: str, topic: str, record: Record | None) -> Record:
    assert record is not None
    keys = [record["JobID"], ""] if topic in ("Evaluation", "Allocation") else None
    payload = record
    if topic == "Allocation":
        payload = {field: value for field, value in record.items() if field != "Job"}
    elif topic == "Job":
        payload = {**record, "Payload": _snappy(record["Payload"]) if record["Dispatched"] else None}
    return {
        "Topic": topic,
        "Type": kind,
        "Key": record["ID"],
        "Namespace": record.get("Namespace", ""),
        "FilterKeys": keys,
        "Index": index,
        "Payload": {topic: payload},
    }


def _snappy(payload: str | None) -> str:
    """Encodes a payload as the event stream shows it: in Snappy's block format, here as one literal."""
    data = b64decode(payload or "")
    size = len(data)
    head = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14]) if size > 0x3FFF else b""
    head = head or (bytes([size & 0x7F | 0x80, size >> 7]) if size > 0x7F else bytes([size]))
    if size:
        last = size - 1
        head += bytes([last << 2]) if last < 60 else bytes([61 << 2, last & 0xFF, last >> 8])
    return b64encode(head + data).decode()
