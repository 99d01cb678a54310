"""Versions of Nomad servers, and what depends on them.

A server answers 200 to a query parameter or body field that it has never heard of, so what it can do is decided by its
version and never by trying it.
"""

from __future__ import annotations

import re
from typing import Final

OLDEST: Final = "1.6.3"
"""The oldest version that fedml supports and is tested with."""
_RACE_SAFE_TOKENS: Final = ((1, 11, 2), (1, 10, 8), (1, 8, 20))
"""Since when two dispatches of one idempotency token at the same moment give one child; further numbers are releases of
older lines that got the change too."""


_FINER_RIGHTS: Final = (1, 11, 2)
"""Since when `plan-job` and others are given without `submit-job`."""


def parse_version(text: str) -> tuple[int, int, int]:
    """`"1.6.3+ent"` → (1, 6, 3). A pre-release (`1.6.0-beta.1`) counts as its release. Raises ValueError."""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)(?![\d.])", text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a valid Nomad version")
    major, minor, patch = (int(part) for part in found.groups())
    return major, minor, patch


def is_too_old(version: str) -> bool:
    """Whether a server of that version is older than any that fedml supports; False for one that can't be read."""
    try:
        return parse_version(version) < parse_version(OLDEST)
    except ValueError:
        return False


def has_finer_rights(version: str) -> bool:
    """Whether a token may plan there that may not submit; False for a version that can't be read."""
    try:
        return parse_version(version) >= _FINER_RIGHTS
    except ValueError:
        return False


def has_race_safe_tokens(version: str) -> bool:
    """Whether a dispatch may be repeated with its idempotency token; False for a version that can't be read."""
    try:
        have = parse_version(version)
    except ValueError:
        return False
    main, *backports = _RACE_SAFE_TOKENS
    return have >= main or any(have[:2] == line[:2] and have >= line for line in backports)
