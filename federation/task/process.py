"""Runs one program at a time as a child of the task: forwards signals, keeps the end of what it writes to standard error.

The child stays in the task's process group, which Nomad kills as a whole, so nothing outlives the task.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from federation.errors import UsageError

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_TAIL_BYTES = 16_384
_LATE_OUTPUT_S = 1.0
"""How long to wait for output of a process that the child left behind."""
_CAUSE = re.compile(r"(?:Uncaught |error: )?[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit)\b.*")


@dataclass(frozen=True)
class Ended:
    """How a child ended: exit code, or the signal that killed it, and the end of its standard error."""

    code: int
    signal: int
    said: str

    @property
    def exit_code(self) -> int:
        """The exit code as a shell gives it: for a signal, 128 plus its number."""
        return 128 + self.signal if self.signal else self.code

    @property
    def cause(self) -> str:
        """The last line that names an error (`ModuleNotFoundError: …`), else the last line; "" if it said nothing."""
        lines = [line.strip() for line in self.said.splitlines() if line.strip()]
        return next((line for line in reversed(lines) if _CAUSE.fullmatch(line)), lines[-1] if lines else "")[:400]


class Children:
    """Starts children and forwards to the one that runs what Nomad sends to the task."""

    def __init__(self) -> None:
        self._child = 0
        """The process that runs, by its number."""
        self.stopped_by = 0
        """The first signal that asked the task to end, else 0. Then no further child is started."""
        for number in _FORWARDED:
            signal.signal(number, self._forward)

    def run(self, argv: Sequence[str], *, cwd: Path, environ: Mapping[str, str], is_quiet: bool = False) -> Ended:
        """Runs a program until it ends. Its standard output is the task's own (`is_quiet`: dropped), and what it writes to
        standard error is passed on at once. Raises UsageError if it can't be started."""
        if self.stopped_by:
            return Ended(0, self.stopped_by, "")
        output = subprocess.DEVNULL if is_quiet else None
        try:
            child = subprocess.Popen(
                argv, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE
            )
        except (OSError, ValueError) as error:
            raise UsageError(
                f"can't start {argv[0]!r}: {getattr(error, 'strerror', None) or error}",
                hint="check the command: it runs in the folder of the code, with the node's or image's programs",
            ) from None
        self._begun(child.pid)
        assert child.stderr is not None
        tail = bytearray()
        copying = threading.Thread(target=_copy, args=(child.stderr.fileno(), tail), daemon=True)
        copying.start()
        code = child.wait()
        self._child = 0
        copying.join(_LATE_OUTPUT_S)
        return Ended(max(code, 0), max(-code, 0), bytes(tail).decode(errors="replace"))

    def fork(self, act: Callable[[], int]) -> int:
        """Runs a function in a fork of this process and returns its exit code, 128 and the number for a signal. What it
        imports takes no memory afterwards."""
        if self.stopped_by:
            return 128 + self.stopped_by
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for number in _FORWARDED:
                    signal.signal(number, signal.SIG_DFL)
                code = act()
            finally:
                with suppress(OSError):
                    sys.stdout.flush()
                    sys.stderr.flush()
                os._exit(code)
        self._begun(child)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        self._child = 0
        return code if code >= 0 else 128 - code

    def _begun(self, child: int) -> None:
        """Stops a child that was started while the signal came."""
        self._child = child
        if self.stopped_by:
            self._send(self.stopped_by)

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        if number in _STOPS and not self.stopped_by:
            self.stopped_by = number
        self._send(number)

    def _send(self, number: int) -> None:
        if self._child:
            with suppress(ProcessLookupError):
                os.kill(self._child, number)


def _copy(source: int, tail: bytearray) -> None:
    while True:
        try:
            data = os.read(source, 65_536)
        except OSError:
            return
        if not data:
            return
        tail += data
        del tail[:-_TAIL_BYTES]
        with suppress(OSError):
            while data:
                data = data[os.write(2, data) :]
