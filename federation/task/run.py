"""Runs the command of a dispatch in its environment and publishes what it wrote: the task of `fedml run`.

The code is fetched first, in a fork: what a vendor's SDK takes of the task's memory is free again then. The command starts in
the code folder, with an empty output folder: a restarted task begins anew, and only the checkpoint folder is kept. Nothing is
published unless the command ends with exit code 0 and nobody stopped the task.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from federation.errors import FederationError, PublishError, Unpublishable
from federation.output.streams import write_line, write_note
from federation.task.command_line import NONE, SCRIPT, Command, arguments, parse_command, variables
from federation.task.environment import Prepared, prepare
from federation.task.memory import MemoryWatch
from federation.task.process import Children, Ended
from federation.task.task_environment import meta, needed
from jobs.code_run import (
    CODE_FOLDER,
    CODE_KEY,
    COMMAND_KEY,
    CURVES_FILE,
    METRICS_FILE,
    OUTPUT_FOLDER,
    PARAMS_KEY,
    params_of,
)

TASK_MODULE = "fedml_task"
_HIDDEN = ("NOMAD_TOKEN", "VAULT_TOKEN", "CONSUL_TOKEN", "FEDML_STORES", "FEDML_META", "FEDML_VERSION_KEY")
_VERSION_S = 10.0
_OWN_META = tuple(f"nomad_meta_{key}" for key in (CODE_KEY, COMMAND_KEY, PARAMS_KEY))


@dataclass(frozen=True)
class Folders:
    """The folders of a task, as the task sees them."""

    code: Path
    output: Path
    checkpoint: Path
    own: Path


def run(environ: Mapping[str, str], *, fetch: Callable[[], int]) -> int:
    """Runs the task and returns its exit code: the command's own, 128 and the number of a signal, 1 for other failures.

    Raises FedmlError for a command that can't be started, and for output that can't be published.
    """
    children = Children()
    command = parse_command(meta(environ, COMMAND_KEY))
    params = params_of(meta(environ, PARAMS_KEY) or "{}")
    shared, own = Path(needed(environ, "NOMAD_ALLOC_DIR")), Path(needed(environ, "NOMAD_TASK_DIR"))
    folders = Folders(shared / CODE_FOLDER, shared / OUTPUT_FOLDER, shared / "checkpoint", own)
    _make_folders(folders)
    if not folders.code.is_dir():
        exit_code = children.fork(fetch)
        if children.stopped_by:
            return _failed(Ended(0, children.stopped_by, ""), children.stopped_by, "")
        if exit_code:
            return exit_code
    plain = {name: value for name, value in environ.items() if name not in _HIDDEN and name.lower() not in _OWN_META}
    try:
        prepared = prepare(command, folders.code, own, plain, children)
    except FederationError:
        if children.stopped_by:
            return _failed(Ended(0, children.stopped_by, ""), children.stopped_by, "")
        raise
    given = {**plain, **prepared.variables, **_conventions(environ, folders, command, params)}
    argv = _found(arguments(command, params), given)
    memory = MemoryWatch(environ)
    ended = children.run(argv, cwd=folders.code, environ=given)
    if children.stopped_by or ended.exit_code:
        return _failed(ended, children.stopped_by, memory.cause())
    prepared = replace(prepared, told={**_python_of(argv, folders.code, given), **prepared.told})
    _publish(environ, command, params, folders, prepared)
    return 0


def _make_folders(folders: Folders) -> None:
    try:
        shutil.rmtree(folders.output, ignore_errors=True)
        folders.output.mkdir(parents=True, exist_ok=True)
        folders.checkpoint.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PublishError(
            f"the output folder {folders.output} can't be made: {error.strerror}",
            hint="look at the disk of the node and at who may write into the allocation's folder",
        ) from error


def _conventions(
    environ: Mapping[str, str], folders: Folders, command: Command, params: Mapping[str, str]
) -> dict[str, str]:
    """Writes the parameters and `fedml_task.py` into the task's folder and returns the variables of the conventions."""
    file, modules = folders.own / "params.json", folders.own / "fedml"
    file.write_text(meta(environ, PARAMS_KEY) or "{}", "utf-8")
    modules.mkdir(exist_ok=True)
    (modules / f"{TASK_MODULE}.py").write_text(_task_module(), "utf-8")
    before = environ.get("PYTHONPATH", "")
    named = {
        "FEDML_PARAMS": str(file),
        "FEDML_OUTPUT": str(folders.output),
        "FEDML_CHECKPOINT_DIR": environ.get("FEDML_CHECKPOINT_DIR") or str(folders.checkpoint),
        "FEDML_RUN": meta(environ, "fedml_run"),
        "FEDML_SLOT": meta(environ, "fedml_slot"),
        "FEDML_ATTEMPT": meta(environ, "fedml_attempt") or "1",
        "FEDML_VERSION": meta(environ, "fedml_version"),
        "PYTHONPATH": f"{modules}{os.pathsep}{before}" if before else str(modules),
        "PYTHONUNBUFFERED": environ.get("PYTHONUNBUFFERED") or "1",
    }
    return {**named, **variables(command, params)}


def _task_module() -> str:
    spec = find_spec(TASK_MODULE)
    source = spec.loader.get_source(TASK_MODULE) if spec and spec.loader and hasattr(spec.loader, "get_source") else ""
    return str(source)


def _found(argv: list[str], environ: Mapping[str, str]) -> list[str]:
    """The command with the path of its program, since PATH is the environment's. Where there is only the other one of
    `python` and `python3`, it is that."""
    path = environ.get("PATH", os.defpath)
    names = ("python", "python3") if argv[0] in ("python", "python3") else ()
    found = next(filter(None, (shutil.which(name, path=path) for name in (argv[0], *names))), None)
    if found is None and names:
        found = sys.executable
    return [found or argv[0], *argv[1:]]


def _failed(ended: Ended, stopped_by: int, cause_of_kill: str) -> int:
    """Writes the cause in one line and returns the exit code of a task that failed."""
    if stopped_by:
        write_note("Stopped before the command was done, so nothing was published")
        return ended.exit_code or 128 + stopped_by
    if ended.signal:
        problem = cause_of_kill if ended.signal == 9 else f"the command was killed by signal {ended.signal}"
    else:
        problem = f"the command ended with exit code {ended.code}" + (f": {ended.cause}" if ended.cause else "")
    write_note(f"Error: {problem}")
    if ended.cause.startswith("ModuleNotFoundError"):
        write_note(
            "  → declare its package in the script's block (PEP 723), requirements.txt or uv.lock; or pack it: --code DIR"
        )
    write_note("  → nothing was published")
    return ended.exit_code


def _publish(
    environ: Mapping[str, str],
    command: Command,
    params: Mapping[str, str],
    folders: Folders,
    prepared: Prepared,
) -> None:
    from federation.publish.artifact import check_metrics  # loaded when the command is done: it should start at once
    from federation.publish.publish import publish
    from federation.publish.report import as_lines
    from federation.result import CODE_SHA256

    if not folders.output.is_dir():
        raise Unpublishable("the command ended well, but $FEDML_OUTPUT is not a folder any more")
    if not any(folders.output.rglob("*")):
        raise Unpublishable(
            "the command ended well, but it wrote nothing into $FEDML_OUTPUT",
            hint=f"write the model there, or at least {METRICS_FILE} or {CURVES_FILE}; then run again",
        )
    check_metrics(folders.output)
    origin = {
        CODE_SHA256: meta(environ, CODE_KEY),
        "lock_sha256": _lock_sha256(command, folders.code),
        "command": " ".join(command.argv),
        "git_commit": command.git_commit,
        "seed": params.get("seed", ""),
        **prepared.told,
    }
    outcome = publish(
        folders.output,
        environ=environ,
        origin={name: value for name, value in origin.items() if value},
        site_packages=prepared.site_packages,
    )
    for line in outcome.notes:
        write_note(f"Note: {line}")
    for line in as_lines(outcome):
        write_line(line)


def _python_of(argv: list[str], code: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The version of the Python that ran the command, if it was one and tells it."""
    if not re.fullmatch(r"python[\d.]*", Path(argv[0]).name):
        return {}
    with suppress(OSError, subprocess.SubprocessError):  # the result counts, not this
        asked = [argv[0], "--version"]
        done = subprocess.run(
            asked, cwd=code, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=_VERSION_S, check=False
        )
        version = done.stdout.decode(errors="replace").removeprefix("Python ").strip()
        return {"python": version} if version else {}
    return {}


def _lock_sha256(command: Command, code: Path) -> str:
    if command.environment == NONE:
        return ""
    file = code / (f"{command.file}.lock" if command.environment == SCRIPT else command.file)
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
