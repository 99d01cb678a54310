"""Types of parameters that came back as text: one type for all values of a column. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from jobs.params.values import Value

_WHOLE = re.compile(r"-?(0|[1-9]\d{0,18})", re.ASCII)
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_WHOLE_END = 2**63


def is_numeric(texts: Sequence[str]) -> bool:
    """Whether there are texts and all of them are numbers. `007` is not one: it may be a name."""
    return bool(texts) and all(map(_is_number, texts))


def typed_column(texts: Sequence[str | None]) -> list[Value | None]:
    """The values of one parameter: all whole numbers, all numbers, all true or false, or all text. None stays None."""
    convert = _converter([text for text in texts if text is not None])
    return [None if text is None else convert(text) for text in texts]


def _converter(texts: Sequence[str]) -> Callable[[str], Value]:
    if all(map(_is_whole, texts)):
        return int
    if is_numeric(texts):
        return float
    if all(text in ("true", "false") for text in texts):
        return lambda text: text == "true"
    return str


def _is_whole(text: str) -> bool:
    return _WHOLE.fullmatch(text) is not None and -_WHOLE_END <= int(text) < _WHOLE_END


def _is_number(text: str) -> bool:
    if _NUMBER.fullmatch(text) is None or (text.lstrip("-").isdecimal() and not _is_whole(text)):
        return False
    return math.isfinite(float(text))
