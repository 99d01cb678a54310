"""What clients of an index did and were told enters with the log that they wrote, everything that can't be leaves.

The log is the order that is claimed. It is held against a model of its own (dictionaries, none of the product's code): each
entry must be what its operation had to write there, each answer must be true at a place of the log, and places must grow with
real time: what was answered before another operation began, stands before it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

UNKNOWN = "unknown"
"""The answer of an operation whose process died or whose request was lost: it was done, or will be, or never."""
GAVE_UP = "gave up"
"""Told for certain that nothing was written."""


@dataclass
class Operation:
    """One call of a client. `began` and `ended` are on one clock; `told` is its answer, JSON-like. `id` is the reason that its
    entry has, if it wrote one; of an `open` its run tells."""

    id: str
    kind: str
    asked: dict[str, Any]
    began: float
    ended: float = float("inf")
    told: Any = UNKNOWN

    def __str__(self) -> str:
        return f"{self.kind} {self.id} {self.asked} → {self.told}"


@dataclass
class Model:
    """The index after some entries."""

    versions: dict[str, int] = field(default_factory=dict)
    winners: dict[int, str] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    retired: set[str] = field(default_factory=set)
    tags: dict[str, str] = field(default_factory=dict)

    def answer(self, kind: str, asked: Mapping[str, Any]) -> tuple[Any, list[tuple[Any, ...]]]:
        """What an operation has to be told here, and the changes that it has to write."""
        return getattr(self, f"_{kind}")(asked)  # type: ignore[no-any-return]

    def _add(self, asked: Mapping[str, Any]) -> tuple[Any, list[tuple[Any, ...]]]:
        told: dict[str, str] = {}
        changes: list[tuple[Any, ...]] = []
        won: set[int] = set()
        for alloc_id, slot in asked["results"]:
            if alloc_id in self.states:
                told[alloc_id] = "known"
                continue
            is_first = slot not in self.winners and slot not in won
            won.add(slot)
            told[alloc_id] = "added" if is_first else "superseded"
            changes.append(("add" if is_first else "supersede", alloc_id, slot))
        return told, changes

    def _open(self, asked: Mapping[str, Any]) -> tuple[Any, list[tuple[Any, ...]]]:
        run = asked["run"]
        if run in self.versions:
            return self.versions[run], []
        version = max(self.versions.values(), default=0) + 1
        return version, [("open", run, version)]

    def _tag(self, asked: Mapping[str, Any]) -> tuple[Any, list[tuple[Any, ...]]]:
        name, alloc_id, expected = asked["name"], asked["alloc_id"], asked["if_current"]
        now = self.tags.get(name, "")
        if alloc_id not in self.states or (expected and expected not in self.states):
            return "refused", []
        if now == alloc_id:
            return now, []
        if expected not in (None, now):
            return "moved", []
        if alloc_id in self.retired:
            return "refused", []
        return now, [("tag", name, alloc_id)]

    def _retire(self, asked: Mapping[str, Any]) -> tuple[Any, list[tuple[Any, ...]]]:
        alloc_id = asked["alloc_id"]
        if alloc_id not in self.states or alloc_id in self.tags.values():
            return "refused", []
        return "done", [] if alloc_id in self.retired else [("retire", alloc_id)]

    def _read(self, asked: Mapping[str, Any]) -> tuple[Any, list[tuple[Any, ...]]]:
        states = {one: "retired" if one in self.retired else state for one, state in self.states.items()}
        return {"states": states, "tags": dict(self.tags)}, []

    def follow(self, change: Mapping[str, Any]) -> tuple[Any, ...]:
        """Take in a change of the log; the same as `answer` would have it written."""
        match change["type"]:
            case "add" | "supersede" as kind:
                alloc_id, slot = change["record"]["alloc_id"], change["record"]["key"]["slot"]
                if kind == "add":
                    self.winners.setdefault(slot, alloc_id)
                self.states[alloc_id] = {"add": "committed", "supersede": "superseded"}[kind]
                return kind, alloc_id, slot
            case "open":
                self.versions[change["run"]] = int(change["version"])
                return "open", change["run"], int(change["version"])
            case "tag":
                self.tags[change["name"]] = change["alloc_id"]
                return "tag", change["name"], change["alloc_id"]
            case "retire":
                self.retired.add(change["alloc_id"])
                return "retire", change["alloc_id"]
        return (change["type"],)


def problems(history: Sequence[Operation], entries: Sequence[Any]) -> list[str]:
    """All that can't be; empty for a history that some order explains. `entries` are the log's (number, reason, changes)."""
    found: list[str] = []
    ordered = sorted(history, key=lambda one: one.began)
    writers = _writers(ordered, entries, found)
    wrote = {id(one): number for number, one in writers.items()}
    quiet = [one for one in ordered if id(one) not in wrote and one.told not in (UNKNOWN, GAVE_UP)]
    places: dict[int, list[int]] = defaultdict(list)
    model = Model()
    for number in range(len(entries) + 1):
        if number:
            entry, writer = entries[number - 1], writers.get(number)
            told, expected = model.answer(writer.kind, writer.asked) if writer else (None, [])
            written = [model.follow(change) for change in entry.changes]
            if written != expected:
                found.append(f"entry {number} holds {written}, and {writer} had to write {expected}")
            if writer and writer.told not in (UNKNOWN, told):
                found.append(f"{writer} was told that, and entry {number} makes it {told}")
        for one in quiet:
            told, changes = model.answer(one.kind, one.asked)
            is_then = one.kind != "read" or one.asked["revision"] == number
            if is_then and not changes and told == one.told:
                places[id(one)].append(number)
    found += _out_of_order(ordered, wrote, places, quiet)
    return found


def _writers(ordered: Sequence[Operation], entries: Sequence[Any], found: list[str]) -> dict[int, Operation]:
    """Which operation wrote which entry."""
    by_reason = {one.id: one for one in ordered if one.kind != "open"}
    by_run: dict[str, Operation] = {}
    for one in ordered:
        if one.kind == "open" and one.told != GAVE_UP:
            by_run.setdefault(f"run {one.asked['run']}", one)  # whoever came first: later ones found it there
    writers: dict[int, Operation] = {}
    seen: set[int] = set()
    for number, entry in enumerate(entries, start=1):
        writer = by_reason.get(entry.reason) or by_run.get(entry.reason)
        if entry.number != number:
            found.append(f"entry {entry.number} stands at {number}")
        if writer is None:
            found.append(f"nobody wrote entry {number} ({entry.reason})")
            continue
        if id(writer) in seen:
            found.append(f"{writer} wrote twice, in entry {number} again")
        if writer.told == GAVE_UP:
            found.append(f"{writer} wrote entry {number}")
        seen.add(id(writer))
        writers[number] = writer
    return writers


def _out_of_order(
    ordered: Sequence[Operation],
    wrote: Mapping[int, int],
    places: Mapping[int, Sequence[int]],
    quiet: Sequence[Operation],
) -> list[str]:
    """Operations that have no place at or after all that was answered before they began."""
    found: list[str] = []
    is_quiet = {id(one) for one in quiet}
    placed: list[tuple[float, int]] = []
    for one in ordered:
        low = max((place for ended, place in placed if ended < one.began), default=-1)
        if id(one) in wrote:
            place = wrote[id(one)]
            if place <= low:
                found.append(f"{one} wrote entry {place}, and began after what was true at {low}")
        elif id(one) in is_quiet:
            later = [place for place in places[id(one)] if place >= low]
            if not later:
                found.append(f"{one}: true nowhere after {low} (true at {list(places[id(one)])})")
                continue
            place = min(later)
        else:
            continue
        placed.append((one.ended, place))
    return found
