"""Writes to a stream whose reader may be gone, whose disk may be full and whose encoding may lack characters.

What is lost on standard error never stops a command. What is lost on standard output stops it, unless it drives a run
(`outliving_terminal`): then the run goes on and the rest of the output is dropped.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from federation.errors import OutputLost

_SIGNS = str.maketrans({"→": "->", "…": "...", "─": "-", "×": "x", "·": "-", "≥": ">=", "≤": "<="})
_outliving = threading.Event()


class LastingStream:
    """A text stream that escapes what its encoding lacks. `is_expendable`: drops what can't be written, without an error."""

    def __init__(self, stream: TextIO, *, is_expendable: bool) -> None:
        self._stream = stream
        self._is_expendable = is_expendable
        self._is_lost = False

    def write(self, text: str) -> int:
        """Writes the text. Raises OutputLost or BrokenPipeError."""
        if text and not self._is_lost:
            try:
                self._stream.write(self._writable(text))
            except (OSError, ValueError) as error:
                self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Writes what is buffered. Raises as `write` does."""
        if not self._is_lost:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._lose(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _writable(self, text: str) -> str:
        encoding = self._stream.encoding or "utf-8"
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            shown = text.translate(_SIGNS) if self._is_expendable else text
            return shown.encode(encoding, "backslashreplace").decode(encoding)
        return text

    def _lose(self, error: OSError | ValueError) -> None:
        self._is_lost = True
        with suppress(OSError, ValueError):  # Python flushes the stream again when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        if self._is_expendable or _outliving.is_set():
            return
        if isinstance(error, BrokenPipeError):
            raise error
        reason = getattr(error, "strerror", None) or error
        raise OutputLost(f"can't write to standard output: {reason}") from error


@contextmanager
def outliving_terminal() -> Iterator[None]:
    """Lets the block go on when its terminal is closed and when its output can't be written."""
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGHUP, lambda *_: None) if is_main else None
    _outliving.set()
    try:
        yield
    finally:
        _outliving.clear()
        if is_main:
            signal.signal(signal.SIGHUP, before)


def open_standard_streams() -> None:
    """Opens the null device in place of a standard stream that was closed before the start (`>&-`). Else the next file would
    get its number, and what is meant for the stream would be written into that file."""
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(fd)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != fd:
                os.dup2(opened, fd)
                os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
