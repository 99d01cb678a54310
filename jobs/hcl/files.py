"""The functions on files and paths: file(), fileset() and the like. Notes which files were read."""

from __future__ import annotations

import base64
import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.hcl.filesets import matching_files
from jobs.hcl.functions.function import Function
from jobs.hcl.values import SetValue, ValueProblem, make_set, text, to_string

if TYPE_CHECKING:
    from collections.abc import Callable


class Files:
    """The functions that access the file system. `read` lists the files read so far, absolute, without repetitions."""

    def __init__(self, base_dir: Path, *, allowed: bool) -> None:
        self.base_dir = base_dir
        self.allowed = allowed
        self.read: list[Path] = []

    def functions(self) -> dict[str, Function]:
        """Returns the functions by name. Where files aren't allowed, each call raises ValueProblem."""
        calls: dict[str, tuple[Callable[..., object], int]] = {
            "abspath": (self.absolute, 1),
            "basename": (lambda path: _basename(to_string(path)), 1),
            "dirname": (lambda path: _dirname(to_string(path)), 1),
            "file": (self.file, 1),
            "filebase64": (self.file_base64, 1),
            "fileexists": (self.exists, 1),
            "fileset": (self.matching, 2),
            "pathexpand": (_expanded, 1),
        }
        return {
            name: Function(call if self.allowed else _refuse, count, count) for name, (call, count) in calls.items()
        }

    def _resolved(self, path: object) -> Path:
        try:
            return (self.base_dir / _expanded(path)).resolve()
        except (OSError, ValueError, RuntimeError) as problem:
            raise ValueProblem(f"this is not a valid path: {problem}") from None

    def _bytes(self, path: object) -> bytes:
        resolved = self._resolved(path)
        try:
            content = resolved.read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            where = "; paths count from the working folder" if isinstance(error, FileNotFoundError) else ""
            raise ValueProblem(f"{resolved} can't be read: {reason}{where}") from None
        if resolved not in self.read:
            self.read.append(resolved)
        return content

    def file(self, path: object) -> str:
        try:
            return text(self._bytes(path).decode())
        except UnicodeDecodeError:
            raise ValueProblem(f"{self._resolved(path)} is not text in UTF-8; use filebase64()") from None

    def file_base64(self, path: object) -> str:
        return base64.b64encode(self._bytes(path)).decode()

    def exists(self, path: object) -> bool:
        resolved = self._resolved(path)
        try:
            if resolved.is_dir():
                raise ValueProblem(f"{resolved} is a folder, not a file")
            return resolved.is_file()
        except (OSError, ValueError):
            return False

    def absolute(self, path: object) -> str:
        return os.path.normpath(self.base_dir.absolute() / to_string(path))

    def matching(self, folder: object, pattern: object) -> SetValue:
        """`fileset(folder, "**/*.py")`: the files' paths, relative to the folder."""
        root = os.path.normpath(self.base_dir.absolute() / to_string(folder))
        try:
            return make_set(list(matching_files(root, to_string(pattern))))
        except (OSError, ValueError) as problem:
            raise ValueProblem(f"this is not a valid path: {problem}") from None


def _expanded(path: object) -> str:
    """Replaces a leading `~` by the user's home folder."""
    given = to_string(path)
    if not given.startswith("~"):
        return given
    if given[1:2] not in ("", "/"):
        raise ValueProblem("only ~ and ~/… can be expanded, not the home folder of another user")
    try:
        return _cleaned(f"{Path('~').expanduser()}{given[1:]}")
    except RuntimeError:
        raise ValueProblem("this user has no home folder") from None


def _cleaned(path: str) -> str:
    """Shortens a path as Go does: without `.`, `..`, doubled slashes and a slash at the end."""
    cleaned = posixpath.normpath(path)
    return "/" + cleaned.lstrip("/") if cleaned.startswith("//") else cleaned


def _basename(path: str) -> str:
    return posixpath.basename(path.rstrip("/")) or ("/" if path else ".")


def _dirname(path: str) -> str:
    return _cleaned(path[: path.rfind("/") + 1])


def _refuse(*_: object) -> object:
    raise ValueProblem("functions that read files can't be used where a server parses the job")
