"""Finds out what `fedml run` is to run: a script or a folder with a command, its own settings, and where its dependencies
are declared. Checks Python files by their syntax. Runs nothing."""

from __future__ import annotations

import ast
import re
import sys
import tokenize
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from federation.config.tool_settings import Beside, of_project, of_script
from federation.errors import UsageError
from federation.task.command_line import NONE, PROJECT, REQUIREMENTS, SCRIPT
from jobs.frozen import frozen

_PYTHONS = ("python", "python3")
_NEEDS = re.compile(r">=?\s*3\.(\d+)")


@frozen
class Subject:
    """What is run. `path` is what is packed: a folder, or one script. `kind` and `file` say where the dependencies are
    declared (`federation.task.command_line`)."""

    path: Path
    argv: tuple[str, ...]
    kind: str
    file: str
    settings: tuple[Mapping[str, Any], ...]
    """What `[tool.fedml]` says: the script's own block first, then pyproject.toml."""

    @property
    def name(self) -> str:
        """The script's or the folder's name."""
        return self.path.stem if self.path.is_file() else self.path.resolve().name


def script_of(words: Sequence[str], note: Callable[[str], None]) -> Subject:
    """A script with its arguments. Raises UsageError and ConfigError for one that can't run."""
    if not words:
        raise UsageError("nothing to run is named", hint="fedml run train.py, or fedml run --code . -- COMMAND")
    path, arguments = Path(words[0]), words[1:]
    if path.is_dir():
        raise UsageError(f"{path} is a folder", hint=f"name its command:  fedml run --code {path} -- python train.py")
    if not path.exists():
        raise UsageError(f"there is no script {path}", hint="name a Python file, or a folder: --code . -- COMMAND")
    if path.suffix != ".py" and not _says_python(path):
        program = {".sh": "sh ", ".js": "node ", ".mjs": "node ", ".R": "Rscript ", ".jl": "julia "}.get(
            path.suffix, "./"
        )
        raise UsageError(
            f"{path} is not a Python script",
            hint=f"run it as a command:  fedml run --code {path.parent} -- {program}{path.name}",
        )
    own = _checked_python(path)
    if own is None and any((path.parent / name).is_file() for name in ("uv.lock", "requirements.txt")):
        note(
            f"{path.name} goes alone, without the dependencies beside it. To take the folder along:  --code {path.parent}"
        )
    kind, file = (SCRIPT, path.name) if own is not None else (NONE, "")
    settings = ((own or Beside()).settings, of_project(path.parent).settings)
    return Subject(path, ("python", path.name, *arguments), kind, file, settings)


def folder_of(folder: Path, command: Sequence[str], note: Callable[[str], None]) -> Subject:
    """A folder with its command. Raises UsageError and ConfigError for what can't run."""
    if not folder.is_dir():
        raise UsageError(f"--code {folder} is not a folder", hint="name the folder of the code: --code .")
    if not command:
        raise UsageError("no command is named", hint=f"write it last:  fedml run --code {folder} -- python train.py")
    script = _python_file(folder, command)
    own = _checked_python(script) if script is not None else None
    project = of_project(folder)
    kind, file = next(
        (
            (kind, name)
            for kind, name in ((PROJECT, "uv.lock"), (REQUIREMENTS, "requirements.txt"))
            if (folder / name).is_file()
        ),
        (NONE, ""),
    )
    if kind == NONE and own is not None and script is not None:
        kind, file = SCRIPT, script.relative_to(folder).as_posix()
    if kind == NONE and (project.data.get("project") or {}).get("dependencies"):
        note(
            "pyproject.toml names dependencies, and there is no uv.lock, so they are not installed. Make one:  uv lock"
        )
    return Subject(folder, tuple(command), kind, file, ((own or Beside()).settings, project.settings))


def _python_file(folder: Path, command: Sequence[str]) -> Path | None:
    """The file that `python train.py` or `python -m package` runs, if it is in the folder."""
    if len(command) < 2 or command[0] not in _PYTHONS:
        return None
    if command[1] == "-m" and len(command) > 2:
        module = command[2].replace(".", "/")
        names = [f"{module}.py", f"{module}/__main__.py"]
    else:
        names = [command[1]]
    if names[0].endswith(".py") and names[0] == command[1] and not (folder / names[0]).is_file():
        raise UsageError(f"there is no {names[0]} in {folder}", hint="the command runs in the folder of --code")
    found = (folder / name for name in names if not Path(name).is_absolute())
    return next((file for file in found if file.is_file() and file.suffix == ".py"), None)


def _checked_python(file: Path) -> Beside | None:
    """The file's own block. Raises UsageError for text that isn't Python's, ConfigError for a block that isn't valid."""
    try:
        with tokenize.open(file) as opened:
            text = opened.read()
    except OSError as error:
        raise UsageError(f"{file}: can't be read: {error.strerror}") from None
    except (SyntaxError, UnicodeDecodeError):
        raise UsageError(f"{file} is not text in its encoding", hint="save it as UTF-8") from None
    own = of_script(file, text)
    try:
        ast.parse(text, str(file))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        needs = [int(minor) for minor in _NEEDS.findall(str((own or Beside()).data.get("requires-python", "")))]
        if not any((3, minor) > sys.version_info[:2] for minor in needs):  # else a newer Python may know it
            problem = getattr(error, "msg", None) or str(error)
            raise UsageError(f"{file}{f':{line}' if line else ''}: syntax error: {problem}; nothing was sent") from None
    return own


def _says_python(path: Path) -> bool:
    """Whether the file begins as a script of Python."""
    try:
        with path.open("rb") as file:
            first = file.readline(200)
    except OSError:
        return False
    return first.startswith(b"#!") and b"python" in first
