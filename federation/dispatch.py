"""A run request enters; an opened run leaves, whose job stands in all regions that it may use. Nothing is dispatched yet.

In this order, so that a mistake is told before anything is written: the request against the job, all regions asked, the
home store written to on trial, the job deployed, what earlier runs left behind stopped, the version reserved.
"""

from __future__ import annotations

from collections.abc import Callable

from federation.app import App, PreparedJob, Preview
from federation.errors import NoPlace, UsageError
from federation.project import check_training
from federation.runs import Opened, RunRequest, Runs
from jobs.spec import check_dispatch

Tell = Callable[[str], None]


def begin(app: App, request: RunRequest, *, skip_unreachable: bool, tell: Tell) -> tuple[Opened, PreparedJob]:
    """Everything that comes before the first dispatch; `tell` gets lines for the person.

    Raises what is wrong with the request or the job; UsageError for regions that don't answer or refuse (unless
    `skip_unreachable`); NoPlace where no region can take the job; the first region's error where it can't be deployed.
    """
    prepared = app.prepare(request.job)
    if app.config.dev is not None:
        check_training(prepared.rendered.values())
    check_dispatch(prepared.shape, request.meta or {}, request.payload, allow_secrets=request.allow_secret_meta)
    preview = app.preview(request.job, slots=request.slots, version=request.version, prepared=prepared)
    _choose(preview, tell, skip_unreachable=skip_unreachable)
    app.index.require_writable()
    _deploy(app, preview, tell)
    runs = Runs(app)
    for region, children in runs.stop_stale(prepared.shape.id, preview.usable).items():
        tell(f"{region:<10} {len(children)} attempts of runs that are over stopped")
    opened = runs.open(request, prepared, preview.usable)
    manifest = opened.manifest
    tell(f"Run {manifest.run}: {manifest.slots} slots of {manifest.job}, version {manifest.version}")
    if opened.existing_results:
        tell(f"Version {manifest.version} has {opened.existing_results} results already: these are added to it")
    return opened, prepared


def _choose(preview: Preview, tell: Tell, *, skip_unreachable: bool) -> None:
    preview.require_an_answer()
    if preview.unanswered and not skip_unreachable:
        missing = "; ".join(f"{one.problem}: {one.region} ({one.detail})" for one in preview.unanswered)
        raise UsageError(
            f"{missing}; nothing was dispatched",
            hint="choose others with --regions, or go on without them: --skip-unreachable",
        )
    for room in preview.plan.excluded:
        tell(f"Left out: {room.region}: {room.excluded}{f', {room.detail}' if room.detail else ''}")
    if not preview.usable:
        raise NoPlace("no region can take the job; nothing was dispatched", hint="see: fedml plan")


def _deploy(app: App, preview: Preview, tell: Tell) -> None:
    deployment = app.deploy(preview.prepared, preview.usable, may_register=app.config.deploy == "auto")
    for one in deployment.regions:
        if one.action != "unchanged":
            tell(f"{one.region:<10} job {one.action}{f': {one.error}' if one.error else ''}")
    for failed in deployment.failed:
        if failed.error is not None:
            raise failed.error
