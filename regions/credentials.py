"""References to secrets, read at the moment of use. A secret is never kept, logged or shown."""

from __future__ import annotations

import os
from pathlib import Path

from jobs.errors import FedmlError
from jobs.frozen import field, frozen


class SecretUnavailable(FedmlError):
    """The secret could not be read: the variable is unset, the file is missing, or the command failed."""


@frozen
class SecretRef:
    """Where a secret is found: exactly one of an environment variable, a file or a command (argv, no shell).

    `read()` reads it anew each time, so that a rotated secret is picked up; the caller doesn't cache it.
    """

    env: str | None = None
    file: Path | None = None
    command: tuple[str, ...] | None = None
    key: str = field(default="", compare=False)
    """The key that names it, for errors."""
    config_file: Path | None = field(default=None, compare=False)
    """The fedml.toml that has that key."""

    def read(self) -> str:
        """The secret, without surrounding white space. Raises SecretUnavailable, also for none; never shows the secret."""
        if self.env is not None:
            secret = os.environ.get(self.env, "").strip()
            if not secret:
                raise self._unavailable(f"environment variable {self.env} is not set", f"export {self.env}=…")
        elif self.file is not None:
            secret = self._of_file(self.file)
        elif self.command is not None:
            secret = self._of_command(self.command)
        else:
            raise self._unavailable("a secret reference names neither env, file nor command")
        if not secret:
            raise self._unavailable(f"secret {self} is empty")
        return secret

    def _of_file(self, file: Path) -> str:
        try:
            return file.read_text(encoding="utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
            where = f"{self.key} in {self.config_file}" if self.key and self.config_file else "the path"
            hint = f"correct {where}, or let this user read the file {file}"
            raise self._unavailable(f"secret file {file}: {why}", hint) from None

    def _of_command(self, command: tuple[str, ...]) -> str:
        import subprocess

        try:
            done = subprocess.run(command, capture_output=True, timeout=30, check=False)
            if done.returncode != 0:
                raise self._unavailable(f"secret command {command[0]!r} ended with exit code {done.returncode}")
            return done.stdout.decode().strip()
        except UnicodeDecodeError:
            raise self._unavailable(f"secret command {command[0]!r} printed something that is not UTF-8 text") from None
        except subprocess.TimeoutExpired:
            raise self._unavailable(f"secret command {command[0]!r} took longer than 30 s") from None
        except OSError as error:
            raise self._unavailable(f"secret command {command[0]!r} can't be run: {error.strerror}") from None

    def _unavailable(self, problem: str, hint: str = "") -> SecretUnavailable:
        return SecretUnavailable(f"{self.key}: {problem}" if self.key else problem, hint=hint)

    def __str__(self) -> str:
        if self.env is not None:
            return f"env {self.env}"
        if self.file is not None:
            return f"file {self.file}"
        return f"command {self.command[0] if self.command else '?'}"
