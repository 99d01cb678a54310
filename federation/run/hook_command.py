"""Runs a command of `[hooks]` and says in a sentence what went wrong with it.

The command (program and arguments, no shell) reads what happened from its environment (`FEDML_EVENT` and the like), or the
whole of it as one JSON object from standard input. After a minute it is ended with all that it started. Its standard output
is dropped. If it fails, the last line of its standard error is repeated. Knows no stage of the federation.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from federation.output.visible import visible_json, visible_line

HOOK_TIMEOUT_S = 60.0
ENVIRONMENT_CHARS_MAX = 8192
"""The most characters that one variable holds. Standard input has all of them."""
ERROR_BYTES_MAX = 4096
"""How much of the end of standard error is kept."""
_ENDED_S = 1.0


def run_hook(
    event: str, command: Sequence[str], details: Mapping[str, Any], *, names: Sequence[str], folder: Path
) -> str:
    """Runs the command in `folder`. Returns an empty text when it ended with 0, else why not. It reads `details`; `names`
    lists the members that its environment has too, as `FEDML_{NAME}`."""
    environment = {f"FEDML_{name.upper()}": _variable(details.get(name, "")) for name in names}
    try:
        # A file and no pipe: a command that doesn't read it holds nobody up.
        with tempfile.TemporaryFile() as given:
            given.write(visible_json(json.dumps(details, ensure_ascii=False)).encode())
            given.seek(0)
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **environment},
                stdin=given,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
    except (OSError, ValueError) as error:
        return f"hooks.{event}: {command[0]} can't be run: {getattr(error, 'strerror', None) or error}"
    said = _LastWords(process.stderr)
    try:
        code = process.wait(HOOK_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f"hooks.{event}: {command[0]} took longer than {HOOK_TIMEOUT_S:g} s and was ended"
    else:
        return f"hooks.{event}: {command[0]} ended with exit code {code}{said.line()}" if code else ""
    finally:
        if process.returncode is None:
            _end(process)
        said.wait()


def _variable(value: Any) -> str:
    """A value as an environment variable: one line without hidden characters, so that every text can be passed."""
    return visible_line(str(value)[:ENVIRONMENT_CHARS_MAX])


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the command and all that it started in its session."""
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class _LastWords:
    """Reads the end of what a command writes to standard error, however much that is and however long it stays open."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        assert pipe is not None
        self._pipe = pipe
        self._end = b""
        self._thread = threading.Thread(target=self._read, name="hook", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._pipe, suppress(OSError):
            while block := os.read(self._pipe.fileno(), 65536):
                self._end = (self._end + block)[-ERROR_BYTES_MAX:]

    def line(self) -> str:
        """The last line, as the end of a sentence."""
        self.wait()
        lines = self._end.decode(errors="replace").strip().splitlines()
        last = visible_line(lines[-1]) if lines else ""
        return f": {last}" if last else ""

    def wait(self) -> None:
        """Waits until what is there is read. Output of a process that was left behind is dropped."""
        self._thread.join(_ENDED_S)
