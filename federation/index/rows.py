"""States of results and runs, and the values that the index gives of a run. A result's row is in `federation.index.columns`."""

from __future__ import annotations

from jobs.frozen import frozen

COMMITTED = "committed"
SUPERSEDED = "superseded"
LATE = "late"
RETIRED = "retired"
REMOVED = "removed"
RESULT_STATES = (COMMITTED, SUPERSEDED, LATE, RETIRED, REMOVED)

OPEN = "open"
RUN_STATES_CLOSED = ("done", "failed", "cancelled")
CANCELLED = "cancelled"


@frozen
class RunRow:
    """One run as the index knows it. `opened` and `closed` are RFC 3339 in UTC, `closed` "" while it is open."""

    run: str
    job: str
    version: str
    spec_hash: str
    slots: int
    expected_keys: int
    state: str
    """open, done, failed or cancelled"""
    reason: str
    opened: str
    closed: str
    revision: int
    """Of the entry that opened it."""
    committed: int
    """How many of its keys have a result that won (it may be retired since)."""
    author: str
    """Who opened it."""
    name: str
    """What `dispatch --name` called it, "" without. Later runs may have the same one."""

    @property
    def results(self) -> str:
        """How many of the expected results are committed, for a person; "-" for a run without results."""
        has_none = not self.expected_keys or (self.state == "done" and not self.committed)
        return "-" if has_none else f"{self.committed}/{self.expected_keys}"


@frozen
class Note:
    """What somebody wrote to a result."""

    revision: int
    time: str
    author: str
    text: str


@frozen
class OpenedRun:
    """A run whose version is reserved. `is_new`: no run and no result had that version of the job before."""

    version: str
    is_new: bool
    existing_results: int
    """Committed results of that job and version, from other runs."""
    revision: int


RUN_COLUMNS = (
    "run, job, version, spec_hash, slots, expected_keys, state, reason, opened, closed, revision, "
    "(SELECT COUNT(*) FROM result WHERE result.run = run.run AND result.entered = 'committed'), "
    "COALESCE((SELECT NULLIF(json_extract(change, '$.author'), '') FROM event WHERE number = revision AND kind = 'rebuild'), "
    "(SELECT author FROM entry WHERE number = revision), ''), name"
)
