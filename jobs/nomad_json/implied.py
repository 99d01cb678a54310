"""What a server adds to a job by itself: constraints that blocks imply, and each task's default identity.

A registered job has these; the file of the job doesn't.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from jobs.nomad_json.inherited import Record, identities

Version = tuple[int, ...]

_CNI_PLUGINS = ("bridge", "firewall", "host-local", "loopback", "portmap")
_NOMAD_VERSION = "${attr.nomad.version}"
_SIGNALS = "${attr.os.signals}"
DEFAULT_IDENTITY: Record = {
    "Audience": ["nomadproject.io"],
    "ChangeMode": "",
    "ChangeSignal": "",
    "Env": False,
    "ExtraClaims": None,
    "File": False,
    "Filepath": "",
    "Name": "default",
    "ServiceName": "",
    "TTL": 0,
}
"""Identity that every task has since Nomad 1.7 where its jobspec has none of that name."""


def add_implied(job: Record, version: Version) -> None:
    """Adds what a server of that version adds. In place."""
    for group in job["TaskGroups"] or ():
        for owner, constraint, by_attribute in _constraints(job, group, version):
            there = owner["Constraints"] or []
            if not any(_is_equal(one, constraint, by_attribute=by_attribute) for one in there):
                owner["Constraints"] = [*there, constraint]
        if version >= (1, 7):
            for task in group["Tasks"] or ():
                task["Identity"] = task["Identity"] or dict(DEFAULT_IDENTITY)
        _add_scaling_targets(job, group)
        for service in _services(group):
            _complete_service(service, job["Namespace"])


def _add_scaling_targets(job: Record, group: Record) -> None:
    target = {"Namespace": job["Namespace"], "Job": job["ID"], "Group": group["Name"]}
    if group["Scaling"]:
        group["Scaling"]["Target"] = target
    for task in group["Tasks"] or ():
        for policy in task["ScalingPolicies"] or ():
            policy["Target"] = {**target, "Task": task["Name"]}


def _complete_service(service: Record, namespace: str) -> None:
    is_consul = service["Provider"] == "consul"
    service["Namespace"] = "default" if is_consul else namespace
    if is_consul and service.get("Identity"):
        parts = (service["TaskName"], service["Name"], service["PortLabel"])
        name = "-".join(part for number, part in enumerate(parts) if part or number)
        service["Identity"] |= {"Name": f"consul-service_{name}", "ServiceName": service["Name"]}


def remove_implied(job: Record, versions: Iterable[Version]) -> None:
    """Removes what a server of one of these versions would add anyway. In place."""
    for group in job["TaskGroups"] or ():
        for owner, constraint, _ in [one for version in versions for one in _constraints(job, group, version)]:
            there = owner["Constraints"] or ()
            owner["Constraints"] = [one for one in there if not _is_equal(one, constraint)] or None
        for service in _services(group):
            if service.get("Identity") and service["Provider"] == "consul":
                service["Identity"] |= {"Name": "", "ServiceName": ""}
            service.pop("Namespace", None)
            _remove_exposed_paths(service)
        for task in group["Tasks"] or ():
            if task["Identity"] and not _asks_for_something(task["Identity"]):
                task["Identity"] = None


def _remove_exposed_paths(service: Record) -> None:
    """Removes the paths and port labels of checks that are exposed through a Connect proxy."""
    checks = [check for check in service["Checks"] or () if check["Expose"]]
    if checks and (expose := _proxy(service).get("Expose")):
        exposed = {(check["Path"], check["Protocol"], check["PortLabel"]) for check in checks}
        paths = [
            path
            for path in expose["Paths"] or ()
            if (path["Path"], path["Protocol"], path["ListenerPort"]) not in exposed
        ]
        proxy = {**_proxy(service), "Expose": {**expose, "Paths": paths} if paths else None}
        service["Connect"]["SidecarService"]["Proxy"] = proxy if any(proxy.values()) else None
    for check in checks:
        if check["PortLabel"].startswith(f"svc_{service['Name']}_ck_"):
            check["PortLabel"] = ""


def remove_injected(job: Record, other: Record) -> None:
    """Removes what the configuration of a server or Consul Connect adds, where the other job lacks it: proxies with their
    ports, and identities for Vault and Consul. In place."""
    others = {group["Name"]: group for group in other["TaskGroups"] or ()}
    for group in job["TaskGroups"] or ():
        twin = others.get(group["Name"])
        if twin is None:
            continue
        tasks = {task["Name"]: task for task in twin["Tasks"] or ()}
        group["Tasks"] = [one for one in group["Tasks"] or () if one["Name"] in tasks or not _is_proxy(one)] or None
        _remove_ports(group, twin)
        _remove_service_identities(group["Services"], twin["Services"])
        for task in group["Tasks"] or ():
            if (same := tasks.get(task["Name"])) is not None:
                _remove_service_identities(task["Services"], same["Services"])
                _remove_identities(task, same)


def _is_proxy(task: Record) -> bool:
    return str(task["Kind"]).startswith(("connect-proxy:", "connect-ingress:", "connect-terminating:", "connect-mesh:"))


def _remove_ports(group: Record, twin: Record) -> None:
    for network, same in zip(group["Networks"] or (), twin["Networks"] or (), strict=False):
        labels = {port["Label"] for port in same["DynamicPorts"] or ()}
        ports = network["DynamicPorts"] or ()
        injected = ("connect-", "svc_")
        kept = [
            one for one in ports if one["Label"] in labels or one["To"] != -1 or not one["Label"].startswith(injected)
        ]
        network["DynamicPorts"] = kept or None


def _remove_service_identities(services: list[Record] | None, others: list[Record] | None) -> None:
    without = {service["Name"] for service in others or () if not service.get("Identity")}
    for service in services or ():
        if service["Name"] in without and service.get("Identity") and service["Provider"] == "consul":
            service["Identity"] = None


def _remove_identities(task: Record, same: Record) -> None:
    names = {one["Name"] for one in same.get("Identities") or ()}
    prefixes = tuple(prefix for prefix, block in (("vault_", "Vault"), ("consul_", "Consul")) if task.get(block))
    if prefixes and task.get("Identities"):
        kept = [one for one in task["Identities"] if one["Name"] in names or not one["Name"].startswith(prefixes)]
        task["Identities"] = kept or None


def _services(group: Record) -> list[Record]:
    of_tasks = [service for task in group["Tasks"] or () for service in task["Services"] or ()]
    return [*(group["Services"] or ()), *of_tasks]


def _asks_for_something(identity: Record) -> bool:
    asked = {name: value for name, value in identity.items() if name not in ("Name", "Audience")}
    return any(asked.values()) or identity.get("Name", "default") != "default"


def _constraints(job: Record, group: Record, version: Version) -> Iterator[tuple[Record, Record, bool]]:
    """Yields (group or task, constraint, whether any constraint of the same attribute replaces it), in Nomad's order."""
    tasks = group["Tasks"] or []
    for owner in (group, *tasks) if version >= (1, 7) else ():
        if (owner.get("Consul") or {}).get("Partition"):
            yield owner, _constraint("${attr.consul.partition}", owner["Consul"]["Partition"], "="), False
    vaults = [task["Vault"] for task in tasks if task["Vault"]]
    for vault in vaults:
        yield group, _vault(vault), True
    for provider in _secret_providers(job):
        yield group, _constraint(f"${{attr.plugins.secrets.{provider}.version}}", "", "is_set"), True
    if any((task["Resources"].get("NUMA") or {}).get("Affinity", "none") != "none" for task in tasks):
        yield group, _constraint(_NOMAD_VERSION, ">= 1.6.3-dev"), False
        yield group, _constraint("${attr.kernel.name}", "linux", "="), False
    if signals := sorted({signal for task in tasks for signal in _signals(task)}):
        yield group, _constraint(_SIGNALS, ",".join(signals), "set_contains"), False
    yield from _service_constraints(group, tasks, version)
    if version >= (1, 8) and any(network["Mode"] == "bridge" for network in group["Networks"] or ()):
        for plugin in _CNI_PLUGINS:
            yield group, _constraint(f"${{attr.plugins.cni.version.{plugin}}}", ">= 0.4.0"), True
    if any(_proxy(service).get("TransparentProxy") for service in group["Services"] or ()):
        yield group, _constraint("${attr.plugins.cni.version.consul-cni}", ">= 1.4.2"), True
        yield group, _constraint(_NOMAD_VERSION, ">= 1.8.0-dev"), True
    if any(task.get("Schedule") for task in tasks):
        yield group, _constraint(_NOMAD_VERSION, ">= 1.8.0-dev"), True
    if version >= (1, 7) and _has_identity(group, tasks):
        yield group, _constraint(_NOMAD_VERSION, ">= 1.7.0-a"), False


def _service_constraints(group: Record, tasks: list[Record], version: Version) -> Iterator[tuple[Record, Record, bool]]:
    of_tasks = [(task, service) for task in tasks for service in task["Services"] or ()]
    services = [(group, service) for service in group["Services"] or ()] + of_tasks
    native = [service for _, service in services if service["Provider"] == "nomad"]
    if native:
        yield group, _constraint("${attr.nomad.service_discovery}", "true", "="), False
    if any(service["Checks"] for service in native):
        yield group, _constraint(_NOMAD_VERSION, ">= 1.4.0"), False
    for owner, service in services:
        if service["Provider"] == "consul":
            oldest = ">= 1.8.0" if version >= (1, 7) else ">= 1.7.0"
            yield owner if version >= (1, 8) else group, _constraint(_consul(service), oldest), True


def _constraint(left: str, right: str, operand: str = "semver") -> Record:
    return {"LTarget": left, "Operand": operand, "RTarget": right}


def _vault(vault: Record) -> Record:
    if (cluster := vault.get("Cluster") or "default") != "default":
        return _constraint(f"${{attr.vault.{cluster}.version}}", ">= 1.11.0")
    return _constraint("${attr.vault.version}", ">= 0.6.1")


def _consul(service: Record) -> str:
    cluster = service.get("Cluster") or "default"
    return "${attr.consul.version}" if cluster == "default" else f"${{attr.consul.{cluster}.version}}"


def _secret_providers(job: Record) -> list[str]:
    """Returns the providers of all secrets of the job: each group gets the constraints of all."""
    tasks = [task for group in job["TaskGroups"] or () for task in group["Tasks"] or ()]
    return list(dict.fromkeys(secret["Provider"] for task in tasks for secret in task.get("Secrets") or ()))


def _signals(task: Record) -> Iterator[str]:
    if task["KillSignal"]:
        yield task["KillSignal"]
    for block in (task["Vault"], *(task["Templates"] or ())):
        if block and block["ChangeMode"] == "signal":
            yield block["ChangeSignal"]


def _proxy(service: Record) -> Record:
    sidecar = (service["Connect"] or {}).get("SidecarService") or {}
    return sidecar.get("Proxy") or {}


def _has_identity(group: Record, tasks: list[Record]) -> bool:
    return any(service.get("Identity") for service in _services(group)) or any(
        one.get("Name", "default") != "default" for task in tasks for one in identities(task)
    )


def _is_equal(one: Any, implied: Record, *, by_attribute: bool = False) -> bool:
    if by_attribute or one["LTarget"] != implied["LTarget"]:
        return bool(one["LTarget"] == implied["LTarget"])
    if implied["LTarget"] == _SIGNALS:
        return bool(
            one["Operand"] == "set_contains" and set(one["RTarget"].split(",")) == set(implied["RTarget"].split(","))
        )
    return bool(one["Operand"] == implied["Operand"] and one["RTarget"] == implied["RTarget"])
