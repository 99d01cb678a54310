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

# The change log dates these.
CORE_SPEEDS: Final = NomadVersion(1, 7, 0)
"""A reserved core counts with its own speed; nodes show it in `Processors`."""
RAW_EXEC_MEMORY: Final = NomadVersion(1, 7, 0)
"""Clients limit the memory of raw_exec tasks too, where they may make cgroups."""
JOB_STATUSES: Final = NomadVersion(1, 8, 0)
"""`/v1/jobs/statuses` exists."""
PORTS_BY_ADDRESS: Final = NomadVersion(1, 8, 3)
"""A static port that is taken on one of the node's addresses is placed on the next one."""
DISPATCH_PRIORITY: Final = NomadVersion(1, 10, 1)
"""A dispatch's own `Priority` counts."""
LIFECYCLE_HOOK: Final = NomadVersion(1, 10, 4)
"""The parser refuses a `lifecycle` without `hook`."""
DISPATCH_AT_ONCE: Final = NomadVersion(1, 10, 5)
"""A child and its evaluation are written together."""
JOB_MAX_COUNT: Final = NomadVersion(1, 11, 0)
"""The counts of a job's groups have a limit together."""
LOGS_FORBIDDEN: Final = NomadVersion(1, 11, 1)
"""Logs that a token may not read are refused with 403."""
SILENT_STREAM: Final = NomadVersion(1, 11, 2)
"""A refused event stream answers 200 and ends without a word."""
FINER_RIGHTS: Final = NomadVersion(1, 11, 2)
"""`plan-job`, `register-job` and others are parts of `submit-job`."""
RACE_SAFE_TOKENS: Final = NomadVersion(1, 11, 2)
"""Two dispatches of one idempotency token at the same moment give one child."""
UNDATED: Final = NomadVersion(1, 11, 0)
"""Changes that 2.0.5 shows and 1.6.3 doesn't, without a date in the change log: texts, shapes of objects, and drains."""


def parse(text: str) -> NomadVersion:
    """Parses `2.0.5`. A line (`2.0`) means its reference, else its first release. Raises ValueError."""
    found = re.fullmatch(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?:[-+].*)?", text.strip(), re.ASCII)
    if found is None:
        raise ValueError(f"{text!r} is not a Nomad version such as {REFERENCES[0]} or {REFERENCES[-1]}")
    major, minor = int(found[1]), int(found[2])
    if found[3] is not None:
        return NomadVersion(major, minor, int(found[3]))
    return next((one for one in REFERENCES if one[:2] == (major, minor)), NomadVersion(major, minor, 0))
