"""A Nomad version text enters, whether that server has a feature leaves.

An older server answers 200 to a query parameter or body field that it has never heard of, so a feature is decided by
the server's version and never by trying it.
"""

from __future__ import annotations

import re
from typing import Final, Literal

Feature = Literal[
    "event_stream",
    "dispatch_idempotency_token",
    "dispatch_idempotency_race_safe",
    "sysbatch",
    "pagination",
    "variables",
    "jobs_list_meta",
    "node_pools",
]

_SINCE: Final[dict[str, tuple[tuple[int, int, int], ...]]] = {
    # Further numbers are releases of older lines that got the feature too.
    "event_stream": ((1, 0, 0),),
    "dispatch_idempotency_token": ((1, 1, 3),),
    "dispatch_idempotency_race_safe": ((1, 11, 2), (1, 10, 8), (1, 8, 20)),
    "sysbatch": ((1, 2, 0),),
    "pagination": ((1, 3, 0),),
    "variables": ((1, 4, 0),),
    "jobs_list_meta": ((1, 4, 3),),
    "node_pools": ((1, 6, 0),),
}


def parse_version(text: str) -> tuple[int, int, int]:
    """`"1.6.3+ent"` → (1, 6, 3). A pre-release (`1.6.0-beta.1`) counts as its release. Raises ValueError."""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)(?![\d.])", text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no Nomad version")
    major, minor, patch = (int(part) for part in found.groups())
    return major, minor, patch


def has_feature(version: str, feature: Feature) -> bool:
    """Whether a server of that version has the feature; False for a version that can't be read."""
    try:
        have = parse_version(version)
    except ValueError:
        return False
    main, *backports = _SINCE[feature]
    return have >= main or any(have[:2] == line[:2] and have >= line for line in backports)
