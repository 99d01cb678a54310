"""Validates a table of a file against its declaration, and says each problem in words.

A problem's text never holds a value of the file, since what stands under a mistyped key may be a secret.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from federation.config.schema_places import Table
from jobs.frozen import frozen

T = TypeVar("T", bound=Table)


@frozen
class Problem:
    """One problem: the key's path (`regions.us.token`), a clause about it, and what to write instead."""

    key: str
    text: str
    hint: str = ""


def validated(kind: type[T], data: Mapping[str, Any]) -> T | list[Problem]:
    """Validates a table. Returns it, or all problems, unknown keys first (a mistyped key is also a missing one)."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        details = sorted(
            error.errors(include_url=False, include_input=True), key=lambda d: d["type"] != "extra_forbidden"
        )
        problems = [_problem(detail, kind) for detail in details]
    return problems


_KINDS = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a table",
    "model": "a table",
}
_GIVEN = {str: "text", bool: "true or false", int: "a whole number", float: "a number", list: "a list", dict: "a table"}


def _problem(detail: ErrorDetails, root: type[Table]) -> Problem:
    path, kind, context = detail["loc"], detail["type"], detail.get("ctx", {})
    key, last = ".".join(str(part) for part in path), str(path[-1]) if path else ""
    if kind == "extra_forbidden":
        known = _fields_at(path[:-1], root)
        close = difflib.get_close_matches(last, known, n=1, cutoff=0.6)
        return Problem(
            key, "unknown key", f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
        )
    if kind == "missing":
        return Problem(key, "is missing", _EXAMPLES.get(last, ""))
    if kind.endswith("_type") and kind.removesuffix("_type") in _KINDS:
        given = _GIVEN.get(type(detail["input"]), "that")
        text = f"must be {_KINDS[kind.removesuffix('_type')]}, not {given}"
        return Problem(key, text, _EXAMPLES.get(last, ""))
    if kind == "literal_error":
        choices = [choice.strip("' ") for choice in str(context["expected"]).replace(" or ", ", ").split(",")]
        close = difflib.get_close_matches(str(detail["input"]), choices, n=1)
        return Problem(key, f"must be one of {context['expected']}", f"did you mean {close[0]!r}?" if close else "")
    text = _RULES[kind].format_map(context) if kind in _RULES else detail["msg"]
    hint = context.get("hint") or _EXAMPLES.get(last, "")
    return Problem(key, text[0].lower() + text[1:], str(hint))


_RULES = {
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "finite_number": "must be a finite number",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "string_pattern_mismatch": "has another form than this key takes",
}
"""What a value must be, by pydantic's name of the rule. A length is only ever required to be one or more."""

_EXAMPLES = {
    "federation": 'begin with a table [federation] and home = "file://./stores/home"',
    "home": 'write home = "file://./stores/home" or another store URL',
    "store": 'write store = "s3://bucket/prefix" or another store URL',
    "token": 'write token = { env = "VARIABLE" } or another reference',
    "addresses": 'write addresses = ["https://nomad.example.com:4646"]',
    "url": 'write url = "s3://bucket/prefix" or another store URL',
    "nodes": "write nodes = [{ cpu_mhz = 4000, memory_mb = 4096 }]",
    "buckets": 'write buckets = ["name"]',
    "max_failures": 'write a number of slots or a share of them, in quotes: "5" or "5%"',
    "slot_timeout": 'write a duration in quotes: slot_timeout = "2h"',
    "kill_timeout": 'write a duration in quotes: kill_timeout = "30s"',
    "sha256": "write the 64 hex digits that the build printed",
}


def _fields_at(path: Sequence[str | int], root: type[Table]) -> list[str]:
    """The keys of the table at that path."""
    model = root
    parts = iter(path)
    for part in parts:
        annotation = model.model_fields[str(part)].annotation
        if get_origin(annotation) in (dict, list):
            next(parts, None)  # the name in `regions.NAME`, the number in `nodes`
        model = table_in(annotation) or model
    return [info.alias or name for name, info in model.model_fields.items()]


def table_in(annotation: Any) -> type[Table] | None:
    """The table inside an annotation: `dict[str, T]`, `list[T]`, `T | None` or T itself; None where there is none."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return annotation
    if get_origin(annotation) is Literal:
        return None
    return next((found for part in get_args(annotation) if (found := table_in(part)) is not None), None)
