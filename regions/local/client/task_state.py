"""Events and state words of one task go in, Nomad's TaskState JSON (`pending`, `running`, `dead`, times) comes out."""

from __future__ import annotations

import calendar
import time
from typing import Any

from regions.local.client import events


class TaskState:
    """One task's TaskState, `data`. Its event list is replaced, never changed, so that copies may share it."""

    __slots__ = ("data",)

    def __init__(self, data: dict[str, Any] | None = None) -> None:
        blank = {
            "State": "pending",
            "Failed": False,
            "Restarts": 0,
            "LastRestart": None,
            "StartedAt": None,
            "FinishedAt": None,
            "Events": [],
            "TaskHandle": None,
        }
        self.data: dict[str, Any] = blank | (data or {})

    @property
    def word(self) -> str:
        return str(self.data["State"])

    @property
    def started_ns(self) -> int:
        """When it last started, since the epoch; 0 if it never did."""
        return nanoseconds(self.data["StartedAt"])

    def add(self, event: dict[str, Any]) -> None:
        """Append an event (the last ten are kept); one that fails the task marks it failed."""
        if event["FailsTask"]:
            self.data["Failed"] = True
        if event["Type"] == "Restarting":
            self.data["Restarts"] += 1
            self.data["LastRestart"] = timestamp(event["Time"])
        self.data["Events"] = [*(self.data["Events"] or []), event][-events.MAX_EVENTS :]

    def become(self, word: str) -> None:
        """`pending`, `running` (start time set) or `dead` (end time set, the first time)."""
        if word == "running" and self.word != "running":
            self.data["StartedAt"] = timestamp(time.time_ns())
        if word == "dead" and self.data["FinishedAt"] is None:
            self.data["FinishedAt"] = timestamp(time.time_ns())
        self.data["State"] = word


def timestamp(ns: int) -> str:
    """Nanoseconds since the epoch as Go writes a time in JSON: `2026-11-24T21:03:28.763871957Z`."""
    seconds, rest = divmod(ns, 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{rest:09d}".rstrip("0").rstrip(".") + "Z"


def nanoseconds(text: str | None) -> int:
    """The inverse of `timestamp`; 0 for None."""
    if not text:
        return 0
    seconds, _, fraction = text.rstrip("Z").partition(".")
    whole = calendar.timegm(time.strptime(seconds, "%Y-%m-%dT%H:%M:%S"))
    return whole * 1_000_000_000 + int(fraction.ljust(9, "0") or 0)
