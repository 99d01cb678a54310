"""Makes the environment that a command declares, with uv: a folder with a Python and the packages.

- `uv.lock`: `uv sync --locked`, an environment of this task, because the project itself is installed in it (editable).
- `requirements.txt`: installed by uv into a new environment. For a complete file that does what `uv pip sync` does; for a
  file that names only the direct dependencies, uv installs the others too.
- a script's own block (PEP 723): `uv sync --script`, with `--locked` if `SCRIPT.lock` is there. That is what
  `uv run --script` does before it starts the script.

`--locked` and not `--frozen`: a lock that doesn't fit its project is then one clear error, not a missing module later. It asks
no server. The last two kinds depend on nothing but the file and its lock, so tasks of a node share one environment for
equal ones, in uv's cache folder: the second slot starts without uv.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Union

from federation.errors import CodeError, FederationError, UsageError
from federation.output.streams import write_note
from federation.task.command_line import NONE, PROJECT, REQUIREMENTS, SCRIPT, Command
from federation.task.process import Children, Ended
from federation.task.script_block import script_blocks
from federation.task.uv_download import downloaded_uv
from jobs.errors import ForeignTextError
from jobs.foreign import Members, parse_json

_NAMES_FILES = re.compile(r"(?m)^\s*(-e|-r|-c|--editable|--requirement|--constraint|\.|/)|file:|@\s*\.|\bpath\s*=")
"""Dependencies on other files, which the text alone doesn't identify."""
_LOCK_MISFITS = ("needs to be updated", "Failed to parse `uv.lock`")
"""What uv says of a lock that doesn't fit. It says so on every node."""
_DONE = "fedml.json"
_CAUSES = re.compile(r"(?m)^\s*(?:error|cause|Caused by|×|╰─▶|[├╰]─▶):?\s+(.*)$")


@dataclass(frozen=True)
class Prepared:
    """A prepared environment. `variables` are added to the command's own, `site_packages` are where its packages lie (empty:
    unknown), `told` is what the record says of it."""

    variables: Mapping[str, str]
    site_packages: tuple[str, ...]
    told: Mapping[str, str]


def prepare(
    command: Command, code: Path, task_folder: Path, environ: Mapping[str, str], children: Children
) -> Prepared:
    """Makes the environment, or finds it made. `task_folder` is this task's own.

    Raises FederationError with the cause for one that can't be made (CodeError: on no node). After a crash an
    unfinished environment is left in uv's cache folder, and the next task makes it again.
    """
    if command.environment == NONE:
        return Prepared({}, (), {"environment": NONE})
    file = code / command.file
    if not file.is_file():
        raise CodeError(
            f"{command.file}, which declares the dependencies, is not in the code", hint="pack it: see --code"
        )
    cache = _cache(environ, task_folder)
    uv, origin = _uv(command, environ, cache, children)
    key = _key(command.environment, file, environ)
    is_shared = command.environment != PROJECT and bool(key)
    folder = cache / "fedml" / key if is_shared else task_folder / "environment"
    with _lock(folder.with_name(f"{folder.name}.lock")):
        told = _made(folder)
        if told is None:
            shutil.rmtree(folder, ignore_errors=True)
            _make(uv, command.environment, file, folder, {**environ, "UV_CACHE_DIR": str(cache)}, children)
            told = _facts(folder)
            (folder / _DONE).write_text(json.dumps(told))
    packages = next(folder.glob("lib/python*/site-packages"), folder)
    variables = {"VIRTUAL_ENV": str(folder), "PATH": f"{folder / 'bin'}{os.pathsep}{environ.get('PATH', os.defpath)}"}
    uv_told = f"{told.pop('uv', '?')} ({origin}; cache {cache})"
    return Prepared(variables, (str(packages),), {**told, "environment": command.environment, "uv": uv_told})


def _make(uv: str, kind: str, file: Path, folder: Path, environ: Mapping[str, str], children: Children) -> None:
    environ = {**environ, "VIRTUAL_ENV": str(folder), "UV_PROJECT_ENVIRONMENT": str(folder), "UV_NO_PROGRESS": "1"}
    steps = {
        PROJECT: [["sync", "--locked"]],
        REQUIREMENTS: [["venv", str(folder)], ["pip", "install", "--python", str(folder), "-r", file.name]],
        SCRIPT: [["sync", "--script", file.name, "--active", *(["--locked"] if _lock_of(file).is_file() else [])]],
    }
    for step in steps[kind]:
        ended = children.run([uv, *step], cwd=file.parent, environ=environ, is_quiet=True)
        if ended.exit_code:
            problem = f"uv can't make the environment of {file.name}: {_cause(ended)}"
            if any(text in ended.said for text in _LOCK_MISFITS):
                script = f" --script {file.name}" if kind == SCRIPT else ""
                raise CodeError(problem, hint=f"lock it again:  uv lock{script}, then run again")
            raise FederationError(problem, hint=_advice(file, ended.said))


def _cause(ended: Ended) -> str:
    causes = [cause.strip() for cause in _CAUSES.findall(ended.said)]
    if not causes:
        return f"exit code {ended.exit_code}: {ended.cause}"
    return ": ".join(dict.fromkeys([causes[0], *causes[1:2], causes[-1]]))[:600]


def _advice(file: Path, said: str) -> str:
    if "error sending request" in said or "Failed to fetch" in said or "network was disabled" in said:
        return "let the node reach the package index, or name another one by UV_INDEX_URL"
    if "not found in the package registry" in said or "No solution found" in said:
        return f"correct the dependencies of {file.name}; `uv sync` or `uv run` on your machine says the same"
    return "what uv said stands above"


def _uv(command: Command, environ: Mapping[str, str], cache: Path, children: Children) -> tuple[str, str]:
    """The program and where it is from."""
    if command.uv is not None:
        return str(downloaded_uv(command.uv, cache / "fedml")), "downloaded"
    found = uv_of(environ)
    if found is None:
        raise UsageError(
            f"{command.file} declares dependencies, and uv is not on the PATH of this node or image",
            hint="install uv there, or set uv and uv_sha256 under [run] in fedml.toml, from which nodes then get it",
        )
    return found, "from PATH"


def uv_of(environ: Mapping[str, str]) -> Union[str, None]:  # noqa: UP007
    """The uv on the PATH of this environment, else the one beside this Python. None without either."""
    beside = os.path.dirname(sys.executable)  # noqa: PTH120
    return shutil.which("uv", path=f"{environ.get('PATH', os.defpath)}{os.pathsep}{beside}")


def _cache(environ: Mapping[str, str], task_folder: Path) -> Path:
    """The cache folder: UV_CACHE_DIR, else uv's own default, else one of this task."""
    given = environ.get("UV_CACHE_DIR")
    home = environ.get("XDG_CACHE_HOME") or (f"{environ['HOME']}/.cache" if environ.get("HOME") else "")
    for folder in (given, f"{home}/uv" if home else ""):
        if not folder:
            continue
        try:
            (Path(folder) / "fedml").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if folder == given:
                write_note(
                    f"Note: UV_CACHE_DIR {folder} can't be written ({error.strerror}): this task has its own cache"
                )
            continue
        if os.access(Path(folder) / "fedml", os.W_OK):
            return Path(folder)
    (task_folder / "uv" / "fedml").mkdir(parents=True, exist_ok=True)
    return task_folder / "uv"


def _key(kind: str, file: Path, environ: Mapping[str, str]) -> str:
    """A hash of all that decides what is in the environment; "" where other files decide too."""
    text = file.read_text("utf-8", "replace")
    if kind == SCRIPT:
        blocks = script_blocks(text)
        text = blocks[0]["content"] if blocks else ""
    if kind == PROJECT or _NAMES_FILES.search(re.sub("(?m)^# ?", "", text) if kind == SCRIPT else text):
        return ""
    settings = {name: value for name, value in environ.items() if name.startswith("UV_") and name != "UV_CACHE_DIR"}
    python = file.with_name(".python-version")
    parts = [kind, text, os.uname().machine, json.dumps(settings, sort_keys=True)]
    parts += [each.read_text("utf-8", "replace") if each.is_file() else "" for each in (_lock_of(file), python)]
    return hashlib.sha256("\0".join(parts).encode(errors="replace")).hexdigest()[:32]


def _lock_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.lock")


def _made(folder: Path) -> Union[dict[str, str], None]:  # noqa: UP007
    """What is known of a finished environment. None if it isn't finished or its Python is gone."""
    try:
        told = Members({"it": parse_json((folder / _DONE).read_bytes(), source=_DONE)}, source=_DONE).text_map("it")
    except (OSError, ForeignTextError):
        return None
    return told if (folder / "bin/python").exists() else None


def _facts(folder: Path) -> dict[str, str]:
    """Versions of Python and uv, from the environment's own file."""
    lines = (folder / "pyvenv.cfg").read_text().splitlines()
    pairs = dict(line.split(" = ", 1) for line in lines if " = " in line)
    return {"python": pairs.get("version_info", "?"), "uv": pairs.get("uv", "?")}


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Lets one task at a time make an environment. The lock ends with its process."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
