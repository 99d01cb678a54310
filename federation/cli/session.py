"""What every command does around its work: load the project, show its warnings once, give connections back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federation.streams import write_block, write_line, write_note
from federation.visible import visible_json

if TYPE_CHECKING:
    from federation.app import App


@contextmanager
def opened(config: Path | None) -> Iterator[App]:
    """The project's App, closed at the end. Raises ConfigError."""
    from federation.app import App
    from federation.config.load import load

    loaded = load(config)
    for warning in loaded.warnings:
        note(f"Warning: {warning}")
    app = App(loaded)
    try:
        yield app
    finally:
        app.close()


def note(text: str) -> None:
    """A line for the person, on stderr."""
    write_note(text)


def answer(*lines: str) -> None:
    """Lines of data, on stdout; a line feed inside one is shown as an escape."""
    for line in lines:
        write_line(line)


def answer_block(text: str) -> None:
    """A text of several lines, on stdout, whose fields were made one line each."""
    write_block(text)


def answer_json(document: Any) -> None:
    """One JSON document on stdout."""
    write_block(visible_json(json.dumps(document, indent=2, ensure_ascii=False, default=str)))


def answer_json_rows(head: dict[str, Any], name: str, rows: Sequence[Any]) -> None:
    """One JSON document on stdout: `head`, then under `name` one row a line, for documents of thousands of rows (json's own
    indentation takes four times as long)."""
    start = json.dumps(head, ensure_ascii=False)[:-1] + (", " if head else "") + json.dumps(name) + ": ["
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, default=str) for row in rows)
    write_block(visible_json(f"{start}\n{lines}\n]}}" if rows else f"{start}]}}"))


def answer_json_line(document: Any) -> None:
    """One of several JSON documents on stdout, each on a line of its own."""
    write_block(visible_json(json.dumps(document, ensure_ascii=False, default=str)))
