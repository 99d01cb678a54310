"""Opens a run whose job stands in all regions that it may use. Dispatches nothing yet.

Mistakes are found before anything is written. Where fedml.toml says `deploy = "never"` or `results = "adopt"`, nothing is
registered: the job is dispatched as it stands in the regions, after it was compared with the file and between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from federation.app import App, JobRequest, PreparedJob
from federation.beside import beside
from federation.deploy.job_diff import diff_of
from federation.deploy.outcome import Deployed, Deployment, summary
from federation.deploy.prepare import isolated
from federation.deploy.rollout import check_drift
from federation.errors import UsageError
from federation.output.streams import is_verbose
from federation.text import counted
from federation.workflows.deploy_conflicts import make_way
from federation.workflows.dispatch_checks import Tell, check_answers, require_rights, warn_of_what_cannot_be_stopped
from federation.workflows.first_questions import FirstAnswers, ask_first
from federation.workflows.open_run import Opened, announce, open_run
from federation.workflows.plan import Preview, preview_checked
from federation.workflows.registered import as_registered, not_registering
from federation.workflows.request import DispatchRequest, RunRequest, check_for_job, check_request
from jobs.errors import InvalidSpec
from jobs.multiregion import EACH_FOR_ITSELF, Strategy, checked_on_failure
from jobs.spec import RUN_KEYS

if TYPE_CHECKING:
    from federation.run.brain.events import RegionProbed
    from federation.workflows.saved_plan import SavedPlan

ROOM_AGE_MAX_S = 10.0
"""How old the preview's rooms may be when the coordinator begins with them."""


@dataclass(frozen=True, slots=True)
class Deploying:
    """How a job is deployed: what a person chose beside fedml.toml."""

    allow_drift: bool = False
    """Replaces what somebody else changed in Nomad (or, where nothing may be registered, dispatches it as it is)."""
    wait: bool = False
    """Waits for other runs that still dispatch the job."""
    force: bool = False
    """Ignores them."""
    isolate: bool = False
    """Gives this run a job of its own, removed at its end."""
    on_failure: str | None = None
    """fail_all, fail_local or "". None: what the job's multiregion block says."""
    canary: int = 0
    """Places N slots in each region first, and the rest when their results are in the index. A failure puts the jobs back."""


def begin(
    app: App,
    request: RunRequest,
    *,
    skip_unreachable: bool,
    tell: Tell,
    deploying: Deploying | None = None,
    saved: SavedPlan | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> tuple[Opened, PreparedJob]:
    """Does everything that comes before the first dispatch. `tell` gets lines for the person. The request of a `saved` plan
    replaces `request`, if all that the plan rests on is as it was (else PlanMoved). `meanwhile` is called in a thread while
    regions answer.

    Raises what is wrong with the request or the job; UsageError for regions that don't answer or refuse (unless
    `skip_unreachable`); NoPlace where no region can take the job; RunInTheWay and JobDrifted, having changed nothing; the
    first region's error where it can't be deployed.
    """
    how = deploying or Deploying()
    # 1. Check the request against the project and the job.
    if how.canary < 0:
        raise UsageError(f"--canary {how.canary}: the number of slots a region is 1 or more", hint="write --canary 1")
    if saved is not None:
        request = replace(saved.request, patience=request.patience, name=request.name)
    checked = check_request(request, app.config)
    prepared = prepared_for(app, request, how)
    if app.config.dev is not None:
        from federation.project.write import check_training  # a real federation has no use for these
        from federation.workflows.dev_programs import check_uv

        check_training(prepared.rendered.values())
        check_uv(request, prepared)
    request_for_job = check_for_job(checked, prepared.shape)
    packed = None
    if request.code is not None:
        from federation.workflows.code_stores import pack_of  # nor a jobspec

        packed = pack_of(app, request.code)
    dispatch = _Dispatch(app, request_for_job, prepared, how, tell, saved, skip_unreachable, ask_first(app, prepared))
    beside(meanwhile, name="meanwhile")
    # 2. Ask all regions, and wait until no other run is in the way of the job.
    preview = dispatch.asked()
    if preview.spec_warning:
        tell(preview.spec_warning)
    # 3. Deploy the job where it changes.
    regions, deployed_over = dispatch.deployed(preview)
    # 4. Say what the token may not do, and what runs that are over had left behind.
    answers = {name: future.result() for name, future in dispatch.first.items() if name in preview.usable}
    warn_of_what_cannot_be_stopped(preview, answers, deployed_over, tell)
    for name in regions:
        if stopped := answers[name].stopped:
            tell(f"{name:<10} {counted(stopped, 'attempt')} of runs that are over stopped")
    # 5. Put the code where its nodes fetch it; reserve the version and write the manifest.
    late = tuple(name for name in preview.late if name in prepared.rendered)
    if prepared.needs_program:
        from federation.workflows.code_stores import put_into_late_stores, put_into_stores  # nor a job of its own

        put_into_stores(app, prepared, regions, packed, tell)
        late = put_into_late_stores(app, prepared, late, packed, tell)
    opened = open_run(
        app,
        dispatch.request,
        prepared,
        [name for name in prepared.rendered if name in regions or name in late],
        late=late,
        rooms=preview.rooms,
        deployed_over=deployed_over if request.code is None else {},
        canary=how.canary,
        canary_on_failure="local" if _is_local(_strategy(prepared, how)) else "all",
    )
    opened = replace(opened, probed=_probed(app, preview, answers, regions))
    # 6. Say what was opened.
    announce(opened, tell)
    return opened, prepared


@dataclass(frozen=True, slots=True)
class _Dispatch:
    """A checked request and its job, on the way to an opened run."""

    app: App
    request: DispatchRequest
    prepared: PreparedJob
    how: Deploying
    tell: Tell
    saved: SavedPlan | None
    skip_unreachable: bool
    first: Mapping[str, Future[FirstAnswers]]

    def asked(self) -> Preview:
        """The preview to go by. All is asked anew after another run was waited for."""
        while True:
            preview = preview_checked(self.app, self.request, self.prepared, goes_on=self._goes_on)
            if self.saved is not None:
                self.saved.check(self.app, preview)
            check_answers(preview, self.tell, skip_unreachable=self.skip_unreachable)
            require_rights({name: self.first[name].result().may_dispatch for name in preview.usable})
            self.app.index.require_writable()
            changing = set(preview.changes).intersection(preview.usable)
            if not _waited(self.app, self.prepared, changing, self.how, self.tell):
                return preview

    def deployed(self, preview: Preview) -> tuple[list[str], Mapping[str, int]]:
        """The regions that have the job, and what the deployment changed there."""
        if self.prepared.is_registered:
            return preview.usable, {}
        deployment = _deploy(self.app, preview, self.how, self.tell)
        failed = {region.region for region in deployment.failed}
        return [name for name in preview.usable if name not in failed], deployment.deployed_over

    def _goes_on(self, late: Sequence[str], there: Sequence[str]) -> bool:
        """Says which regions haven't answered yet, and whether the run begins without them."""
        goes_on = bool(there) and self._can_join()
        for name in late:
            then = f"starting with {', '.join(there)}; it joins when it answers" if goes_on else "waiting for it"
            self.tell(f"{name:<10} no answer yet: {then}")
        return goes_on

    def _can_join(self) -> bool:
        """Whether a region may get the job after the run began. Not where regions are changed in an order or put back
        together, where nothing is registered, or where a saved plan rests on what all regions answer."""
        is_together = self.how.canary or _strategy(self.prepared, self.how) is not None
        registers = self.request.code is not None or not not_registering(self.app)
        return registers and not (is_together or self.saved or self.prepared.is_registered)


def deploy_alone(app: App, request: JobRequest, how: Deploying, tell: Tell) -> Deployment:
    """Deploys the job and dispatches nothing. A region's failure is in the outcome.

    Raises what is wrong with the job, UsageError for one without a file, RunInTheWay.
    """
    prepared = app.prepare(request, allow_drift=how.allow_drift)
    if prepared.is_registered:
        raise UsageError(
            f"{prepared.file} is not a file: a job that is registered already isn't deployed",
            hint="name a jobspec's file; to compare the regions:  fedml job diff " + prepared.shape.id,
        )
    clients = [app.client(name) for name in prepared.rendered]
    while True:
        found = diff_of(prepared, clients)
        changing = {one.region for one in found.regions if one.change == "Edited"}
        if not _waited(app, prepared, changing, how, tell):
            break
    return app.deploy(prepared, allow_drift=how.allow_drift, strategy=_strategy(prepared, how))


def _waited(app: App, prepared: PreparedJob, changing: set[str], how: Deploying, tell: Tell) -> bool:
    """Whether another run of the job was waited for. Raises JobDrifted and RunInTheWay."""
    if not how.allow_drift:
        check_drift([app.client(name) for name in sorted(changing)], prepared.job_id)
    return make_way(app, prepared, changing, tell, wait=how.wait, force=how.force)


def prepared_for(app: App, request: RunRequest, how: Deploying) -> PreparedJob:
    """Prepares the job that this request dispatches: from its file, as an isolated copy, or as it is registered already."""
    prepared = app.prepare(request.job, allow_drift=how.allow_drift)
    if request.code is not None:
        return prepared
    why = not_registering(app)
    if how.isolate:
        if prepared.is_registered or why:
            raise UsageError(
                "--isolate registers a job of the run's own"
                + (f", and {why}" if why else f", and {prepared.file} is not a file"),
                hint="leave --isolate out: nobody's job is changed",
            )
        return isolated(prepared)
    if why and not prepared.is_registered:
        prepared = as_registered(app, prepared, why, allow_drift=how.allow_drift)
    declared = prepared.declared_meta
    if declared is not None and app.config.results == "publish" and not set(RUN_KEYS) <= set(declared):
        missing = ", ".join(key for key in RUN_KEYS if key not in declared)
        raise InvalidSpec(
            f"the registered job {prepared.shape.id!r} declares no meta key {missing}: "
            "its results could not be distinguished from those of other runs",
            hint='say in fedml.toml how its results are found:  results = "adopt"  or  results = "none"; '
            "or have the keys added to its meta_optional",
        )
    return prepared


def _probed(
    app: App, preview: Preview, answers: Mapping[str, FirstAnswers], regions: Sequence[str]
) -> tuple[RegionProbed, ...]:
    """The rooms of the preview, so that the coordinator need not ask for them again before it begins. None where they depend
    on what other runs hold, which changes, or where they are too old."""
    if app.config.shares.owners or app.config.shares.namespaces or preview.age_s > ROOM_AGE_MAX_S:
        return ()
    from federation.run.brain.events import RegionProbed  # imported while regions answer

    return tuple(
        RegionProbed(
            room.region,
            room.free or -preview.snapshot.regions[room.region].queued,
            children=answers[room.region].children,
            is_least=preview.snapshot.regions[room.region].exactness == "at_least",
        )
        for room in preview.rooms
        if room.region in regions and preview.snapshot.regions[room.region].problem is None
    )


def _deploy(app: App, preview: Preview, how: Deploying, tell: Tell) -> Deployment:
    """Deploys to the usable regions. Raises the first failed region's error, unless the strategy is fail_local and another
    region has the job."""
    strategy = _strategy(preview.prepared, how)
    there = [preview.snapshot.regions[name] for name in preview.usable]
    if all(one.change == "None" and one.may_plan for one in there):  # the preview has compared it just now
        same = tuple(Deployed(one.region, "unchanged", one.job_modify_index) for one in there)
        return Deployment(preview.prepared.job_id, preview.prepared.spec_hash, same)
    deployment = app.deploy(preview.prepared, preview.usable, allow_drift=how.allow_drift, strategy=strategy)
    changed = [one for one in deployment.regions if one.action != "unchanged"]
    failed = deployment.failed
    goes_on = strategy is not None and strategy.on_failure == "fail_local" and len(failed) < len(deployment.regions)
    if failed:
        for line in summary(deployment):
            tell(line)
        if not goes_on and failed[0].error is not None:
            raise failed[0].error
    is_own = preview.request is not None and preview.request.code is not None  # the job that fedml made is no news
    for one in changed if not (failed or is_own) or is_verbose() else ():
        tell(f"{one.region:<10} job {one.action}")
    return deployment


def _strategy(prepared: PreparedJob, how: Deploying) -> Strategy | None:
    """The rollout strategy: the person's, else the job's. None where neither sets one."""
    if how.on_failure is None:
        return prepared.strategy
    return replace(prepared.strategy or EACH_FOR_ITSELF, on_failure=checked_on_failure(how.on_failure))


def _is_local(strategy: Strategy | None) -> bool:
    """Whether a region's failure concerns only that region. A canary that fails by the default rule, or without any, stops
    all."""
    return strategy is not None and strategy.on_failure == "fail_local"
