"""Completes mapped blocks in place, as Nomad's command line does before it sends a job."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

from jobs.hcl.schema_job import BLOCK_TYPES
from jobs.hcl.values import ValueProblem, to_bool, to_string, to_whole_number

if TYPE_CHECKING:
    from collections.abc import Callable

_SECOND = 10**9
_Block = dict[str, Any]


def _finish_job(job: _Block) -> None:
    """Gives tasks directly under the job their own groups, before all others. Copies the job's vault to every task."""
    alone: list[_Block] = job.pop("Tasks", None) or []
    groups: list[_Block] = [_group_of(task) for task in alone] + (job["TaskGroups"] or [])
    job["TaskGroups"] = groups or None
    tasks = [task for group in groups for task in group["Tasks"] or []]
    _inherit_vault(job.pop("Vault", None), tasks)
    secrets = job.pop("Secrets", None) or []
    for task in tasks if secrets else []:
        task["Secrets"] = task.get("Secrets", []) + deepcopy(secrets)


def _finish_group(group: _Block) -> None:
    _inherit_vault(group.pop("Vault", None), group["Tasks"] or [])
    _split_ports(group["Networks"])
    scaling = group["Scaling"]
    if scaling is not None:
        scaling["Type"] = scaling["Type"] or "horizontal"
        if scaling["Type"] != "horizontal":
            raise ValueProblem(f'the scaling of a group is of type "horizontal", not "{scaling["Type"]}"')


def _group_of(task: _Block) -> _Block:
    return {**BLOCK_TYPES["group"].absent, "Name": task["Name"], "Tasks": [task]}


def _inherit_vault(vault: _Block | None, tasks: list[_Block]) -> None:
    if vault is not None:
        for task in tasks:
            if task["Vault"] is None:
                task["Vault"] = deepcopy(vault)


def _finish_task(task: _Block) -> None:
    _split_identities(task)
    _split_ports((task["Resources"] or {}).get("Networks"))
    resources: list[str] = []
    for policy in task["ScalingPolicies"] or []:
        resource = policy.pop("Resource").lower()
        if resource not in ("cpu", "mem"):
            raise ValueProblem(f'the scaling of a task is that of "cpu" or "mem", not "{resource}"')
        if resource in resources:
            raise ValueProblem(f'only one scaling of "{resource}" is possible')
        resources.append(resource)
        policy["Type"] = policy["Type"] or f"vertical_{resource}"
        if policy["Type"] != f"vertical_{resource}":
            raise ValueProblem(f'the scaling of "{resource}" is of type "vertical_{resource}", not "{policy["Type"]}"')


def _split_identities(task: _Block) -> None:
    """Makes the first identity that is unnamed or named "default" the task's own. Keeps the others in a list."""
    identities: list[_Block] = task.pop("Identities", None) or []
    own = next((identity for identity in identities if identity.get("Name", "") in ("", "default")), None)
    task["Identity"] = own
    if others := [one for one in identities if one is not own]:
        task["Identities"] = others


def _finish_vault(vault: _Block) -> None:
    _set_absent(vault, Env=True, DisableFile=False, ChangeMode="restart")


def _finish_template(template: _Block) -> None:
    _set_absent(template, ChangeMode="restart", Perms="0644", Splay=5 * _SECOND, ErrMissingKey=False)
    script = template["ChangeScript"]
    if script is not None:
        _set_absent(script, Args=[], Timeout=5 * _SECOND, FailOnError=False)


def _finish_periodic(periodic: _Block) -> None:
    if periodic["Spec"] is not None or periodic["Specs"] is not None:
        periodic["SpecType"] = "cron"


def _split_ports(networks: list[_Block] | None) -> None:
    """Splits ports into reserved ones (with a static number) and dynamic ones. Not called for a sidecar's resources."""
    for network in networks or []:
        if ports := network["DynamicPorts"]:
            network["DynamicPorts"] = [port for port in ports if port["Value"] <= 0] or None
            network["ReservedPorts"] = [port for port in ports if port["Value"] > 0] or None


def _set_absent(block: _Block, **values: object) -> None:
    for name, value in values.items():
        if block[name] is None:
            block[name] = value


FINISHERS: dict[str, Callable[[_Block], None]] = {
    "job": _finish_job,
    "group": _finish_group,
    "task": _finish_task,
    "vault": _finish_vault,
    "template": _finish_template,
    "periodic": _finish_periodic,
}


class Shorthand(NamedTuple):
    """Table of shorthand arguments of a block: how each is read, and what they stand for together."""

    arguments: dict[str, Callable[[object], object]]
    resolve: Callable[[dict[str, Any]], _Block]


def _resolve_constraint(given: dict[str, Any]) -> _Block:
    constraint = _comparison(given, "version", "semver", "regexp", "set_contains")
    if "distinct_hosts" in given:
        constraint |= {"Operand": "distinct_hosts", "RTarget": to_string(given["distinct_hosts"])}
    if given.get("distinct_property"):
        constraint |= {"Operand": "distinct_property", "LTarget": given["distinct_property"]}
    return constraint


def _resolve_affinity(given: dict[str, Any]) -> _Block:
    names = ("version", "semver", "regexp", "set_contains_any", "set_contains_all", "set_contains")
    return _comparison(given, *names) | {"Weight": given.get("weight")}


def _comparison(given: dict[str, Any], *operators: str) -> _Block:
    """Builds a comparison. The last of these operators that is given as an argument wins over `operator` and `value`."""
    left, right, operand = (given.get(name, "") for name in ("attribute", "value", "operator"))
    for name in operators:
        if given.get(name):
            operand, right = name, given[name]
    return {"LTarget": left, "RTarget": right, "Operand": operand or "="}


def _to_weight(value: object) -> int:
    weight = to_whole_number(value)
    if not -100 <= weight <= 100:
        raise ValueProblem(f"a whole number from -100 to 100 is required, not {weight}")
    return weight


_COMPARISON: dict[str, Callable[[object], object]] = dict.fromkeys(
    (
        "attribute",
        "value",
        "operator",
        "version",
        "semver",
        "regexp",
        "set_contains",
        "set_contains_all",
        "set_contains_any",
    ),
    to_string,
)
SHORTHANDS = {
    "constraint": Shorthand(
        {
            **_COMPARISON,
            "distinct_property": to_string,
            "distinct_hosts": to_bool,
            "is_set": to_string,
            "is_not_set": to_string,
        },
        _resolve_constraint,
    ),
    "affinity": Shorthand({**_COMPARISON, "weight": _to_weight}, _resolve_affinity),
}
