"""Enters results that the index lacks, and writes again the records that a store lost (`fedml index sync`)."""

from __future__ import annotations

from federation.app import App
from federation.index.maintenance.sync import SyncPlan, apply_sync, plan_sync
from federation.workflows.evidence import Evidence
from jobs.frozen import frozen


@frozen
class SyncReport:
    """What was done, or (not `is_done`) would be. `outcomes`: what each committed result became, by allocation."""

    is_done: bool
    plan: SyncPlan
    outcomes: dict[str, str]

    @property
    def count(self) -> int:
        """How many things there are to do."""
        return len(self.plan.commit) + len(self.plan.restore) + len(self.plan.locate)


def sync(app: App, *, is_dry: bool, adopt: bool = False, job: str = "") -> SyncReport:
    """Compare the index with the stores and make both whole; with `is_dry` only look. `adopt`: also what jobs wrote
    themselves, of the job `job` where the pattern doesn't name it."""
    stores, index = app.result_stores(), app.index
    plan = plan_sync(index, stores.of, stores.names, Evidence(app, index.runs()).refusal)
    if adopt:
        from federation.workflows.adopt_backfill import add_old  # brings the job language

        add_old(plan, app, job)
    outcomes = index.outcomes(plan.commit) if is_dry else apply_sync(index, stores.of, plan)
    return SyncReport(not is_dry, plan, outcomes)
