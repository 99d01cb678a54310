"""Formats a job diff of Nomad's API as `nomad plan` prints it: + added, - deleted, +/- edited."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jobs.edited_text import at_difference, beginning

SIGNS = {"Added": "+", "Deleted": "-", "Edited": "+/-"}


def diff_lines(diff: Mapping[str, Any]) -> Iterator[str]:
    """The lines of the whole job: its fields and blocks, then each group with its tasks."""
    if diff.get("ID") and diff.get("Type") in SIGNS:
        yield f'{SIGNS[diff["Type"]]} Job: "{diff["ID"]}"'
    yield from _inside(diff, "")
    for group in _changed(diff, "TaskGroups"):
        yield f'{SIGNS[group["Type"]]} Task Group: "{group.get("Name", "")}"{_updates(group)}'
        yield from _inside(group, "  ")
        for task in _changed(group, "Tasks"):
            yield f'  {SIGNS[task["Type"]]} Task: "{task.get("Name", "")}"{_notes(task)}'
            yield from _inside(task, "    ")


def _inside(block: Mapping[str, Any], indent: str) -> Iterator[str]:
    for field in _changed(block, "Fields"):
        old, new = str(field.get("Old") or ""), str(field.get("New") or "")
        pieces = at_difference(old, new) if field["Type"] == "Edited" else (beginning(new or old),)
        value = " => ".join(f'"{piece}"' for piece in pieces)
        yield f"{indent}{SIGNS[field['Type']]} {field['Name']}: {value}{_notes(field)}"
    for inner in _changed(block, "Objects"):
        yield f"{indent}{SIGNS[inner['Type']]} {inner.get('Name', '')} {{"
        yield from _inside(inner, indent + "  ")
        yield f"{indent}  }}"


def _changed(block: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    return (inner for inner in block.get(kind) or () if inner.get("Type") in SIGNS and not _is_hollow(inner))


def _is_hollow(block: Mapping[str, Any]) -> bool:
    """Whether a block is called edited but nothing in it differs: Nomad says so of `scaling`."""
    inner = ("Fields", "Objects", "Tasks")
    is_block = any(name in block for name in inner)
    return is_block and block["Type"] == "Edited" and not any(next(_changed(block, name), None) for name in inner)


def _notes(block: Mapping[str, Any]) -> str:
    notes = block.get("Annotations") or ()
    return f" ({', '.join(notes)})" if notes else ""


def _updates(group: Mapping[str, Any]) -> str:
    updates = [f"{count} {what}" for what, count in sorted((group.get("Updates") or {}).items())]
    return f" ({', '.join(updates)})" if updates else ""
