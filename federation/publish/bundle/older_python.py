"""Adds to Python 3.9 and 3.10 what fedml's modules use of 3.11's standard library.

Only for the archive, which imports it first. A test checks with `vermin` that fedml's modules need nothing else. This
module itself uses only syntax that those Pythons know.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import itertools
import sys
from typing import Any

_standard: Any = {module.__name__: module for module in (dataclasses, datetime, enum, itertools)}


def fill_in(version: tuple[int, ...] = tuple(sys.version_info[:2])) -> None:
    """Adds what this version of Python lacks."""
    if version < (3, 11):
        _standard["datetime"].UTC = datetime.timezone.utc  # noqa: UP017
        _standard["enum"].StrEnum = _StrEnum
    if version < (3, 10):
        _standard["dataclasses"].dataclass = _dataclass
        _standard["itertools"].pairwise = _pairwise


class _StrEnum(str, enum.Enum):  # noqa: UP042
    """StrEnum of 3.11: a member is its value, also when it is formatted."""

    __str__ = str.__str__
    __format__ = str.__format__  # type: ignore[assignment]


def _dataclass(cls: Any = None, *, slots: bool = False, **given: Any) -> Any:
    """Dataclass that accepts `slots=True` of 3.10, which only saves memory."""
    return _plain_dataclass(cls, **given)


def _pairwise(items: Any) -> Any:
    """Pairwise of 3.10: each item with the next one."""
    first, second = itertools.tee(items)
    next(second, None)
    return zip(first, second)  # noqa: B905


_plain_dataclass = dataclasses.dataclass
