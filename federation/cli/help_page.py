"""Prints the help of a command as plain text: options in groups, descriptions in full, examples that can be copied.

Pages are as wide as the terminal, at most `WIDTH_MAX` columns.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from typer.core import TyperCommand, TyperGroup

WIDTH_MAX = 100
NARROW = 76
"""A page that is narrower than this gets a first column of `NARROW_COLUMN`."""
NARROW_COLUMN = 16
GENERAL = "General options"
"""The heading of the options that every command has. It comes last."""
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": WIDTH_MAX}
"""Settings of the context of the whole command line. Click hands them on to each command."""

Row = tuple[str, str]


class _Page:
    """What the pages of commands and of groups have in common."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the whole page."""
        command: Any = self
        command.format_usage(ctx, formatter)
        text, examples = parts(command.help or "")
        formatter.write_paragraph()
        with formatter.indentation():
            _write_prose(formatter, text)
        if examples:
            with formatter.section("Examples" if len(examples) > 1 else "Example"):
                _write_examples(formatter, examples)
        _write_sections(formatter, [*_arguments(command), *_options(command, ctx), *_commands(command, ctx)])

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Returns what stands behind the command's name in its usage line."""
        command: Any = self
        pieces = ["[OPTIONS]"]
        pieces += [_piece(param) for param in command.params if param.param_type_name == "argument"]
        return [*pieces, *(["COMMAND ..."] if hasattr(command, "commands") else [])]


class Command(_Page, TyperCommand):
    """A command with a page of this kind."""


class CommandGroup(_Page, TyperGroup):
    """A group of commands with a page of this kind."""

    command_headings: Mapping[str, str] = {}
    """The heading of each command. A command without one stands below `Commands`."""


def parts(text: str) -> tuple[str, list[str]]:
    """Splits a help text into its prose and its examples, one command line each."""
    prose, _, examples = text.partition("\nExample")
    return prose.strip(), [line.strip() for line in examples.splitlines()[1:] if line.strip()]


def headings(command: Any) -> dict[str, list[Any]]:
    """Returns the command's options by the heading of their group, in the order of the page."""
    found: dict[str, list[Any]] = {}
    for param in command.params:
        if param.param_type_name == "option" and not param.hidden:
            found.setdefault(getattr(param, "rich_help_panel", None) or "Options", []).append(param)
    general = found.pop(GENERAL, [])
    return found | ({GENERAL: general} if general else {})


def argument_name(param: Any) -> str:
    """Returns an argument's name as the page shows it, without brackets."""
    name = (param.metavar or param.name.upper()).replace("…", "...")
    return re.sub(r"^\[(.*)\](\.\.\.)?$", r"\1\2", name)


def _piece(param: Any) -> str:
    name = argument_name(param)
    many = "..." if param.nargs == -1 and not name.endswith("...") else ""
    return f"{name}{many}" if param.required else f"[{name}{many}]"


def _arguments(command: Any) -> Iterable[tuple[str, list[Row]]]:
    rows = [(argument_name(param), param.help or "") for param in command.params if param.param_type_name == "argument"]
    return [("Arguments", rows)] if rows else []


def _options(command: Any, ctx: Any) -> Iterable[tuple[str, list[Row]]]:
    groups = headings(command)
    asks_for_help = command.get_help_option(ctx)
    if asks_for_help is not None:
        groups.setdefault(GENERAL, []).append(asks_for_help)
    for heading, options in groups.items():
        records = [option.get_help_record(ctx) for option in options]
        yield heading, [record for record in records if record is not None]


def _commands(command: Any, ctx: Any) -> Iterable[tuple[str, list[Row]]]:
    if not hasattr(command, "commands"):
        return []
    found = [(name, command.get_command(ctx, name)) for name in command.list_commands(ctx)]
    sections: dict[str, list[Row]] = {}
    for name, one in found:
        if not one.hidden:
            rows = sections.setdefault(command.command_headings.get(name, "Commands"), [])
            rows.append((name, one.get_short_help_str(limit=10_000)))
    return sections.items()


def _write_sections(formatter: Any, sections: Iterable[tuple[str, list[Row]]]) -> None:
    """Writes the sections with one first column for all of them."""
    sections = list(sections)
    most = 30 if formatter.width >= NARROW else NARROW_COLUMN
    names = [len(name) for _, rows in sections for name, _ in rows]
    width = max((length for length in names if length <= most), default=0)
    for heading, rows in sections:
        with formatter.section(heading):
            _write_rows(formatter, rows, width)


def _write_rows(formatter: Any, rows: list[Row], width: int) -> None:
    """Writes names and texts side by side. A name that is wider than the column has a line of its own."""
    indent = " " * (width + 4)
    for name, text in rows:
        lines = _wrapped(text, formatter.width, indent) or [""]
        head = f"  {name}"
        first = (
            [head, *lines] if len(name) > width else [f"{head:<{len(indent)}}{lines[0].strip()}".rstrip(), *lines[1:]]
        )
        formatter.write("\n".join(line for line in first if line.strip()) + "\n")


def _write_prose(formatter: Any, text: str) -> None:
    paragraphs = [_wrapped(" ".join(paragraph.split()), formatter.width, "  ") for paragraph in text.split("\n\n")]
    formatter.write("\n\n".join("\n".join(lines) for lines in paragraphs) + "\n")


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    """Folds a text between its words. Options and paths stay whole."""
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _write_examples(formatter: Any, examples: list[str]) -> None:
    """Writes one command on a line. What follows two spaces is its meaning."""
    pairs = [line.partition("   ") for line in examples]
    if any(meaning for _, _, meaning in pairs):
        width = max(len(command) for command, _, _ in pairs)
        rows = [(command, meaning.strip()) for command, _, meaning in pairs]
        _write_rows(formatter, rows, width if formatter.width >= NARROW else NARROW_COLUMN)
        return
    for example in examples:
        formatter.write("\n".join(_copyable(example, formatter.width)) + "\n")


def _copyable(line: str, width: int) -> Iterable[str]:
    """Folds a command line between its words, so that a shell reads the lines as one."""
    shown = "  "
    for word in re.findall(r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|\S)+""", line):
        if shown.strip() and len(shown) + 1 + len(word) > width - 2:
            yield f"{shown} \\"
            shown = "      "
        shown = f"{shown} {word}" if shown.strip() else f"{shown}{word}"
    yield shown
