"""Nothing enters; a Python of 3.9 or 3.10 leaves with what fedml's modules use of 3.11's standard library.

For the archive only, and imported there before anything else of fedml: `vermin` (a test) says that this is all they need.
Plain enough for those Pythons itself.
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
    """Add what that Python lacks; nothing where nothing is."""
    if version < (3, 11):
        _standard["datetime"].UTC = datetime.timezone.utc  # noqa: UP017
        _standard["enum"].StrEnum = _StrEnum
    if version < (3, 10):
        _standard["dataclasses"].dataclass = _dataclass
        _standard["itertools"].pairwise = _pairwise


class _StrEnum(str, enum.Enum):  # noqa: UP042
    """3.11: a member is its value, in texts too."""

    __str__ = str.__str__
    __format__ = str.__format__  # type: ignore[assignment]


def _dataclass(cls: Any = None, *, slots: bool = False, **given: Any) -> Any:
    """3.10: `slots=True`, which only saves memory."""
    return _plain_dataclass(cls, **given)


def _pairwise(items: Any) -> Any:
    """3.10: each item with the next one."""
    first, second = itertools.tee(items)
    next(second, None)
    return zip(first, second)  # noqa: B905


_plain_dataclass = dataclasses.dataclass
