"""Estimates how long one slot takes in each region, from a job's last runs.

It is the median time from a child's acknowledgement (run log) to its publication (record). That includes the wait for a
node, so that a plan is not too hopeful. A run that is over doesn't change: its durations are kept in the cache folder.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from statistics import median

from federation.home import run_log
from federation.index import Index, RunRow
from federation.result import AD_HOC
from jobs.errors import FedmlError, ForeignTextError
from jobs.foreign import Members, parse_json
from regions.storage.store import Store

RUNS = 3
"""How many of the job's newest runs are read, among those that are over and gave results."""


def expected_durations(index: Index, home: Store, job: str, *, cache_dir: Path) -> dict[str, float]:
    """Region → median seconds of its slots in the newest run that used it. Regions that none of these runs used are left
    out."""
    rows = [row for row in index.runs(job=job) if row.committed and row.closed and not row.run.startswith(AD_HOC)]
    found: dict[str, float] = {}
    for row in sorted(rows, key=lambda row: row.opened, reverse=True)[:RUNS]:
        found = {**_of_run(index, home, row, cache_dir), **found}
    return found


def _of_run(index: Index, home: Store, row: RunRow, cache_dir: Path) -> dict[str, float]:
    kept = cache_dir / "durations" / f"{row.run}.json"
    with suppress(OSError, ForeignTextError):
        data = Members(parse_json(kept.read_bytes(), source=str(kept)), source=str(kept))
        if data.whole("committed") == row.committed:
            seconds_of = data.members("seconds")
            return {region: seconds_of.number(region, least=0) for region in seconds_of.names()}
    committed = {(one.slot, one.attempt): one.created for one in index.query(run=row.run)}
    try:
        entries = run_log(home, row.run).refresh()
    except FedmlError:
        return {}
    seconds: dict[str, list[float]] = {}
    from federation.run.brain.changes import parse_entry  # not needed where the durations are kept
    from federation.run.timeline import timeline

    logged = [(entry.time, parse_entry(entry.changes)) for entry in entries]
    for span in timeline(logged, committed, (), {}).spans:
        if span.outcome == "done" and span.computed_s > 0:
            seconds.setdefault(span.region, []).append(span.computed_s)
    found = {region: median(each) for region, each in seconds.items()}
    with suppress(OSError):  # the cache only saves time
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps({"committed": row.committed, "seconds": found}))
    return found
