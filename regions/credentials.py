"""References to secrets, read at the moment of use. A secret is never kept, logged or shown."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import FedmlError


class SecretUnavailable(FedmlError):
    """The secret could not be read: the variable is unset, the file is missing, or the command failed."""


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Where a secret is found: exactly one of an environment variable, a file or a command (argv, no shell).

    `read()` reads it anew each time, so that a rotated secret is picked up; the caller doesn't cache it.
    """

    env: str | None = None
    file: Path | None = None
    command: tuple[str, ...] | None = None

    def read(self) -> str:
        """The secret, without surrounding white space. Raises SecretUnavailable; never shows the secret."""
        if self.env is not None:
            value = os.environ.get(self.env, "").strip()
            if not value:
                raise SecretUnavailable(f"environment variable {self.env} is not set", hint=f"export {self.env}=…")
            return value
        if self.file is not None:
            try:
                return self.file.read_text(encoding="utf-8").strip()
            except OSError as error:
                raise SecretUnavailable(f"secret file {self.file}: {error.strerror}") from error
        if self.command is not None:
            try:
                done = subprocess.run(self.command, capture_output=True, text=True, timeout=30, check=False)
            except (OSError, subprocess.TimeoutExpired) as error:
                raise SecretUnavailable(
                    f"secret command {self.command[0]!r} didn't run: {type(error).__name__}"
                ) from error
            if done.returncode != 0:
                raise SecretUnavailable(f"secret command {self.command[0]!r} ended with exit code {done.returncode}")
            return done.stdout.strip()
        raise SecretUnavailable("a secret reference names neither env, file nor command")

    def __str__(self) -> str:
        if self.env is not None:
            return f"env {self.env}"
        if self.file is not None:
            return f"file {self.file}"
        return f"command {self.command[0] if self.command else '?'}"
