"""Values of parameters as Python and as text. Pure.

The archive for nodes contains this module, so it must also run under Python 3.9.
"""

from __future__ import annotations

import math
from typing import Union

from jobs.code_run import PARAMS_KEY
from jobs.foreign import Members, kind_of, parse_json
from jobs.json_limits import Limits
from jobs.spec import text_problem

Value = Union[str, int, float, bool]  # noqa: UP007 - runs under Python 3.9

PARAMS_LIMITS = Limits(whole_max=10**4300)
"""For JSON that holds parameters."""
_WHOLE_BITS_MAX = 14_000


def value_problem(value: object) -> str:
    """Returns why a value can't be a parameter; empty for one that can."""
    if isinstance(value, str):
        return text_problem(value)
    if isinstance(value, float):
        return "" if math.isfinite(value) else "is not a finite number"
    if isinstance(value, int):
        return "has too many digits" if value.bit_length() > _WHOLE_BITS_MAX else ""
    return f"is {kind_of(value)}"


def text_of(value: Value) -> str:
    """Formats a value for meta."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def parse_params(text: str) -> dict[str, Value]:
    """Parses the meta `fedml_params`: names and values (text, number, true or false). Raises ForeignTextError."""
    top = Members(parse_json(text or "{}", source=PARAMS_KEY, limits=PARAMS_LIMITS), source=PARAMS_KEY)
    found = {}
    for name in top.names():
        value = top.any(top.name(name))
        problem = text_problem(name) or value_problem(value)
        if problem or not name:
            raise top.wrong(name, problem or "has no name")
        found[name] = value
    return found
