"""Writes the index's results to a file, and imports results from one (`fedml index export`, `fedml index import`)."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from federation.app import App
from federation.errors import FederationError, UsageError
from federation.index.maintenance.export import Format, Imported, export, import_results


def format_of(name: str, file: Path | None) -> Format:
    """The format that `--format` names, else the end of the file's name; JSON Lines without either. Raises UsageError."""
    if not name and file is not None:
        name = file.suffix.removeprefix(".")
        if name not in ("jsonl", "csv"):
            raise UsageError(f"{file}: its name doesn't say what it holds", hint="add --format jsonl or --format csv")
    match name:
        case "jsonl" | "":
            return "jsonl"
        case "csv":
            return "csv"
    raise UsageError(f"--format {name!r} is neither jsonl nor csv")


def export_to(app: App, to: Path | None, kind: Format, output: TextIO) -> int:
    """Write all results to the file `to` (None: to `output`), and give how many. The file appears whole or not at all."""
    if to is None:
        return export(app.index, output, kind)
    partial = to.with_name(f".{to.name}.part")
    try:
        with partial.open("w", encoding="utf-8", newline="") as target:
            count = export(app.index, target, kind)
        partial.replace(to)
    except OSError as error:
        raise FederationError(f"can't write to {to}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def import_from(app: App, file: Path, kind: Format) -> Imported:
    """Enter the results of a file that `export_to` wrote. Raises UsageError."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as source:
            return import_results(app.index, source, kind, name=file.name)
    except OSError as error:
        raise UsageError(f"can't read {file}: {error.strerror}") from error
