"""Tells the highest version of a job from the catalog."""

from __future__ import annotations

import re

from federation.index.catalog.catalog import Catalog

VERSION_STEP = 10_000
"""How far above the versions before it a version that only results say may be, to count for the next one."""
_VERSION = re.compile(r"[0-9]{1,18}")
_OF_NO_RUN = """
    SELECT 1 FROM result WHERE job = ? AND version = ? AND NOT EXISTS (SELECT 1 FROM run WHERE run.run = result.run) LIMIT 1
"""


def latest_version_in(catalog: Catalog, job: str) -> str | None:
    """See `Reader.latest_version`."""
    highest = highest_version(catalog, job)
    if highest or catalog.value("SELECT 1 FROM run WHERE job = ? AND version = '0'", job):
        return str(highest)
    last: str | None = catalog.value("SELECT version FROM run WHERE job = ? ORDER BY revision DESC", job)
    return last


def highest_version(catalog: Catalog, job: str) -> int:
    """The whole number above which the job's next version comes; 0 without any.

    Versions that were opened count. A version that only results say counts where none of fedml's runs opened them (plain
    Nomad, adoption) and it is at most VERSION_STEP above what counts already: no record moves the next version far.
    """
    numbers = catalog.values("SELECT version FROM version WHERE job = ?", job)
    versions = {number: int(number) for number in numbers if _VERSION.fullmatch(number)}
    opened = set(catalog.values("SELECT DISTINCT version FROM run WHERE job = ?", job))
    highest = max((value for number, value in versions.items() if number in opened), default=0)
    for number, value in sorted(versions.items(), key=lambda one: one[1]):
        if value > highest + VERSION_STEP:
            break
        if value > highest and number not in opened and catalog.value(_OF_NO_RUN, job, number):
            highest = value
    return highest
