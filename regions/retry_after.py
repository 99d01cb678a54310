"""Reads the header `Retry-After` of an answer."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime


def retry_after_s(text: str | None) -> float:
    """The seconds from now that the header asks for, as a number or as a date; 0 where it says nothing."""
    text = (text or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0
