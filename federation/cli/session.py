"""What every command does around its work: load the project, show its warnings once, give connections back."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from federation.app import App


@contextmanager
def opened(config: Path | None) -> Iterator[App]:
    """The project's App, closed at the end. Raises ConfigError."""
    from federation.app import App
    from federation.config import load

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
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def answer(text: str) -> None:
    """A line of data, on stdout."""
    print(text, flush=True)  # noqa: T201


def answer_json(document: Any) -> None:
    """One JSON document on stdout."""
    answer(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def answer_json_rows(head: dict[str, Any], name: str, rows: Sequence[Any]) -> None:
    """One JSON document on stdout: `head`, then under `name` one row a line, for documents of thousands of rows (json's own
    indentation takes four times as long)."""
    start = json.dumps(head, ensure_ascii=False)[:-1] + (", " if head else "") + json.dumps(name) + ": ["
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, default=str) for row in rows)
    answer(f"{start}\n{lines}\n]}}" if rows else f"{start}]}}")


def answer_json_line(document: Any) -> None:
    """One of several JSON documents on stdout, each on a line of its own."""
    answer(json.dumps(document, ensure_ascii=False, default=str))
