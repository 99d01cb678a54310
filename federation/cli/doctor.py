"""`fedml doctor`: everything that the federation needs, looked at, with what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from federation.cli.options.common import ConfigOption, JobOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from federation.app import App
    from jobs.errors import FedmlError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    policy: Annotated[
        bool, typer.Option("--policy", help="Only print the least rights that each role needs; nothing is asked.")
    ] = False,
    on_nodes: Annotated[
        bool,
        typer.Option("--on-nodes", help="Also from inside: a tiny job in each datacenter, with the job's own driver."),
    ] = False,
    job: JobOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Check every region, permission and store, and say what to do about what is missing.

    Regions: each address, leader, version, clock, what the token may do, ready nodes, and whether some node offers the
    drivers and volumes that the job asks for. Stores: write, create once, read, list, delete in a scratch prefix that is
    removed afterwards. With --on-nodes, a task on a node of each datacenter looks whether it could publish: fedml there,
    the node's own credentials, create and read in the store, clock; its job is purged. Exit code 1 when something needed
    is missing.

    Examples:

      fedml doctor

      fedml doctor --on-nodes

      fedml doctor --json | jq '.checks[] | select(.outcome != "ok")'

      fedml doctor --policy
    """
    from federation.check import is_healthy
    from federation.checks.doctor import report, roles
    from federation.checks.doctor.examine import examine
    from federation.checks.doctor.nodes import examine_nodes
    from federation.cli.session import answer_block, answer_json, note, opened
    from federation.ui.console import out, table

    with opened(config) as project:
        if policy:
            answer_block(roles.text(project.config))
            return
        jobs = _jobs(project, job)
        checks = examine(project.config, jobs)
        if on_nodes:
            note("Looking from inside a task on each datacenter's nodes …")
            checks += examine_nodes(project.client, jobs)
    if as_json:
        answer_json(report.as_json(checks))
    else:
        out(plain_width=160).print(table(("what", "state", "found", "what to do"), report.rows(checks)))
        note(report.summary(checks))
    if not is_healthy(checks):
        raise typer.Exit(1)


def _jobs(project: App, job: str) -> Mapping[str, Mapping[str, Any] | FedmlError] | FedmlError:
    """The job as each region gets it. A project without a job is looked at without one."""
    from federation.app import JobRequest
    from federation.errors import ConfigError
    from jobs.errors import FedmlError

    try:
        return project.prepare(JobRequest(job)).rendered
    except ConfigError:
        return {}
    except FedmlError as error:
        return error
