"""`fedml doctor`: checks everything that the federation needs and prints what to do."""

from __future__ import annotations

from typing import Annotated

import typer

from federation.cli.options.common import ConfigOption, JobOption, JsonOption


def register(app: typer.Typer) -> None:
    """Adds the command to the group."""
    app.command("doctor")(doctor)


def doctor(
    policy: Annotated[
        bool,
        typer.Option("--policy", help="Check nothing. Print the least rights that each role needs."),
    ] = False,
    on_nodes: Annotated[
        bool,
        typer.Option(
            "--on-nodes", help="Also check from a small task in each datacenter, with the driver of the project's job."
        ),
    ] = False,
    job: JobOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Check every region, permission and store.

    The table says what to do about each problem.

    Regions: each address, leader, version, clock, the token's permissions, ready nodes by node pool, whether the
    servers take the job, and whether a node of its pool has its drivers and volumes.

    Stores: write, create once, read, list and delete below a scratch prefix, which is removed afterwards.

    With --on-nodes, a task in each datacenter checks whether it could publish: fedml on the node, the node's
    credentials, create and read in the store, clock. Its job is purged.

    Exit codes: 0 if nothing needed is missing, else 1.

    Examples:

      fedml doctor

      fedml doctor --on-nodes

      fedml doctor --json | jq '.checks[] | select(.outcome != "ok")'

      fedml doctor --policy
    """
    from federation.check import is_healthy
    from federation.checks.doctor import report, roles
    from federation.cli.session import answer_block, answer_json, note, opened
    from federation.ui.console import out, table
    from federation.workflows.examine_federation import examine_federation

    with opened(config) as project:
        if policy:
            if as_json:
                answer_json({"policies": roles.documents(project.config)})
            else:
                answer_block(roles.text(project.config))
            return
        checks = examine_federation(project, job, on_nodes=on_nodes, note=note)
    if as_json:
        answer_json(report.as_json(checks))
    else:
        out(plain_width=160).print(table(("what", "state", "found", "what to do"), report.rows(checks)))
        note(report.summary(checks))
    if not is_healthy(checks):
        raise typer.Exit(1)
