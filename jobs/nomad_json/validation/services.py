"""Checks services and their checks, for Consul and for Nomad's own service discovery."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from jobs.nomad_json.validation.connect import connect
from jobs.nomad_json.validation.problem import REFERENCE, Problem, Record, Version, nested, quoted
from jobs.nomad_json.validation.service_checks import ON_UPDATE, WITH_PORT, consul_check, modes, nomad_check

_SERVICE_NAME = re.compile(r"[a-z0-9]|[a-z0-9][a-z0-9-]{0,61}[a-z0-9]", re.IGNORECASE | re.ASCII)
_GROUP_ONLY_MODES = ("alloc", "alloc_ipv6")


def service(block: Record, version: Version) -> Iterator[Problem]:
    """Finds what is wrong with one service, wherever it stands."""
    if not _SERVICE_NAME.fullmatch(REFERENCE.sub("ENV-VAR", block["Name"])):
        text = (
            "Service name must be valid per RFC 1123 and can contain only alphanumeric characters or dashes and must be"
            " no longer than 63 characters"
        )
        yield Problem(f"{text}: {quoted(block['Name'])}", (("name", None),))
    mode = block["AddressMode"]
    if mode in modes(version):
        if block["Address"]:
            yield Problem('Service address_mode must be "auto" if address is set', (("address", None),))
    elif mode != "auto":
        text = 'Service address_mode must be "auto", "host", or "driver"; not '
        yield Problem(text + quoted(mode), (("address_mode", None),))
    if block["OnUpdate"] not in ON_UPDATE:
        text = 'Service on_update must be "require_healthy", "ignore_warnings", or "ignore"; not '
        yield Problem(text + quoted(block["OnUpdate"]), (("on_update", None),))
    if block["Provider"] == "consul":
        yield from _of_consul(block, version)
    elif block["Provider"] == "nomad":
        yield from _of_nomad(block, version)
    else:
        text = f'Service provider must be "consul", or "nomad"; not {quoted(block["Provider"])}'
        yield Problem(text, (("provider", None),))
    if (identity := block.get("Identity")) and not identity.get("Audience") and version >= (1, 7):
        yield Problem("Service identity must provide at least one target aud value", (("identity", None),))


def _of_nomad(block: Record, version: Version) -> Iterator[Problem]:
    for number, check in enumerate(block["Checks"] or (), 1):
        problem = _port_problem(block, check) or _first(nomad_check, check, version)
        if problem is not None:
            yield problem.at(("check", number))
    if block["Connect"]:
        yield Problem("Service with provider nomad cannot include Connect blocks", (("connect", None),))


def _of_consul(block: Record, version: Version) -> Iterator[Problem]:
    linked = block["Connect"]
    for number, check in enumerate(block["Checks"] or (), 1):
        problem, text = _port_problem(block, check), f"Check {check['Name']} invalid: "
        if problem is None and check["Type"] == "tcp" and linked and linked["SidecarService"] is not None:
            problem = Problem(f"{text}tcp checks are not valid for Connect enabled services", (("type", None),))
        if problem is None and (found := _first(consul_check, check, version)) is not None:
            problem = replace(found, text=text + found.text)
        if problem is not None:
            yield problem.at(("check", number))
    kinds = ("", "api-gateway", "ingress-gateway", "mesh-gateway", "terminating-gateway")
    if version >= (1, 10, 3) and (block.get("Kind") or "") not in kinds:
        text = f"Service {block['Name']} kind must be one of consul service kind or empty"
        yield Problem(text, (("kind", None),))
    if not linked:
        return
    yield from (problem.at(("connect", None)) for problem in connect(linked, version))
    if linked["Native"]:
        for field, since, name in (("TaskName", (0,), "task"), ("PortLabel", (1, 8, 7), "port")):
            if not block[field] and version >= since:
                yield Problem(f"Service {block['Name']} is Connect Native and requires setting the {name}")


def _port_problem(block: Record, check: Record) -> Problem | None:
    if block["PortLabel"] or check["PortLabel"] or check["Type"] not in WITH_PORT:
        return None
    text = f"Check {check['Name']} invalid: check requires a port but neither check nor service"
    return Problem(f"{text} {quoted(block['Name'])} have a port")


def _first(check: object, block: Record, version: Version) -> Problem | None:
    assert callable(check)
    return next(iter(check(block, version)), None)


def group_services(group: Record, version: Version) -> Iterator[Problem]:
    """Finds what is wrong with a group's services, and between those of its tasks."""
    tasks = group["Tasks"] or []
    seen: dict[tuple[str, str, str], int] = {}
    providers: set[str] = set()
    for task in tasks:
        for number, own in enumerate(task["Services"] or (), 1):
            place = (("task", task["Name"]), ("service", number))
            yield from (problem.at(*place) for problem in _foreign_task(own, task["Name"]))
            key = (own["Name"], task["Name"], own["PortLabel"])
            seen[key] = seen.get(key, 0) + 1
            providers.add(own["Provider"])
    for index, own in enumerate(group["Services"] or ()):
        key = (own["Name"], "group", own["PortLabel"])
        seen[key] = seen.get(key, 0) + 1
        providers.add(own["Provider"])
        step = ("service", index + 1)
        heading = f"Service[{index}] {own['Name']} validation failed: "
        if wrong := nested(service(own, version), step, heading=heading):
            yield from wrong
            continue
        names = [task["Name"] for task in tasks]
        yield from (problem.at(step) for problem in _of_group(own, names))
    if twice := [key for key, times in seen.items() if times > 1]:
        listed = ", ".join(f"{task}->{name}" + (f":{port}" if port else "") for name, task, port in twice)
        yield Problem(f"Services are not unique: [{listed}]")
    if len(providers) > 1:
        yield Problem("Multiple service providers used: task group services must use the same provider")


def _foreign_task(own: Record, task: str) -> Iterator[Problem]:
    if own["TaskName"] != task:
        text = f"Service {own['Name']} is invalid: may only specify task the service belongs to, got "
        yield Problem(text + quoted(own["TaskName"]), (("task", None),))
    for number, check in enumerate(own["Checks"] or (), 1):
        if check["TaskName"] != task:
            text = f"Check {check['Name']} is invalid: may only specify task the check belongs to, got "
            yield Problem(text + quoted(check["TaskName"]), (("check", number),))


def _of_group(own: Record, tasks: list[str]) -> Iterator[Problem]:
    if own["AddressMode"] == "driver":
        text = (
            f'service {quoted(own["Name"])} cannot use address_mode="driver", only services defined in a "task" block'
        )
        yield Problem(f"{text} can use this mode", (("address_mode", None),))
    for number, check in enumerate(own["Checks"] or (), 1):
        if not check["TaskName"]:
            continue
        if check["AddressMode"] == "driver":
            text = f'Check {quoted(own["Name"])} invalid: cannot use address_mode="driver", only checks defined in a'
            yield Problem(f'{text} "task" service block can use this mode', (("check", number),))
        if check["TaskName"] not in tasks:
            text = f"Check {check['Name']} invalid: refers to non-existent task {check['TaskName']}"
            yield Problem(text, (("check", number),))


def script_checks(group: Record) -> Iterator[Problem]:
    """Finds script checks of a group's services that name no task to run in."""
    for number, own in enumerate(group["Services"] or (), 1):
        for inner, check in enumerate(own["Checks"] or (), 1):
            if not own["TaskName"] and check["Type"] == "script" and not check["TaskName"]:
                text = f"Service [{group['Name']}]->{own['Name']} or Check {check['Name']} must specify task parameter"
                yield Problem(text, (("service", number), ("check", inner)))


def task_services(group: Record, task: Record, version: Version) -> Iterator[Problem]:
    """Finds what is wrong with the services of a task and the ports that they name."""
    ports: dict[str, set[str]] = {}
    known: set[str] = set()
    for index, own in enumerate(task["Services"] or ()):
        name, label, place = own["Name"], own["PortLabel"], ("service", index + 1)
        yield from nested(service(own, version), place, heading=f"service[{index}] {quoted(name)} validation failed: ")
        yield from (problem.at(place) for problem in _mode_of_task(own["AddressMode"], "service", name, version))
        if name + label in known:
            yield Problem(f"service {quoted(name)} is duplicate", (place,))
        known.add(name + label)
        if label and not (own["AddressMode"] == "driver" and re.fullmatch(r"[+-]?[0-9]+", label)):
            ports.setdefault(label, set()).add(name)
        if own["Connect"]:
            text = f'service {quoted(name)} cannot have "connect" block, only services defined in a "group" block can'
            yield Problem(text, (place, ("connect", None)))
        yield from (problem.at(place) for problem in _task_checks(own, ports, version))
    labels = {port["Label"] for network in (group["Networks"] or [])[:1] for port in ports_of(network)}
    labels |= {port["Label"] for network in task["Resources"]["Networks"] or () for port in ports_of(network)}
    for label in sorted(set(ports) - labels):
        names = ", ".join(sorted(ports[label]))
        yield Problem(f"port label {quoted(label)} referenced by services {names} does not exist", (("service", 1),))


def ports_of(network: Record) -> list[Record]:
    return [*(network["ReservedPorts"] or ()), *(network["DynamicPorts"] or ())]


def _mode_of_task(mode: str, what: str, name: str, version: Version) -> Iterator[Problem]:
    where = 'services defined in a "group" block' if what == "service" else 'checks defined in a "group" service block'
    if mode in _GROUP_ONLY_MODES and mode in modes(version):
        text = f'{what} {quoted(name)} cannot use address_mode="{mode}", only {where} can use this mode'
        yield Problem(text, (("address_mode", None),))


def _task_checks(own: Record, ports: dict[str, set[str]], version: Version) -> Iterator[Problem]:
    known: set[str] = set()
    for number, check in enumerate(own["Checks"] or (), 1):
        name, place = quoted(check["Name"]), ("check", number)
        if check["Name"] in known:
            yield Problem(f"check {name} is duplicate", (place,))
        known.add(check["Name"])
        yield from (problem.at(place) for problem in _mode_of_task(check["AddressMode"], "check", own["Name"], version))
        if check["Type"] not in WITH_PORT:
            continue
        label = check["PortLabel"] or own["PortLabel"]
        if not label:
            yield Problem(f"check {name} is missing a port", (place,))
        elif not re.fullmatch(r"[+-]?[0-9]+", label):
            ports.setdefault(label, set()).add(own["Name"])
        elif check["AddressMode"] != "driver":
            text = f'check {name} cannot use a numeric port {int(label)} without setting address_mode="driver"'
            yield Problem(text, (place, ("port", None)))
        elif int(label) <= 0:
            yield Problem(f"check {name} has invalid numeric port {int(label)}", (place, ("port", None)))
