"""Reads what stands beside code: the block of a script (PEP 723), pyproject.toml, and `[tool.fedml]` in either."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from federation.config.schema_code import ToolTable
from federation.config.validation import validated
from federation.errors import ConfigError
from federation.task.script_block import script_blocks

_HEADER = re.compile(r"\s*\[\s*tool\s*\.\s*fedml\s*([.\]])")
_TABLE = re.compile(r"\s*\[")


@dataclass(frozen=True, slots=True)
class Beside:
    """A document beside code. `data` is all of it, `settings` the keys that `[tool.fedml]` sets, as `ToolTable` has them."""

    data: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


def of_script(file: Path, text: str) -> Beside | None:
    """The block of a script; None where it has none. Raises ConfigError."""
    blocks = script_blocks(text)
    if not blocks:
        return None
    first_line = text.count("\n", 0, blocks[0].start("content"))
    if len(blocks) > 1:
        line = text.count("\n", 0, blocks[1].start()) + 1
        raise ConfigError(f"{file}:{line}: a second `# /// script` block", hint="a script has one (PEP 723)")
    lines = blocks[0]["content"].splitlines(keepends=True)
    return _read(file, "".join(line[2:] if line.startswith("# ") else line[1:] for line in lines), first_line)


def of_project(folder: Path) -> Beside:
    """The pyproject.toml of a folder; empty where there is none. Raises ConfigError."""
    file = folder / "pyproject.toml"
    try:
        return _read(file, file.read_text("utf-8"), 0)
    except FileNotFoundError:
        return Beside()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{file}: can't be read: {why}") from None


def _read(file: Path, text: str, lines_before: int) -> Beside:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        parts = re.fullmatch(r"(?s)(.*) \(at line (\d+), column (\d+)\)", str(error))
        place = f":{int(parts[2]) + lines_before}" if parts else ""
        problem = parts[1] if parts else str(error)
        raise ConfigError(f"{file}{place}: this is not valid TOML: {problem[0].lower()}{problem[1:]}") from None
    tool = data.get("tool", {})
    settings = tool.get("fedml", {}) if isinstance(tool, dict) else {}
    table = validated(ToolTable, settings)
    if isinstance(table, ToolTable):
        return Beside(data, table.model_dump(exclude_unset=True))
    problems = [
        f"{file}:{_line(text, problem.key) + lines_before}: [tool.fedml] {problem.key}{': ' * bool(problem.key)}{problem.text}"
        for problem in table
    ]
    more = "".join(f"\n  also {problem}" for problem in problems[1:6])
    raise ConfigError(problems[0] + more, hint=table[0].hint)


def _line(text: str, key: str) -> int:
    """The line of a key of `[tool.fedml]`, else of the table itself, from 1 on."""
    own = re.compile(rf"\s*[\"']?{re.escape(key.partition('.')[0])}[\"']?\s*[=.]")
    found, is_inside = 1, False
    for number, line in enumerate(text.splitlines(), start=1):
        if _TABLE.match(line):
            is_inside = _HEADER.match(line) is not None
            found = number if is_inside else found
        elif is_inside and key and own.match(line):
            return number
    return found
