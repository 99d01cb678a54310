"""Values of parameters as Python, as text, and as the JSON of the meta `fedml_params`. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from jobs.dispatch_meta import text_problem
from jobs.foreign import kind_of
from jobs.json_limits import Limits

Value = str | int | float | bool

PARAMS_LIMITS = Limits(whole_max=10**4300)
"""For JSON that holds parameters."""
_WHOLE_BITS_MAX = 14_000
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def value_problem(value: object) -> str:
    """Returns why a value can't be a parameter; empty for one that can."""
    if isinstance(value, str):
        return text_problem(value)
    if isinstance(value, float):
        return "" if math.isfinite(value) else "is not a finite number"
    if isinstance(value, int):
        return "has too many digits" if value.bit_length() > _WHOLE_BITS_MAX else ""
    return f"is {kind_of(value)}"


def typed(text: str) -> Value:
    """Parses a text to a value whose `text_of` is the same text again, so "007" and "0.10" stay texts."""
    if text in ("true", "false"):
        return text == "true"
    if _NUMBER.fullmatch(text):
        for kind in (int, float):
            try:
                value = kind(text)
            except ValueError:
                continue
            if text_of(value) == text:
                return value
    return text


def text_of(value: Value) -> str:
    """Formats a value for meta."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def params_json(parameters: Mapping[str, Value]) -> str:
    """The parameters as canonical JSON, for the meta `fedml_params`: a number stands as it was written (`1e-5`), and no `${`
    is left for Nomad to replace."""
    members = (f"{json.dumps(name, ensure_ascii=False)}:{_json(parameters[name])}" for name in sorted(parameters))
    return f"{{{','.join(members)}}}".replace("${", "\\u0024{")


def _json(value: Value) -> str:
    """One value. A text is a number if it is one of JSON's, and no number that Python would write in the same way."""
    if isinstance(value, str) and _JSON_NUMBER.fullmatch(value) and isinstance(typed(value), str):
        return value if math.isfinite(float(value)) else json.dumps(value)
    return json.dumps(value, ensure_ascii=False)
