"""A job's last runs in the index and the home store enter, how long one slot took in each region leaves.

From the run log (when a child was acknowledged) and the record (when it published): the median of what was computed. It
includes what a child waited for a node, so that a plan made from it is not too hopeful.
"""

from __future__ import annotations

from statistics import median

from federation.index import Index
from federation.log import Log
from federation.run.timeline import timeline
from jobs.errors import FedmlError
from regions.storage.store import Store

RUNS = 3
"""So many of the job's newest runs that gave any result are read."""


def expected_durations(index: Index, home: Store, job: str) -> dict[str, float]:
    """Region → median seconds of its slots in the job's last runs; regions that none of them used are left out."""
    seconds: dict[str, list[float]] = {}
    runs = [row for row in reversed(index.runs(job=job)) if row.committed and not row.run.startswith("nomad:")]
    for run in sorted(runs, key=lambda row: row.opened, reverse=True)[:RUNS]:
        committed = {(row.slot, row.attempt): row.created for row in index.query(run=run.run)}
        try:
            entries = Log(home, f"runs/{run.run}/log/").refresh()
        except FedmlError:
            continue
        for span in timeline(entries, committed, (), {}).spans:
            if span.outcome == "done" and span.computed_s > 0:
                seconds.setdefault(span.region, []).append(span.computed_s)
    return {region: median(found) for region, found in seconds.items()}
