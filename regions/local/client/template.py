"""Renders a task's `template` blocks to files and environment variables.

Of Go's and consul-template's language this supports text, comments, trim markers, string literals, pipes, `with`,
fields and the functions below. Anything else fails the task, as an undefined function does with Nomad.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable
from typing import Any

from regions.local.client.task_env import TaskEnv


class TemplateFailed(Exception):
    """A template can't be rendered. The message is the event's, in Nomad's words."""


class TemplateWaits(Exception):
    """A variable that the template reads doesn't exist yet. The message is the event's."""


class TemplateRefused(Exception):
    """A template's own settings are wrong (a destination outside of the allocation)."""


_TOKEN = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|`([^`]*)`|(\.?[A-Za-z_][\w.]*)|(-?\d+)|(\|))')

_FUNCTIONS: dict[str, Callable[..., str]] = {
    "toLower": lambda text: text.lower(),
    "toUpper": lambda text: text.upper(),
    "trimSpace": lambda text: text.strip(),
    "toJSON": lambda value: json.dumps(value),
    "base64Encode": lambda text: base64.b64encode(text.encode()).decode(),
    "base64Decode": lambda text: base64.b64decode(text).decode(),
    "print": lambda *parts: "".join(parts),
}


def render_all(templates: list[dict[str, Any]], env: TaskEnv) -> dict[str, str]:
    """Writes every template's file and returns the variables of those with `env = true`.

    Replaces each file as a whole. Raises TemplateFailed, TemplateWaits, TemplateRefused, OSError.
    """
    variables: dict[str, str] = {}
    for template in templates:
        path = _destination(template, env)
        text = _render(_source(template, env), template, env)
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        _check_inside(path, env)
        new = path + ".new"
        with open(new, "w") as file:  # noqa: PTH123
            file.write(text)
        os.chmod(new, int(template.get("Perms") or "0644", 8))  # noqa: PTH101
        os.replace(new, path)  # noqa: PTH105
        if template.get("Envvars"):
            variables |= parse_env(text, path)
    return variables


def _destination(template: dict[str, Any], env: TaskEnv) -> str:
    path, escapes = env.client_path(template.get("DestPath") or "", join_escape=True)
    if escapes:
        raise TemplateRefused("template destination path escapes alloc directory")
    return path


def _check_inside(path: str, env: TaskEnv) -> None:
    """Checks that no link made by a task leads the writing out of the allocation."""
    if not env.contains(path):
        raise TemplateRefused("template destination path escapes alloc directory")


def _source(template: dict[str, Any], env: TaskEnv) -> str:
    if not template.get("SourcePath"):
        return str(template.get("EmbeddedTmpl") or "")
    path, escapes = env.client_path(template["SourcePath"], join_escape=False)
    if escapes:
        raise TemplateRefused("template source path escapes alloc directory")
    try:
        with open(path) as file:  # noqa: PTH123
            return file.read()
    except FileNotFoundError as error:
        raise TemplateFailed(f"Template failed: {path}: open {path}: no such file or directory") from error


def _render(text: str, template: dict[str, Any], env: TaskEnv) -> str:
    left, right = template.get("LeftDelim") or "{{", template.get("RightDelim") or "}}"
    pieces: list[str] = []
    at, trim, line = 0, False, 1
    dots: list[Any] = []
    """Values of the open `with` blocks. One without a value hides its content."""
    while (start := text.find(left, at)) >= 0:
        line = text.count("\n", 0, start) + 1
        end = text.find(right, start + len(left))
        if end < 0:
            raise _unparsable(line, "unclosed action")
        action = text[start + len(left) : end]
        before = text[at:start].lstrip() if trim else text[at:start]
        if action.startswith("- "):
            before, action = before.rstrip(), action[2:]
        trim = action.endswith(" -")
        action = action.removesuffix(" -").strip()
        at = end + len(right)
        is_shown = all(dots)
        if is_shown:
            pieces.append(before)
        if action == "end":
            if not dots:
                raise _unparsable(line, "unexpected {{end}}")
            dots.pop()
        elif action.startswith("with "):
            dots.append(_action(action[5:], line, env, dots) if is_shown else None)
        elif is_shown:
            pieces.append(str(_action(action, line, env, dots)))
    if dots:
        raise _unparsable(line, "unexpected EOF")
    rest = text[at:]
    return "".join([*pieces, rest.lstrip() if trim else rest])


def _unparsable(line: int, why: str) -> TemplateFailed:
    return TemplateFailed(f"Template failed: (dynamic): parse: template: :{line}: {why}")


def _action(action: str, line: int, env: TaskEnv, dots: list[Any]) -> Any:
    if action.startswith("/*") and action.endswith("*/"):
        return ""
    value: list[Any] = []
    for command in _commands(action, line):
        (kind, head), *rest = command
        arguments = [text for _, text in rest] + value
        if kind == "text":
            value = [head]
        elif head == "env":
            value = [env.env.get(arguments[0], env.node.get(arguments[0], "")) if arguments else ""]
        elif head == "envOrDefault":
            value = [env.env.get(arguments[0]) or arguments[1]]
        elif head == "nomadVar":
            value = [_nomad_variable(arguments[0], env)]
        elif head.startswith(".") and dots:
            value = [dots[-1].get(head[1:], "<no value>")]
        elif head in _FUNCTIONS:
            value = [_FUNCTIONS[head](*arguments)]
        else:
            raise _unparsable(line, f'function "{head}" not defined')
    return value[0]


def _nomad_variable(path: str, env: TaskEnv) -> Any:
    """Reads a variable. Without further rights, a task may only read variables under its own job.

    Raises TemplateWaits, which names the region `global` whatever its name is, as Nomad does.
    """
    job = env.env.get("NOMAD_JOB_PARENT_ID") or env.env.get("NOMAD_JOB_ID", "")
    own = ["nomad/jobs"]
    for name in (job, env.env.get("NOMAD_GROUP_NAME", ""), env.env.get("NOMAD_TASK_NAME", "")):
        own.append(f"{own[-1]}/{name}")
    namespace = env.env.get("NOMAD_NAMESPACE", "default")
    if path not in own:
        raise TemplateFailed(f"Template failed: nomad.var.get({path}): Permission denied")
    found = env.variable(namespace, path)
    if found is None:
        raise TemplateWaits(f"Missing: nomad.var.block({path}@{namespace}.global)")
    return found


def _commands(action: str, line: int) -> list[list[tuple[str, str]]]:
    commands: list[list[tuple[str, str]]] = [[]]
    at = 0
    while at < len(action):
        token = _TOKEN.match(action, at)
        if token is None:
            rest = action[at:].strip()[:1]
            raise TemplateFailed(
                f'Template failed: (dynamic): parse: template: :{line}: unexpected "{rest}" in command'
            )
        at = token.end()
        if token[5]:
            commands.append([])
        elif token[3] is not None:
            commands[-1].append(("name", token[3]))
        else:
            quoted = (
                json.loads(f'"{token[1]}"')
                if token[1] is not None
                else (token[2] if token[2] is not None else token[4])
            )
            commands[-1].append(("text", quoted))
        while at < len(action) and action[at].isspace():
            at += 1
    if not all(commands):
        raise TemplateFailed(f"Template failed: (dynamic): parse: template: :{line}: missing value for command")
    return commands


def parse_env(text: str, path: str) -> dict[str, str]:
    """Parses `KEY=value` lines (with quotes, `export`, comments). Raises TemplateFailed with the line."""
    variables: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        key, found, value = entry.removeprefix("export ").partition("=")
        key, value = key.strip(), value.strip()
        if not found or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", key):
            reason = f'error parsing env template "{path}": error on line {number}: missing ='
            raise TemplateFailed(f"Template failed to read environment variables: {reason}")
        if value[:1] == "'":
            value = value[1:].partition("'")[0]
        elif value[:1] == '"':
            value = _double_quoted(value)
        else:
            value = re.split(r"\s#", value, maxsplit=1)[0].rstrip()
        variables[key] = value
    return variables


def _double_quoted(value: str) -> str:
    match = re.match(r'"((?:[^"\\]|\\.)*)"', value)
    inner = match[1] if match else value[1:]
    return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t", "r": "\r"}.get(m[1], m[1]), inner)
