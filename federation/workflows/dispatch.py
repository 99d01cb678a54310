"""A run request enters; an opened run leaves, whose job stands in all regions that it may use. Nothing is dispatched yet.

In this order, so that a mistake is told before anything is written: the request against the job, all regions asked, the
home store written to on trial, other runs of the job made way for, the job deployed, what earlier runs left behind
stopped, the version reserved.

Where fedml.toml says `deploy = "never"` or `results = "adopt"`, nothing is registered: what is dispatched is the job as it
stands in the regions, once it was compared with the file and between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from federation.app import App, JobRequest, PreparedJob
from federation.deploy.job_diff import diff_of
from federation.deploy.prepare import isolated
from federation.deploy.rollout import Deployment, check_drift, summary
from federation.errors import JobDrifted, NoPlace, UsageError
from federation.project.write import check_training
from federation.text import counted
from federation.workflows.deploy_conflicts import make_way
from federation.workflows.plan import Preview
from federation.workflows.plan import preview as previewed
from federation.workflows.request import RunRequest
from federation.workflows.runs import Opened, Runs
from federation.workflows.saved_plan import SavedPlan
from jobs.errors import FedmlError, InvalidSpec
from jobs.multiregion import EACH_FOR_ITSELF, Strategy, checked_on_failure
from jobs.nomad_json.drift import file_differences
from jobs.params.sweep import check_asks
from jobs.spec import RUN_KEYS

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Deploying:
    """How a job is deployed, where a person says other than usual."""

    allow_drift: bool = False
    """What somebody else changed in Nomad is replaced (or, where nothing may be registered, dispatched as it is)."""
    wait: bool = False
    """Other runs that still dispatch the job are waited for."""
    force: bool = False
    """They are not heeded."""
    isolate: bool = False
    """This run gets a job of its own, removed at its end."""
    on_failure: str | None = None
    """fail_all, fail_local or "": None: what the job's multiregion block says."""
    canary: int = 0
    """So many slots a region first, the rest when their results are in the index; a failure puts the jobs back."""


def begin(
    app: App,
    request: RunRequest,
    *,
    skip_unreachable: bool,
    tell: Tell,
    deploying: Deploying | None = None,
    saved: SavedPlan | None = None,
) -> tuple[Opened, PreparedJob]:
    """Everything that comes before the first dispatch; `tell` gets lines for the person. A `saved` plan's request stands for
    `request`, if all that it rests on is as it was (else PlanMoved).

    Raises what is wrong with the request or the job; UsageError for regions that don't answer or refuse (unless
    `skip_unreachable`); NoPlace where no region can take the job; RunInTheWay and JobDrifted, having changed nothing; the
    first region's error where it can't be deployed.
    """
    how = deploying or Deploying()
    if how.canary < 0:
        raise UsageError(f"--canary {how.canary}: so many slots a region come first, so it is 1 or more")
    if saved is not None:
        request = replace(saved.request, patience=request.patience)
    prepared = prepared_for(app, request, how)
    if app.config.dev is not None:
        check_training(prepared.rendered.values())
    checked = request.checked(app.config)
    check_asks(
        prepared.shape, checked.asks, request.meta or {}, request.payload, allow_secrets=request.allow_secret_meta
    )
    goes_on = partial(_say_late, tell=tell, can_join=_can_join(app, prepared, how, saved))
    while True:
        preview = previewed(app, request, prepared=prepared, goes_on=goes_on)
        if saved is not None:
            saved.check(app, preview)
        _choose(preview, tell, skip_unreachable=skip_unreachable)
        app.index.require_writable()
        changing = set() if prepared.is_registered else set(preview.changes).intersection(preview.usable)
        if not how.allow_drift:
            check_drift([app.client(name) for name in sorted(changing)], prepared.job_id)
        if not make_way(app, prepared, changing, tell, wait=how.wait, force=how.force):
            break
    regions, deployed_over = preview.usable, {}
    if not prepared.is_registered:
        deployment = _deploy(app, preview, how, tell)
        failed = {one.region for one in deployment.failed}
        regions, deployed_over = [name for name in regions if name not in failed], deployment.deployed_over
    _say_what_cannot_be_stopped(preview, tell)
    runs = Runs(app)
    late = tuple(name for name in preview.late if name in prepared.rendered)
    for region, children in runs.stop_stale(prepared.shape.id, regions).items():
        tell(f"{region:<10} {counted(len(children), 'attempt')} of runs that are over stopped")
    opened = runs.open(
        request,
        prepared,
        [name for name in prepared.rendered if name in regions or name in late],
        late=late,
        rooms=preview.rooms,
        deployed_over=deployed_over,
        canary=how.canary,
        canary_on_failure="local" if _is_local(_strategy(prepared, how)) else "all",
    )
    manifest = opened.manifest
    tell(f"Run {manifest.run}: {counted(manifest.slots, 'slot')} of {manifest.job}, version {manifest.version}")
    if manifest.parent:
        tell(f"It has a job of its own, {manifest.parent}, which is removed at its end")
    if opened.existing_results:
        tell(
            f"Version {manifest.version} has {counted(opened.existing_results, 'result')} already: these are added to it"
        )
    return opened, prepared


def deploy_alone(app: App, request: JobRequest, how: Deploying, tell: Tell) -> Deployment:
    """The job deployed, and nothing dispatched; a region's failure is in the outcome.

    Raises what is wrong with the job, UsageError for one without a file, RunInTheWay.
    """
    prepared = app.prepare(request, allow_drift=how.allow_drift)
    if prepared.is_registered:
        raise UsageError(
            f"{prepared.file} is no file: a job that is registered already isn't deployed",
            hint="name a jobspec's file; to compare the regions:  fedml job diff " + prepared.shape.id,
        )
    clients = [app.client(name) for name in prepared.rendered]
    while True:
        found = diff_of(prepared, clients)
        changing = {one.region for one in found.regions if one.change == "Edited"}
        if not how.allow_drift:
            check_drift([app.client(name) for name in sorted(changing)], prepared.job_id)
        if not make_way(app, prepared, changing, tell, wait=how.wait, force=how.force):
            break
    return app.deploy(prepared, allow_drift=how.allow_drift, strategy=_strategy(prepared, how))


def prepared_for(app: App, request: RunRequest, how: Deploying) -> PreparedJob:
    """The job that this request dispatches: the file's, an isolated copy, or what is registered already."""
    prepared = app.prepare(request.job, allow_drift=how.allow_drift)
    why = _not_registering(app)
    if how.isolate:
        if prepared.is_registered or why:
            raise UsageError(
                "--isolate registers a job of the run's own"
                + (f", and {why}" if why else f", and {prepared.file} is no file"),
                hint="leave --isolate out: nobody's job is changed",
            )
        return isolated(prepared)
    if why and not prepared.is_registered:
        prepared = _as_registered(app, prepared, why, how)
    declared = prepared.declared_meta
    if declared is not None and app.config.results == "publish" and not set(RUN_KEYS) <= set(declared):
        missing = ", ".join(key for key in RUN_KEYS if key not in declared)
        raise InvalidSpec(
            f"the registered job {prepared.shape.id!r} declares no meta key {missing}: "
            "what it publishes couldn't be told from other runs' results",
            hint='say in fedml.toml how its results are found:  results = "adopt"  or  results = "none"; '
            "or have the keys added to its meta_optional",
        )
    return prepared


def _not_registering(app: App) -> str:
    """Why this project registers nothing; "" where it does."""
    if app.config.deploy == "never":
        return 'fedml.toml says deploy = "never"'
    return 'fedml.toml says results = "adopt"' if app.config.results == "adopt" else ""


def _as_registered(app: App, prepared: PreparedJob, why: str, how: Deploying) -> PreparedJob:
    """What stands in the regions, if it is what the file says. Raises JobDrifted."""
    found = app.prepare_registered(prepared.shape.id, list(prepared.rendered), allow_drift=how.allow_drift)
    if how.allow_drift:
        return found
    for name, there in found.rendered.items():
        wanted = prepared.rendered[name]
        if isinstance(there, FedmlError) or isinstance(wanted, FedmlError):
            continue
        differing = file_differences(wanted, there)
        if differing or (found.spec_hash and found.spec_hash != prepared.spec_hash):
            told = "; ".join(map(str, differing[:3])) or f"made from spec {found.spec_hash[:12]}"
            raise JobDrifted(
                f"region {name}: the job {prepared.shape.id} isn't what {prepared.file.name} says ({told}), and {why}",
                hint="see: fedml job diff; --allow-drift dispatches what is registered",
            )
    return found


def _choose(preview: Preview, tell: Tell, *, skip_unreachable: bool) -> None:
    preview.require_an_answer()
    unanswered = [one for one in preview.unanswered if one.region not in preview.late]
    if unanswered and not skip_unreachable:
        missing = "; ".join(f"{one.problem}: {one.region} ({one.detail})" for one in unanswered)
        raise UsageError(
            f"{missing}; nothing was dispatched",
            hint="choose others with --regions, or go on without them: --skip-unreachable",
        )
    for room in preview.plan.excluded:
        if room.region in preview.late:
            continue
        tell(f"Left out: {room.region}: {room.excluded}{f', {room.detail}' if room.detail else ''}")
    for region, warning in preview.warnings():
        tell(f"{region}: {warning}")
    if preview.plan.problems:
        raise UsageError(
            f"{'; '.join(preview.plan.problems)}; nothing was dispatched",
            hint="see what fits:  fedml plan  with the same options",
        )
    if not preview.usable:
        raise NoPlace("no region can take the job; nothing was dispatched", hint="see: fedml plan")


def _can_join(app: App, prepared: PreparedJob, how: Deploying, saved: SavedPlan | None) -> bool:
    """Whether a region may get the job after the run began. Not where regions are changed in an order or put back
    together, where nothing is registered, or where a saved plan rests on what all regions answer."""
    is_together = how.canary or _strategy(prepared, how) is not None
    return not (is_together or saved or prepared.is_registered or _not_registering(app))


def _say_late(late: Sequence[str], there: Sequence[str], *, tell: Tell, can_join: bool) -> bool:
    """Say who is waited for; whether the run begins without them."""
    goes_on = can_join and bool(there)
    for name in late:
        then = f"starting with {', '.join(there)}; it joins when it answers" if goes_on else "waiting for it"
        tell(f"{name:<10} no answer yet: {then}")
    return goes_on


def _deploy(app: App, preview: Preview, how: Deploying, tell: Tell) -> Deployment:
    """Raises the first failed region's error, unless each region was to fail for itself and another has the job."""
    strategy = _strategy(preview.prepared, how)
    deployment = app.deploy(preview.prepared, preview.usable, allow_drift=how.allow_drift, strategy=strategy)
    changed = [one for one in deployment.regions if one.action != "unchanged"]
    failed = deployment.failed
    goes_on = strategy is not None and strategy.on_failure == "fail_local" and len(failed) < len(deployment.regions)
    if failed:
        for line in summary(deployment):
            tell(line)
        if not goes_on and failed[0].error is not None:
            raise failed[0].error
    for one in changed if not failed else ():
        tell(f"{one.region:<10} job {one.action}")
    return deployment


def _strategy(prepared: PreparedJob, how: Deploying) -> Strategy | None:
    """None: neither the job nor the person says any."""
    if how.on_failure is None:
        return prepared.strategy
    return replace(prepared.strategy or EACH_FOR_ITSELF, on_failure=checked_on_failure(how.on_failure))


def _is_local(strategy: Strategy | None) -> bool:
    """Whether a region's failure is its own. A canary that fails by the default rule, or without any, stops all."""
    return strategy is not None and strategy.on_failure == "fail_local"


def _say_what_cannot_be_stopped(preview: Preview, tell: Tell) -> None:
    """A token that may not plan has no submit-job, which stopping takes too."""
    for name, one in preview.snapshot.regions.items():
        if one.problem is None and one.exactness != "exact":
            tell(
                f"{name}: the token may not stop what it dispatches (submit-job): an attempt that is given up, or "
                "cancelled, goes on there until it ends by itself"
            )
