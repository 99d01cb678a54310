"""Short ids, as tables show them: long enough to name one run or one result of the index, and no longer.

A run id (UUIDv7) begins with its time, so runs of one minute begin alike. Its short id is its end, which is random. An
allocation id is random all through. Its short id is its beginning, as Nomad shows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

SHORT_CHARS = 8
_LAST_GROUP_CHARS = 12


def short_runs(runs: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """The short id of each run: the last 8 characters, 12 where another of the `known` ends alike, else all. A run that isn't
    fedml's own (`nomad:…`) keeps its whole name."""
    ends = Counter(one[-chars:] for one in known for chars in (SHORT_CHARS, _LAST_GROUP_CHARS))
    return {
        run: next(
            (run[-chars:] for chars in (SHORT_CHARS, _LAST_GROUP_CHARS) if _is_uuid(run) and ends[run[-chars:]] <= 1),
            run,
        )
        for run in runs
    }


def short_result(alloc_id: str, neighbours: Iterable[str]) -> str:
    """The beginning of an allocation id: 8 characters, or as many as tell it from its neighbours in the order of ids."""
    others, chars = tuple(neighbours), SHORT_CHARS
    while chars < len(alloc_id) and any(one.startswith(alloc_id[:chars]) for one in others):
        chars += 1
    return alloc_id[:chars]


def _is_uuid(run: str) -> bool:
    return len(run) == 36 and run.count("-") == 4
