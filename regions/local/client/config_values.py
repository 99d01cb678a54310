"""Evaluates the `${…}` in a task's `config` block as HCL does.

Evaluates only references (`${NOMAD_META_x}`, `${env["A"]}`, `${attr.kernel.name}`, `${node.meta.rack}`) and the
escapes `$${` and `%%{`. Refuses expressions that compute. Unlike elsewhere in a task, an unknown reference is an error
here, as with Nomad.
"""

from __future__ import annotations

import re
from typing import Any

from regions.local.client.task_env import TaskEnv
from regions.local.drivers.driver import ConfigInvalid

_MARK = re.compile(r"\$\$\{|%%\{|%\{|\$\{~?\s*((?:[^\"{}]|\"(?:[^\"\\]|\\.)*\")*?)\s*~?\}")
_STEP = re.compile(r"\.([A-Za-z_][\w-]*|\d+)|\[\s*\"((?:[^\"\\]|\\.)*)\"\s*\]|\[\s*(\d+)\s*\]")
_NAME = re.compile(r"[A-Za-z_][\w-]*")


def interpolate(config: dict[str, Any], env: TaskEnv) -> dict[str, Any]:
    """Evaluates every string of the configuration. Raises ConfigInvalid with all of HCL's sentences at once."""
    errors: list[str] = []
    values = {name: _evaluate(value, env, errors) for name, value in config.items()}
    if errors:
        raise ConfigInvalid(errors)
    return values


def _evaluate(value: Any, env: TaskEnv, errors: list[str]) -> Any:
    if isinstance(value, str):
        return _text(value, env, errors) if "{" in value else value
    if isinstance(value, list):
        return [_evaluate(v, env, errors) for v in value]
    if isinstance(value, dict):
        return {k: _evaluate(v, env, errors) for k, v in value.items()}
    return value


def _text(text: str, env: TaskEnv, errors: list[str]) -> str:
    def replaced(match: re.Match[str]) -> str:
        if match[0] in ("$${", "%%{"):
            return match[0][1:]
        try:
            if match[1] is None:
                raise LookupError('Unsupported template: The embedded region evaluates references only, no "%{".')
            return _reference(match[1], env)
        except LookupError as error:
            errors.append(str(error.args[0]))
            return ""

    return _MARK.sub(replaced, text)


def _reference(expression: str, env: TaskEnv) -> str:
    root = _NAME.match(expression)
    if root is None:
        raise _uncomputed(expression)
    names, indexed, at = [root[0]], False, root.end()
    while at < len(expression):
        step = _STEP.match(expression, at)
        if step is None:
            raise _uncomputed(expression)
        indexed = step[1] is None
        names.append(step[1] or step[2] or step[3])
        at = step.end()
    known = _values(names, env)
    if known is None:
        if len(names) == 1 or not _is_root(names[0], env):
            raise LookupError(f'Unknown variable: There is no variable named "{names[0]}".')
        if indexed:
            raise LookupError("Invalid index: The given key does not identify an element in this collection value.")
        raise LookupError(f'Unsupported attribute: This object does not have an attribute named "{names[-1]}".')
    return known


def _values(names: list[str], env: TaskEnv) -> str | None:
    if names[0] == "env" and len(names) > 1:
        return env.env.get(".".join(names[1:]))
    if names[0] == "node" and len(names) > 2 and names[1] in ("attr", "meta"):
        names = names[1:]
    dotted = ".".join(names)
    found = env.env.get(dotted)
    return env.node.get(dotted) if found is None else found


def _is_root(name: str, env: TaskEnv) -> bool:
    prefix = name + "."
    return name in ("env", "node") or any(k == name or k.startswith(prefix) for k in (*env.env, *env.node))


def _uncomputed(expression: str) -> LookupError:
    return LookupError(f'Unsupported expression: The embedded region evaluates references only, not "{expression}".')
