"""The door to standard output and standard error. Nothing else writes to them; a test holds that.

While a command runs, both streams are screened: whatever is written, by fedml or by a library, a warning or Python itself,
shows hidden characters as visible escapes. Only two writers pass the screen: the console (`federation.ui.console`), which
screens each piece of text before it adds colours, and `write_task_output`, for a task's log in a pipe.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from federation.visible import visible, visible_line, visible_log


class ScreenedStream:
    """A text stream whose writes are screened. Everything else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self.unscreened = stream

    def write(self, text: str) -> int:
        """Write the text, its hidden characters as visible escapes."""
        _write(self.unscreened, visible(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each line as `write` does."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unscreened, name)


@contextmanager
def screened_streams() -> Iterator[None]:
    """Screen standard output and standard error until the block ends."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (
        stream if isinstance(stream, ScreenedStream) else cast(TextIO, ScreenedStream(stream)) for stream in before
    )
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def write_line(text: str) -> None:
    """Write one line of data to standard output; a line feed in the text is shown as an escape."""
    _write(sys.stdout, visible_line(text) + "\n")
    sys.stdout.flush()


def write_block(text: str) -> None:
    """Write lines of data to standard output. The fields in them were made one line each before they were joined."""
    _write(sys.stdout, visible(text) + "\n")
    sys.stdout.flush()


def write_note(text: str) -> None:
    """Write one line for the person to standard error."""
    _write(sys.stderr, visible_line(text) + "\n")
    sys.stderr.flush()


def write_notes(text: str) -> None:
    """Write lines for the person to standard error: an error with a quoted source line, a traceback that was asked for."""
    _write(sys.stderr, visible(text) + "\n")
    sys.stderr.flush()


def write_task_output(text: str) -> None:
    """Write what a task wrote: with visible escapes on a terminal, as it was written in a pipe or file."""
    if sys.stdout.isatty():
        write_block(visible_log(text))
    else:
        _write(unscreened(sys.stdout), text + "\n")
        sys.stdout.flush()


def data_output() -> TextIO:
    """Standard output, screened, for a writer of many lines (`csv`)."""
    return sys.stdout


def unscreened(stream: TextIO) -> TextIO:
    """The stream behind the screen, for a writer that screens its text itself."""
    return stream.unscreened if isinstance(stream, ScreenedStream) else stream


def _write(stream: TextIO, text: str) -> None:
    """Write the text; what the stream's encoding lacks becomes an escape, instead of ending the command."""
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
