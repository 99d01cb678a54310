"""Makes the index again after its log was lost (`fedml index rebuild`)."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from federation.app import App
from federation.errors import IndexCorrupt
from federation.home import run_log
from federation.index.home import read_home, refuse_other_federation
from federation.index.maintenance.rebuild import apply_rebuild, plan_rebuild
from federation.index.maintenance.rebuild_plan import RebuildPlan, RunEnd
from federation.log import default_author
from federation.run.brain.causes import Cause
from federation.run.brain.changes import Cancel, Fail, Retry, parse_entry
from federation.workflows.evidence import Evidence
from jobs.errors import FedmlError
from regions.storage.errors import IntegrityError
from regions.storage.store import Store


def rebuild(
    app: App, *, is_dry: bool, salvage: bool = False, needs_catalog: bool = False, catalog: Path | None = None
) -> tuple[RebuildPlan, int]:
    """(what was written, or with `is_dry` would be; the revision, 0 with `is_dry`). `salvage`: the log is damaged, and what can
    be read of it is kept. `needs_catalog`: not without a catalog or checkpoint; `catalog`: that file."""
    stores = app.result_stores()
    with suppress(IndexCorrupt, IntegrityError):  # a torn format.json, which is made again
        if home := read_home(app.home):
            refuse_other_federation(app.home, home, app.owner)
    plan = plan_rebuild(
        app.home,
        app.config.cache_dir,
        stores.of,
        stores.names,
        partial(logged_end, app.home),
        Evidence(app).refusal,
        salvage=salvage,
        needs_catalog=needs_catalog,
        catalog=catalog,
    )
    return plan, 0 if is_dry else apply_rebuild(app.home, plan, author=default_author(), owner=app.owner)


def logged_end(home: Store, run: str) -> RunEnd:
    """Why and when the run was cancelled, and which slots a rule stopped, as its own log says. Empty where the log can't be
    read."""
    stopped: set[int] = set()
    with suppress(FedmlError):
        for entry in run_log(home, run).refresh():
            for change in parse_entry(entry.changes):
                if isinstance(change, Cancel):
                    return RunEnd((change.reason, datetime.fromisoformat(entry.time)), frozenset(stopped))
                if isinstance(change, Fail) and change.cause is Cause.RULE:
                    stopped.add(change.slot)
                elif isinstance(change, Retry):
                    stopped.difference_update(change.slots)
    return RunEnd(None, frozenset(stopped))
