"""Keeps Nomad's TaskState JSON of one task: state (`pending`, `running`, `dead`), times and events."""

from __future__ import annotations

import time
from typing import Any

from regions.local.client import events
from regions.local.state.times import format_time, parse_time


class TaskState:
    """One task's TaskState in `data`. Its event list is replaced, never changed, so that copies may share it."""

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
    def last_message(self) -> str:
        """Message of its last event."""
        return str(self.data["Events"][-1]["DisplayMessage"]) if self.data["Events"] else ""

    @property
    def started_ns(self) -> int:
        """Time of its last start since the epoch, 0 if it never started."""
        return parse_time(self.data["StartedAt"]) if self.data["StartedAt"] else 0

    def add(self, event: dict[str, Any]) -> None:
        """Appends an event (keeps the last ten). An event that fails the task marks it as failed."""
        if event["FailsTask"]:
            self.data["Failed"] = True
        if event["Type"] == "Restarting":
            self.data["Restarts"] += 1
            self.data["LastRestart"] = format_time(event["Time"])
        self.data["Events"] = [*(self.data["Events"] or []), event][-events.MAX_EVENTS :]

    def become(self, word: str) -> None:
        """Sets the state: `pending`, `running` (sets the start time) or `dead` (sets the end time once)."""
        if word == "running" and self.word != "running":
            self.data["StartedAt"] = format_time(time.time_ns())
        if word == "dead" and self.data["FinishedAt"] is None:
            self.data["FinishedAt"] = format_time(time.time_ns())
        self.data["State"] = word
