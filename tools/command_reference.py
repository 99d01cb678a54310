"""Writes docs/reference/commands.md from the commands: `python tools/command_reference.py`. A test compares both."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "commands.md"
EVERYWHERE = ("verbose", "quiet")
HEAD = """# Commands

Made from the program itself by `python tools/command_reference.py`.

Exit codes: 0 done, 1 any error (wrong usage too), 2 some slots failed or had no place, 130 interrupted (all state is kept,
and the message names the command that continues). `fedml plan`: 0 nothing would change, 1 a registered job would change or
a slot has no place, 255 error. With `--json`, standard output has one document. `dispatch` and `runs resume` print one JSON
object on each line, the last one with `"event": "end"`. Everything else goes to standard error.

Every command has these options too:

| option | meaning |
| --- | --- |
| `-h, --help` | Show the help of the command. `fedml help COMMAND` does so too. |
| `-v, --verbose` | Also print each request to a region or bucket, and each retry, on standard error. |
| `-q, --quiet` | Print only the result and errors: no progress, notes and warnings. |
"""


def commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command of a group and its subgroups, with its full name."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def page() -> str:
    """Builds the text of the page."""
    from federation.cli.commands import app
    from federation.cli.help_page import headings
    from federation.cli.help_page import parts as help_parts

    parts = [HEAD]
    for path, command in commands(typer.main.get_command(app), "fedml"):
        parts.append(f"## {path}\n")
        text, examples = help_parts(command.help or "")
        parts.append(text + "\n")
        parts.append("\n".join(["```console", *(f"$ {line}" for line in examples), "```\n"]))
        for heading, options in headings(command).items():
            rows = [
                f"| `{', '.join([*option.opts, *option.secondary_opts])}` | {option.help} |"
                for option in options
                if option.name not in EVERYWHERE
            ]
            if rows:
                parts.append("\n".join([f"| {heading} | meaning |", "| --- | --- |", *rows, ""]))
    return "\n".join(parts)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    PAGE.write_text(page(), encoding="utf-8")
