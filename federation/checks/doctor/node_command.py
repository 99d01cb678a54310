"""Finds the fedml that a job's task publishes with, and makes the check's command of it: found in the same way."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

_SHELLS = ("sh", "bash", "dash", "ash", "ksh", "zsh")
_PATH = r"(?:\$\{[^}\s]+\}|[\w$~.+@%:/-])+"
_FEDML = re.compile(rf"(?P<fedml>(?:{_PATH}/)?fedml)[\"']?\s+publish\b")
_ARCHIVE = re.compile(rf"(?P<fedml>(?:{_PATH}\s+(?:-[A-Za-z]+\s+)*)?{_PATH}\.pyz)\b")
_WORD = r"(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s;&|\"'])+"
_SETUP = re.compile(
    rf"(?:^|[\n;&|]|\bthen\b)\s*(?P<line>(?:export\s+)?PATH={_WORD}|(?:\.|source|cd)\s+{_WORD})(?=\s|[;&|]|$)"
)
"""What a script does before it publishes, so that fedml is found: PATH, a virtual environment, a folder."""


def command_of(task: Mapping[str, Any]) -> dict[str, Any]:
    """The command and arguments of the check. The archive for nodes where the task runs that; `FEDML_COMMAND` of the task's
    environment; the fedml that the task's command or script names, by the task's own shell; else `fedml`."""
    config = task.get("Config") or {}
    command = str(config.get("command") or "")
    arguments = [str(argument) for argument in config.get("args") or ()]
    for number, argument in enumerate(arguments):
        if argument.endswith(".pyz"):
            return {"command": config.get("command"), "args": [*arguments[: number + 1], "--check"]}
    if fedml := str((task.get("Env") or {}).get("FEDML_COMMAND") or ""):
        return {"command": fedml, "args": ["publish", "--check"]}
    if _name(command) == "fedml" or command.endswith(".pyz"):
        return {"command": command, "args": ["publish", "--check"] if _name(command) == "fedml" else ["--check"]}
    for place, argument in enumerate(arguments):  # env, nice, time, … before it
        if _name(argument) == "fedml" and arguments[place + 1 : place + 2] == ["publish"]:
            return {"command": command, "args": [*arguments[: place + 2], "--check"]}
    for script in _scripts(task, command, arguments):
        if line := _check_line(script):
            shell = command if _name(command) in _SHELLS else "/bin/sh"
            return {"command": shell, "args": [_flag(arguments), line]}
    return {"command": "fedml", "args": ["publish", "--check"]}


def _scripts(task: Mapping[str, Any], command: str, arguments: list[str]) -> Iterator[str]:
    """The texts that the task may run: its shell's own script, then its templates."""
    if _name(command) in _SHELLS:
        yield from (argument for argument in arguments if " " in argument)
    for template in task.get("Templates") or ():
        yield str(template.get("EmbeddedTmpl") or "")


def _check_line(script: str) -> str:
    """The shell's line that checks instead of publishing; "" for a script that doesn't publish."""
    text = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("#"))
    archive = _ARCHIVE.search(text)
    found = _FEDML.search(text) or archive
    if found is None:
        return ""
    setup = [match["line"] for match in _SETUP.finditer(text, 0, found.start())]
    publish = "--check" if found is archive else "publish --check"
    return "; ".join([*setup, f"exec {found['fedml']} {publish}"])


def _flag(arguments: list[str]) -> str:
    """The shell's flag for a script: a login shell stays one."""
    return next((one for one in arguments if re.fullmatch(r"-[a-z]*c", one)), "-c")


def _name(command: str) -> str:
    return PurePosixPath(command).name
