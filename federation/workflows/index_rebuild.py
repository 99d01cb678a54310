"""Makes the index again after its log was lost (`fedml index rebuild`)."""

from __future__ import annotations

from federation.app import App
from federation.index.maintenance.rebuild import apply_rebuild, plan_rebuild
from federation.index.maintenance.rebuild_plan import RebuildPlan
from federation.log import default_author
from federation.manifest import Manifest
from federation.workflows.evidence import Evidence


def rebuild(app: App, *, is_dry: bool, salvage: bool = False) -> tuple[RebuildPlan, int]:
    """(what was written, or with `is_dry` would be; the revision, 0 with `is_dry`). `salvage`: the log is damaged, and what can
    be read of it is kept."""
    stores = app.result_stores()
    plan = plan_rebuild(
        app.home,
        app.config.cache_dir,
        stores.of,
        stores.names,
        lambda text, source: Manifest.from_json(text, source=source),
        Evidence(app).refusal,
        salvage=salvage,
    )
    return plan, 0 if is_dry else apply_rebuild(app.home, plan, author=default_author())
