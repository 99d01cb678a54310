"""Opens the project for a command, closes it again, and prints answers and notes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federation.output.json_document import versioned
from federation.output.streams import is_quiet, write_block, write_json, write_line, write_note

if TYPE_CHECKING:
    from federation.app import App


@contextmanager
def opened(config: Path | None) -> Iterator[App]:
    """Opens the project's App, prints its warnings and closes it at the end. Raises ConfigError."""
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
    """Prints one line for the user on standard error. `-q` leaves it out."""
    if not is_quiet():
        write_note(text)


def answer(*lines: str) -> None:
    """Prints lines of data on standard output. A line feed inside a line is shown as an escape."""
    for line in lines:
        write_line(line)


def answer_block(text: str) -> None:
    """Prints a text of several lines on standard output. Its fields must be one line each."""
    write_block(text)


def answer_json(document: Mapping[str, Any]) -> None:
    """Prints one JSON document on standard output."""
    answer_foreign_json(versioned(document))


def answer_foreign_json(document: Any) -> None:
    """Prints JSON in a form that is not fedml's, such as a job for Nomad."""
    write_json(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def answer_json_rows(head: dict[str, Any], name: str, rows: Sequence[Any]) -> None:
    """Prints one JSON document on standard output: `head`, then under `name` one row on each line.

    For documents of thousands of rows: indentation by `json` takes four times as long.
    """
    start = json.dumps(versioned(head), ensure_ascii=False)[:-1] + ", " + json.dumps(name) + ": ["
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, default=str) for row in rows)
    write_json(f"{start}\n{lines}\n]}}" if rows else f"{start}]}}")


def answer_json_line(document: Mapping[str, Any]) -> None:
    """Prints one of several JSON documents on standard output, on one line."""
    write_json(json.dumps(versioned(document), ensure_ascii=False, default=str))


def is_agreed(question: str) -> bool:
    """Asks on a terminal, the default is no. Elsewhere nobody can be asked, and nothing is agreed."""
    import sys

    import typer

    can_ask = sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
    return can_ask and typer.confirm(question, err=True)
