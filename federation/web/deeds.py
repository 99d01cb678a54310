"""Runs a `fedml` command for a page: the very command that the page shows, with the viewer as its author.

A command is a process of its own session. It outlives the page and `fedml ui`. Its output goes to a file in the project's cache
folder, which the page shows.
"""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from federation.config.model import Config
from federation.errors import UnknownName, UsageError

KEPT = 200
KEPT_S = 7 * 86_400.0
"""Output that an earlier `fedml ui` left is removed after a week."""
OUTPUT_BYTES_SHOWN = 64_000


@dataclass
class Deed:
    """One command that somebody started on a page."""

    id: str
    arguments: Sequence[str]
    author: str
    started: float
    process: subprocess.Popen[bytes]
    output_file: Path

    @property
    def command(self) -> str:
        """The command line, to repeat it in a terminal."""
        return command_text(self.arguments)

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self.process.poll()

    def output(self) -> str:
        """The end of what it has printed."""
        try:
            with self.output_file.open("rb") as file:
                file.seek(max(0, self.output_file.stat().st_size - OUTPUT_BYTES_SHOWN))
                return file.read(OUTPUT_BYTES_SHOWN).decode(errors="replace")
        except OSError as error:  # somebody has cleared the cache
            return f"Its output can't be read: {error.strerror}."


class Deeds:
    """The commands that were started on pages of one `fedml ui`."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._folder = config.cache_dir / "ui"
        self._lock = threading.Lock()
        self._by_id: OrderedDict[str, Deed] = OrderedDict()
        for old in self._folder.glob("*.log"):
            with suppress(OSError):
                if time.time() - old.stat().st_mtime > KEPT_S:
                    old.unlink()

    def start(self, deed_id: str, arguments: Sequence[str], author: str) -> Deed:
        """Starts the command. The same `deed_id` again (a form that was sent twice) starts nothing and returns the first.
        Raises UsageError for a command that can't be started, and for one that an earlier `fedml ui` has started."""
        with self._lock:
            if deed_id in self._by_id:
                return self._by_id[deed_id]
            output = self._folder / f"{deed_id}.log"
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                process = self._process(output, arguments, author)
            except FileExistsError:
                hint = "the history page shows what was done"
                raise UsageError("this form was sent before fedml ui was started again", hint=hint) from None
            except (OSError, ValueError) as error:  # ValueError: a text with a NUL
                output.unlink(missing_ok=True)
                why = getattr(error, "strerror", None) or str(error)
                raise UsageError(f"the command can't be started: {why}", hint="a value may be too long") from None
            deed = Deed(deed_id, tuple(arguments), author, time.time(), process, output)
            self._by_id[deed_id] = deed
            self._forget_old()
            return deed

    def _process(self, output: Path, arguments: Sequence[str], author: str) -> subprocess.Popen[bytes]:
        """Starts it. `-P`: a module of the project's folder isn't taken for one of fedml or of Python."""
        with open(output, "xb", opener=_private) as file:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "federation", *arguments],
                cwd=self._config.root,
                env=os.environ | {"FEDML_AUTHOR": author, "FEDML_CONFIG": str(self._config.path), "COLUMNS": "120"},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def get(self, deed_id: str) -> Deed:
        """Raises UsageError for one that this `fedml ui` didn't start."""
        with self._lock:
            if deed_id not in self._by_id:
                raise UnknownName("this fedml ui started no such command", hint="the history page shows what was done")
            return self._by_id[deed_id]

    def _forget_old(self) -> None:
        ended = [deed for deed in self._by_id.values() if deed.code is not None]
        for deed in ended[: max(0, len(self._by_id) - KEPT)]:
            del self._by_id[deed.id]
            deed.output_file.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    """Opens a file that nobody else can read."""
    return os.open(path, flags, 0o600)


def new_id() -> str:
    """The ID of a command that isn't started yet: its form carries it."""
    return secrets.token_hex(8)


def command_text(arguments: Sequence[str]) -> str:
    """The command line."""
    return shlex.join(["fedml", *arguments])
