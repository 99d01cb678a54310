"""Nomad versions that an embedded region answers as, and the version of each change that it follows.

Code whose answer depends on the version asks `config.answers_as >= DISPATCH_PRIORITY`.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class NomadVersion(NamedTuple):
    """A release. Compares by its numbers, also with a plain tuple: `version >= (2, 0)`."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


REFERENCES: Final = (NomadVersion(1, 6, 3), NomadVersion(2, 0, 5))
"""The releases that the embedded region is compared with, oldest first. It refuses to answer as an older one. What it
does between them follows Nomad's change log."""

JOB_STATUSES: Final = NomadVersion(1, 8, 0)
"""`/v1/jobs/statuses` exists."""
DISPATCH_PRIORITY: Final = NomadVersion(1, 10, 1)
"""A dispatch's own `Priority` counts."""
RACE_SAFE_TOKENS: Final = NomadVersion(1, 11, 2)
"""Two dispatches of one idempotency token at the same moment give one child."""


def parse(text: str) -> NomadVersion:
    """Parses `2.0.5`. A line (`2.0`) means its reference, else its first release. Raises ValueError."""
    found = re.fullmatch(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?:[-+].*)?", text.strip(), re.ASCII)
    if found is None:
        raise ValueError(f"{text!r} is not a Nomad version such as {REFERENCES[0]} or {REFERENCES[-1]}")
    major, minor = int(found[1]), int(found[2])
    if found[3] is not None:
        return NomadVersion(major, minor, int(found[3]))
    return next((one for one in REFERENCES if one[:2] == (major, minor)), NomadVersion(major, minor, 0))
