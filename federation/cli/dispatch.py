"""`fedml dispatch`: deploys what the file changed, dispatches, watches until all is in the index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from federation.cli.options import (
    AllowDriftOption,
    ConfigOption,
    ForceOption,
    JobOption,
    JsonOption,
    LogFileOption,
    MetaOption,
    MetricsFileOption,
    MetricsOption,
    OnFailureOption,
    RegionsOption,
    SlotsOption,
    VarFileOption,
    VarOption,
    VersionOption,
    WaitOption,
    names,
)
from federation.cli.patience_options import (
    MaxFailuresOption,
    OnRegionLostOption,
    PendingTimeoutOption,
    PriorityOption,
    PurgeFinishedOption,
    SlotTimeoutOption,
    patience_of,
)
from federation.cli.plan_options import (
    AllowPreemptionOption,
    AllowSecretMetaOption,
    CapOption,
    DeadlineOption,
    ExpectedDurationOption,
    MaxCostOption,
    MinimumOption,
    ParamsOption,
    PayloadDirOption,
    PayloadOption,
    PolicyOption,
    SweepOption,
    asks_of,
    payload_of,
    placing_of,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("dispatch")(dispatch)


def dispatch(
    slots: SlotsOption = None,
    version: VersionOption = None,
    regions: RegionsOption = "",
    meta: MetaOption = None,
    payload: PayloadOption = "",
    sweep: SweepOption = None,
    params: ParamsOption = None,
    payload_dir: PayloadDirOption = None,
    policy: PolicyOption = "",
    cap: CapOption = None,
    minimum: MinimumOption = None,
    deadline: DeadlineOption = "",
    max_cost: MaxCostOption = None,
    expected_duration: ExpectedDurationOption = "",
    allow_preemption: AllowPreemptionOption = False,
    max_failures: MaxFailuresOption = "",
    slot_timeout: SlotTimeoutOption = "",
    pending_timeout: PendingTimeoutOption = "",
    on_region_lost: OnRegionLostOption = "",
    purge_finished: PurgeFinishedOption = False,
    priority: PriorityOption = 0,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="FILE", help="What `fedml plan --out FILE` planned, if nothing moved since."),
    ] = None,
    job: JobOption = "",
    var: VarOption = None,
    var_file: VarFileOption = None,
    skip_unreachable: Annotated[
        bool, typer.Option("--skip-unreachable", help="Go on without the regions that don't answer, or refuse.")
    ] = False,
    allow_drift: AllowDriftOption = False,
    wait: WaitOption = False,
    force: ForceOption = False,
    isolate: Annotated[
        bool, typer.Option("--isolate", help="Give this run a job of its own, JOB-HASH, removed at its end.")
    ] = False,
    on_failure: OnFailureOption = None,
    canary: Annotated[
        int,
        typer.Option(
            "--canary", metavar="K", help="K slots a region first, the rest when their results are in the index."
        ),
    ] = 0,
    allow_secret_meta: AllowSecretMetaOption = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Let a Nomad job drive the run: this machine may go. Returns at once.")
    ] = False,
    on: Annotated[
        str, typer.Option("--on", metavar="A,B", help="The regions of such jobs (else the run's first); one is active.")
    ] = "",
    metrics: MetricsOption = "",
    metrics_file: MetricsFileOption = None,
    log_file: LogFileOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Deploy the job where its file changed, dispatch the slots by free capacity, and watch until all is in the index.

    Failed slots are tried again elsewhere. Ctrl-C keeps all state and names the command that goes on. Exit code 0: every
    result is in the index; 2: some slots failed or had no place; 1: any other error.

    Examples:

      fedml dispatch --regions us,eu --version 4

      fedml dispatch -n 200 -meta epochs=3

      fedml dispatch --sweep lr=0.1,0.01 --sweep depth=3,5 --policy cheapest

      fedml dispatch -n 500 --canary 2 --on-failure fail_all

      fedml dispatch -n 500 --detach --on us,eu

      fedml dispatch -n 5 -var count=2 --json
    """
    from federation.app import JobRequest
    from federation.cli.detach import coordinator_hosts, detached
    from federation.cli.drive import driven
    from federation.cli.session import note, opened
    from federation.dispatch import Deploying, begin
    from federation.errors import UsageError
    from federation.plan_file import read_plan
    from federation.request import RunRequest
    from federation.runs import Runs
    from federation.ui.follow import Following
    from jobs.load import key_values

    how = Deploying(
        allow_drift=allow_drift, wait=wait, force=force, isolate=isolate, on_failure=on_failure, canary=canary
    )
    request = RunRequest(
        job=JobRequest(job, tuple(var or ()), tuple(var_file or ()), names(regions)),
        slots=slots,
        version=version,
        meta=key_values(meta or (), "-meta"),
        payload=payload_of(payload),
        allow_secret_meta=allow_secret_meta,
        asks=asks_of(sweep, params, payload_dir),
        placing=placing_of(policy, cap, minimum, deadline, max_cost, expected_duration, allow_preemption),
        patience=patience_of(max_failures, slot_timeout, pending_timeout, on_region_lost, purge_finished, priority),
    )
    also = Following(metrics, metrics_file, log_file)
    also.check()
    saved = read_plan(plan, instead_of=request) if plan is not None else None
    with opened(config) as app:
        if on and not detach:
            raise UsageError("--on names the regions of a detached run's coordinators", hint="add --detach")
        hosts = coordinator_hosts(app, names(on) or names(regions)[:1]) if detach else []
        opened_run, prepared = begin(
            app, request, skip_unreachable=skip_unreachable, tell=note, saved=saved, deploying=how
        )
        if hosts:
            detached(app, hosts, opened_run.manifest.run, as_json=as_json)
            return
        code = driven(
            opened_run.manifest,
            app.config,
            also,
            lambda observe: Runs(app).start(opened_run, prepared, observe),
            as_json=as_json,
        )
    raise typer.Exit(code)
