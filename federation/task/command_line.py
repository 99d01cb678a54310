"""The command that a task of `fedml run` runs: the JSON of the meta `fedml_command`, and the place of parameters in it. Pure.

::

    {"argv": ["python", "train.py", "--epochs", "20"],
     "pass": "args",
     "environment": {"kind": "project", "file": "uv.lock"},
     "uv": {"url": "https://…/uv-x86_64-unknown-linux-gnu.tar.gz", "sha256": "…"},
     "git_commit": "…"}

`argv` runs in the code folder, with the environment's programs first on PATH. `uv` and `git_commit` may be absent. The
coordinator writes it, the task parses it. The archive for nodes holds this module, so it must also run under Python 3.9.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from federation.errors import UsageError
from jobs.code_run import COMMAND_KEY
from jobs.dispatch_meta import META_BYTES_MAX, text_problem
from jobs.foreign import Members, parse_json

PROJECT, REQUIREMENTS, SCRIPT, NONE = KINDS = ("project", "requirements", "script", "none")
"""Where the dependencies are declared: `uv.lock`, `requirements.txt`, the script's own block (PEP 723), nowhere."""
AS_ARGUMENTS, AS_VARIABLES = PASSES = ("args", "env")
"""`args`: `--lr 0.1` after the command's own arguments. `env`: `FEDML_PARAM_LR=0.1`."""

_SHA256 = re.compile("[0-9a-f]{64}")
_COMMIT = re.compile("[0-9a-f]{40}([0-9a-f]{24})?")
_NAME = re.compile(r"\{(\{)?([^{}]+)\}(?(1)\})")


@dataclass(frozen=True)
class UvDownload:
    """Where nodes get uv from, and the sha256 of what lies there: the program itself, or a tar.gz that holds it."""

    url: str
    sha256: str


@dataclass(frozen=True)
class Command:
    """The command of one run. `environment` is one of `KINDS`; `file` declares the dependencies, relative to the code folder
    ("" for `none`). `passes` is one of `PASSES`. `git_commit` is the commit of the code, "" where there is none."""

    argv: tuple[str, ...]
    environment: str = NONE
    file: str = ""
    passes: str = AS_ARGUMENTS
    uv: UvDownload | None = None
    git_commit: str = ""

    def to_json(self) -> str:
        """The value of the meta `fedml_command`. Equal commands give equal texts, and no `${` is left for Nomad to replace."""
        told: dict[str, Any] = {
            "argv": list(self.argv),
            "pass": self.passes,
            "environment": {"kind": self.environment, "file": self.file},
        }
        if self.uv is not None:
            told["uv"] = {"url": self.uv.url, "sha256": self.uv.sha256}
        if self.git_commit:
            told["git_commit"] = self.git_commit
        text = json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return text.replace("${", "\\u0024{")


def parse_command(text: str) -> Command:
    """Parses the meta `fedml_command`. Raises ForeignTextError for anything that `Command.to_json` doesn't write."""
    top = Members(parse_json(text, source=COMMAND_KEY), source=COMMAND_KEY)
    argv = top.texts("argv", items_max=META_BYTES_MAX, chars_max=META_BYTES_MAX)
    if not argv or not argv[0]:
        raise top.wrong("argv", "names no command")
    if any(map(text_problem, argv)):
        raise top.wrong("argv", "holds a NUL character")
    declared = top.members("environment")
    kind, file = _one_of(declared, "kind", KINDS), declared.text("file", "", chars_max=1024)
    if (kind == NONE) != (not file) or not _is_inside(file):
        raise declared.wrong("file", f"is {file!a}, not a file of the code folder")
    return Command(
        argv=tuple(argv),
        environment=kind,
        file=file,
        passes=_one_of(top, "pass", PASSES),
        uv=_uv(top.members("uv")) if "uv" in top else None,
        git_commit=_matching(top, "git_commit", _COMMIT) if "git_commit" in top else "",
    )


def arguments(command: Command, params: Mapping[str, str]) -> list[str]:
    """The arguments that start the command. Each `{name}` of a parameter is replaced by its value, and `{{name}}` gives
    `{name}`; other braces stay. Parameters without a place are appended as `--name value`, if the command takes arguments."""
    placed = set()

    def value(match: re.Match[str]) -> str:
        name = match[2]
        if name not in params:
            return match[0]
        if match[1]:
            return f"{{{name}}}"
        placed.add(name)
        return params[name]

    argv = [_NAME.sub(value, argument) for argument in command.argv]
    if command.passes == AS_ARGUMENTS:
        for name in params:
            if name not in placed:
                argv += [f"--{name}", params[name]]
    return argv


def variables(command: Command, params: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that hold the parameters, if the command takes them so. Raises UsageError if two parameters
    have the same variable."""
    if command.passes != AS_VARIABLES:
        return {}
    found = {f"FEDML_PARAM_{re.sub('[^A-Z0-9_]', '_', name.upper())}": params[name] for name in params}
    if len(found) < len(params):
        raise UsageError("two parameters have the same environment variable", hint="rename one of them")
    return found


def _uv(members: Members) -> UvDownload:
    url = members.text("url", chars_max=2048)
    if not url.startswith(("https://", "http://", "file:///")):
        raise members.wrong("url", f"is {url[:40]!a}, not a https, http or file URL")
    return UvDownload(url, _matching(members, "sha256", _SHA256))


def _one_of(members: Members, name: str, allowed: tuple[str, ...]) -> str:
    value = members.text(name)
    if value not in allowed:
        raise members.wrong(name, f"is {value[:40]!a}, not one of {', '.join(allowed)}")
    return value


def _matching(members: Members, name: str, pattern: re.Pattern[str]) -> str:
    value = members.text(name)
    if not pattern.fullmatch(value):
        raise members.wrong(name, f"is {value[:40]!a}, not {pattern.pattern}")
    return value


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return not text_problem(path) and ".." not in parts and not path.startswith("/")
