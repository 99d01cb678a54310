"""Prints tables and coloured lines: with rich on a terminal, as plain text elsewhere. rich obeys `NO_COLOR`.

Foreign text is never interpreted: no markup (`[red]`, `[link=…]`), no emoji names, no hyperlinks. Hidden characters become
visible escapes. Styles are separate from the text, as in `("us", "bold")`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from federation.output.streams import unscreened
from federation.output.visible import visible, visible_line

PLAIN_WIDTH = 1000
"""Width without a terminal (a pipe, a log), so that no line is folded."""

Part = str | tuple[str, str]
"""A piece of a line: text, or text with the name of its style."""


class ScreenedConsole(Console):
    """A console that screens all text before it adds control sequences of its own."""

    def __init__(self, stream: TextIO, *, plain_width: int = PLAIN_WIDTH) -> None:
        width = None if stream.isatty() else plain_width
        super().__init__(file=unscreened(stream), width=width, highlight=False, markup=False, emoji=False)

    def print_line(self, *parts: Part, soft_wrap: bool = False) -> None:
        """Prints one line of these parts. A line feed in a part is shown as an escape."""
        self.print(styled(*parts), soft_wrap=soft_wrap)

    def render_str(self, text: str, **options: Any) -> Text:
        """Makes a Text of a string: screened before it is measured, without markup."""
        return super().render_str(visible(text), **(options | {"markup": False, "emoji": False, "highlight": False}))

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Renders anything with each piece of its text screened. Control codes come only from rich itself."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


def out(*, plain_width: int = PLAIN_WIDTH) -> ScreenedConsole:
    """The console on standard output, for data. `plain_width` folds tables of prose in a pipe too."""
    return ScreenedConsole(sys.stdout, plain_width=plain_width)


def err() -> ScreenedConsole:
    """The console on standard error, for everything else."""
    return ScreenedConsole(sys.stderr)


def styled(*parts: Part) -> Text:
    """One line with styles. Each part is screened as a field of one line."""
    return Text.assemble(
        *(visible_line(part) if isinstance(part, str) else (visible_line(part[0]), part[1]) for part in parts)
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, numbers: Sequence[str] = ()) -> Table:
    """A table with these columns. Those named in `numbers` are aligned right."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        is_number = column in numbers
        made.add_column(column, justify="right" if is_number else "left", overflow="fold", no_wrap=is_number)
    for row in rows:
        made.add_row(*(styled(str(cell)) for cell in row))
    return made
