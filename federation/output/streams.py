"""Writes to standard output and standard error. A test checks that no other module does.

While a command runs, both streams are screened: hidden characters are shown as visible escapes, whether fedml, a library,
a warning or Python itself writes them. Only two writers bypass the screen. The console (`federation.ui.console`) screens
each piece of text before it adds colours. `write_task_output` writes a task's log to a pipe unchanged.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from federation.output.terminal import LastingStream
from federation.output.visible import ascii_json, visible, visible_json, visible_line, visible_log


class Verbosity(enum.IntEnum):
    """What a command says on standard error besides errors."""

    QUIET = 0
    """Nothing."""
    NORMAL = 1
    """Progress, notes and warnings."""
    VERBOSE = 2
    """Also each request to a region or store."""


_verbosity = Verbosity.NORMAL


def set_verbosity(verbosity: Verbosity) -> None:
    """Sets what the current command says on standard error."""
    global _verbosity
    _verbosity = verbosity


def is_quiet() -> bool:
    """Whether the command says only errors and its result."""
    return _verbosity is Verbosity.QUIET


def is_verbose() -> bool:
    """Whether the command also says which requests it makes."""
    return _verbosity is Verbosity.VERBOSE


class ScreenedStream:
    """A text stream that screens what is written to it."""

    def __init__(self, stream: TextIO) -> None:
        self.unscreened = stream

    def write(self, text: str) -> int:
        """Writes the text with hidden characters as visible escapes."""
        _write(self.unscreened, visible(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes each line as `write` does."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unscreened, name)


@contextmanager
def screened_streams() -> Iterator[None]:
    """Screens standard output and standard error until the block ends."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (
        stream if isinstance(stream, ScreenedStream) else _screened(stream, is_expendable=stream is sys.stderr)
        for stream in before
    )
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _screened(stream: TextIO, *, is_expendable: bool) -> TextIO:
    return cast(TextIO, ScreenedStream(cast(TextIO, LastingStream(stream, is_expendable=is_expendable))))


def write_line(text: str) -> None:
    """Writes one line of data to standard output. A line feed in the text is shown as an escape."""
    _write(sys.stdout, visible_line(text) + "\n")
    sys.stdout.flush()


def write_block(text: str) -> None:
    """Writes lines of data to standard output. Each field in them must be one line already."""
    _write(sys.stdout, visible(text) + "\n")
    sys.stdout.flush()


def write_json(text: str) -> None:
    """Writes a JSON text to standard output. Characters that its encoding lacks become JSON's escapes."""
    shown = visible_json(text)
    try:
        shown.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        shown = ascii_json(shown)
    sys.stdout.write(shown + "\n")
    sys.stdout.flush()


def write_note(text: str) -> None:
    """Writes one line for the user to standard error."""
    _write(sys.stderr, visible_line(text) + "\n")
    sys.stderr.flush()


def write_error(problem: str, hint: str, *, begin: str = "Error: ") -> None:
    """Writes an error of one line, and what to do about it, to standard error."""
    write_note(f"{begin}{problem}")
    for line in hint.splitlines():
        write_note(f"  → {line}")


def write_notes(text: str) -> None:
    """Writes lines for the user to standard error, such as an error with a quoted source line."""
    _write(sys.stderr, visible(text) + "\n")
    sys.stderr.flush()


def write_task_output(text: str) -> None:
    """Writes a task's output: with visible escapes on a terminal, unchanged to a pipe or file."""
    if sys.stdout.isatty():
        write_block(visible_log(text))
    else:
        _write(unscreened(sys.stdout), text + "\n")
        sys.stdout.flush()


def data_output() -> TextIO:
    """Screened standard output, for a writer of many lines (`csv`)."""
    return sys.stdout


def unscreened(stream: TextIO) -> TextIO:
    """The stream without its screen, for a writer that screens its text itself."""
    return stream.unscreened if isinstance(stream, ScreenedStream) else stream


def _write(stream: TextIO, text: str) -> None:
    """Writes the text. Characters that the stream's encoding lacks become escapes."""
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
