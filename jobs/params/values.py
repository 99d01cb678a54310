"""Values of parameters as Python and as text. Pure."""

from __future__ import annotations

import math

from jobs.foreign import kind_of
from jobs.json_limits import Limits
from jobs.spec import text_problem

Value = str | int | float | bool

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
