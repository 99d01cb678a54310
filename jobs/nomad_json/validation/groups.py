"""Checks a group: its own blocks, its volumes and its networks. Its tasks are checked in `tasks`."""

from __future__ import annotations

from collections.abc import Iterator

from jobs.nomad_json.validation import policies
from jobs.nomad_json.validation.comparisons import affinities, constraints, spreads
from jobs.nomad_json.validation.problem import Problem, Record, Version, nested, quoted
from jobs.nomad_json.validation.services import group_services, ports_of, script_checks
from jobs.nomad_json.validation.tasks import task_problems

_FLAT = (1, 8)
"""From this version on the problems of a group's policies stand among its own."""
_PORT_MAX = 65535


def names(items: list[Record], what: str, kind: str) -> Iterator[Problem]:
    """Finds items without a name, and those that share one."""
    seen: dict[str, int] = {}
    for number, name in enumerate((item["Name"] for item in items), 1):
        if not name:
            yield Problem(f"{what} {number} missing name", ((kind, number),))
        elif name in seen:
            yield Problem(f"{what} {number} redefines '{name}' from {kind} {seen[name]}", ((kind, number),))
        seen.setdefault(name, number)


def group_problems(job: Record, group: Record, version: Version) -> Iterator[Problem]:
    job_type, tasks = job["Type"], group["Tasks"] or []
    yield from _shape(group, job_type, version)
    yield from constraints(group["Constraints"], version)
    if job_type == "system":
        yield from none_of_system(group["Affinities"], "an affinity", "affinity")
    else:
        yield from affinities(group["Affinities"], version)
    yield from _block(policies.restart(group["RestartPolicy"]), "restart", version)
    if job_type == "system":
        yield from none_of_system(group["Spreads"], "a spread", "spread")
    else:
        yield from spreads(group["Spreads"])
    yield from _reschedule(group["ReschedulePolicy"], job_type, version)
    if (size := group["EphemeralDisk"]["SizeMB"]) < 10:
        yield Problem(f"minimum DiskMB value is 10; got {size}", (("ephemeral_disk", None), ("size", None)))
    yield from _rollout(group, job_type, version)
    yield from names(tasks, "Task", "task")
    if sum(task["Leader"] for task in tasks) > 1:
        yield Problem("Only one task may be marked as leader")
    for name, volume in (group["Volumes"] or {}).items():
        heading = f"Task group volume validation for {name} failed: "
        yield from volume_problems(name, volume, group, job_type, version, heading)
    yield from nested(_networks(group, version), heading="Task group network validation failed: ")
    yield from nested(group_services(group, version), heading="Task group service validation failed: ")
    yield from nested(script_checks(group), heading="Task group service check validation failed: ")
    if group["Scaling"] is not None:
        found, heading = (
            policies.scaling(group["Scaling"], group["Count"]),
            "Task group scaling policy validation failed: ",
        )
        yield from nested(found, ("scaling", None), heading=heading)
    for task in tasks:
        found, heading = task_problems(job, group, task, version), f"Task {task['Name']} validation failed: "
        yield from nested(found, ("task", task["Name"]), heading=heading)


def _shape(group: Record, job_type: str, version: Version) -> Iterator[Problem]:
    if not group["Name"]:
        yield Problem("Missing task group name")
    elif "\0" in group["Name"]:
        yield Problem("Task group name contains null character")
    if group["Count"] < 0:
        yield Problem("Task group count can't be negative", (("count", None),))
    if not group["Tasks"]:
        yield Problem("Missing tasks for task group")
    if version >= (1, 8) and group.get("Disconnect"):
        yield from _block(policies.disconnect(group["Disconnect"], job_type), "disconnect", version)
    if version < (1, 10):
        yield from _lost_client(group)
    longest = group.get("MaxRunDuration")
    if version >= (2, 0, 3) and longest is not None:
        if longest <= 0:
            yield Problem("MaxRunDuration must be greater than zero", (("max_run_duration", None),))
        if job_type not in ("batch", "sysbatch"):
            text = f"Job type {quoted(job_type)} does not allow max_run_duration"
            yield Problem(text, (("max_run_duration", None),))


def _lost_client(group: Record) -> Iterator[Problem]:
    longest, stop = group["MaxClientDisconnect"], group["StopAfterClientDisconnect"]
    if longest is not None and stop is not None:
        both = "both max_client_disconnect and stop_after_client_disconnect"
        yield Problem(f"Task group cannot be configured with {both}")
    if longest is not None and longest < 0:
        yield Problem("max_client_disconnect cannot be negative", (("max_client_disconnect", None),))


def none_of_system(blocks: list[Record] | None, what: str, name: str) -> Iterator[Problem]:
    if blocks:
        yield Problem(f"System jobs may not have {what} block", ((name, 1),))


def _block(found: Iterator[Problem], name: str, version: Version) -> list[Problem]:
    if version >= _FLAT:
        return [problem.at((name, None)) for problem in found]
    return nested(found, (name, None))


def _reschedule(policy: Record | None, job_type: str, version: Version) -> list[Problem]:
    refused = ("system", "sysbatch") if version >= (1, 11) else ("system",)
    if policy is None:
        return []
    if job_type not in refused:
        return _block(policies.reschedule(policy), "reschedule", version)
    who = "System or sysbatch jobs" if version >= (1, 11) else "System jobs"
    return [Problem(f"{who} should not have a reschedule policy", (("reschedule", None),))]


def _rollout(group: Record, job_type: str, version: Version) -> Iterator[Problem]:
    for name, check in (("update", policies.update), ("migrate", policies.migrate)):
        block, allowed = group[name.title()], ("service", "system") if name == "update" else ("service",)
        if block is None:
            continue
        if job_type not in allowed:
            yield Problem(f"Job type {quoted(job_type)} does not allow {name} block", ((name, None),))
        if name == "update" or job_type in allowed:
            yield from _block(check(block), name, version)


def volume_problems(
    name: str, volume: Record, group: Record, job_type: str, version: Version, heading: str
) -> list[Problem]:
    place, kind = ("volume", name), volume["Type"]
    canaries = (group["Update"] or {}).get("Canary") or 0
    found = [] if volume["Source"] else ["volume has an empty source"]
    if volume["PerAlloc"]:
        if job_type in ("system", "sysbatch"):
            found.append("volume cannot be per_alloc for system or sysbatch jobs")
        if canaries > 0:
            found.append("volume cannot be per_alloc when canaries are in use")
        if volume.get("Sticky") and version >= (1, 10):
            found.append("volume cannot be per_alloc and sticky at the same time")
    found += _host_volume(volume, version) if kind == "host" else _csi_volume(volume, group["Count"])
    return nested((Problem(text) for text in found), place, heading=heading)


def _host_volume(volume: Record, version: Version) -> Iterator[str]:
    mode = volume["AccessMode"]
    if version >= (1, 10):
        if volume["MountOptions"] is not None:
            yield "host volumes cannot have mount options"
        if mode == "single-node-reader-only" and not volume["ReadOnly"]:
            yield f"{mode} volumes must be read-only"
        writers = ("single-node-writer", "single-node-single-writer", "single-node-multi-writer")
        if mode not in ("", "single-node-reader-only", *writers):
            yield f"host volumes cannot be mounted with {mode} access mode"
        return
    if volume["AttachmentMode"]:
        yield "host volumes cannot have an attachment mode"
    if mode:
        yield "host volumes cannot have an access mode"
    if volume["MountOptions"] is not None:
        yield "host volumes cannot have mount options"


def _csi_volume(volume: Record, count: int) -> Iterator[str]:
    if not volume["AttachmentMode"]:
        yield "CSI volumes must have an attachment mode"
    elif volume["AttachmentMode"] == "block-device" and volume["MountOptions"] is not None:
        yield "block devices cannot have mount options"
    mode, is_shared = volume["AccessMode"], count > 1 and not volume["PerAlloc"]
    if not mode:
        yield "CSI volumes must have an access mode"
    if mode in ("single-node-reader-only", "multi-node-reader-only") and not volume["ReadOnly"]:
        yield f"{mode} volumes must be read-only"
    if mode == "single-node-reader-only" and is_shared:
        yield f"volume with {mode} access mode allows only one reader"
    if mode == "single-node-writer" and is_shared:
        yield f"volume with {mode} access mode allows only one reader or writer"
    if mode == "multi-node-single-writer" and is_shared and not volume["ReadOnly"]:
        yield f"volume with {mode} access mode allows only one writer"


def _networks(group: Record, version: Version) -> Iterator[Problem]:
    used: dict[tuple[str, int], str] = {}
    labels: set[str] = set()
    arguments: set[str] = set()
    for number, network in enumerate(group["Networks"] or (), 1):
        for port in ports_of(network):
            place = (("network", number), ("port", port["Label"]))
            if port["Label"] in labels:
                yield Problem(f"Port label {port['Label']} already in use by taskgroup network", place)
            labels.add(port["Label"])
            owner = f"taskgroup network:{port['Label']}"
            yield from (problem.at(*place) for problem in _static_port(port, owner, used, version))
            yield from (problem.at(*place) for problem in _mapped_port(port, network, version))
        yield from (problem.at(("network", number)) for problem in _cni(network, arguments, version))
        host = network.get("Hostname") or ""
        if host and "${" not in host and not _is_domain(host):
            yield Problem("Hostname is not a valid DNS name", (("network", number), ("hostname", None)))
    for task in group["Tasks"] or ():
        for number, network in enumerate(task["Resources"]["Networks"] or (), 1):
            for port in ports_of(network):
                inner = (("task", task["Name"]), ("resources", None), ("network", number), ("port", port["Label"]))
                if port["Label"] in labels:
                    yield Problem(f"Port label {port['Label']} already in use by taskgroup network", inner)
                owner = f"{task['Name']}:{port['Label']}"
                yield from (problem.at(*inner) for problem in _static_port(port, owner, used, (0,)))


def _static_port(port: Record, owner: str, used: dict[tuple[str, int], str], version: Version) -> Iterator[Problem]:
    value = port["Value"]
    if value == 0:
        return
    key = (port["HostNetwork"] or "default", value)
    if key in used:
        if not (port.get("IgnoreCollision") and version >= (1, 9)):
            yield Problem(f"Static port {value} already reserved by {used[key]}", (("static", None),))
    elif value > _PORT_MAX:
        text = f"Port {port['Label']} ({value}) cannot be greater than {_PORT_MAX}"
        yield Problem(text, (("static", None),))
    else:
        used[key] = owner


def _mapped_port(port: Record, network: Record, version: Version) -> Iterator[Problem]:
    label, to = quoted(port["Label"]), port["To"]
    if to < -1:
        yield Problem(f"Port {label} cannot be mapped to negative value {to}", (("to", None),))
    elif to > _PORT_MAX:
        yield Problem(f"Port {label} cannot be mapped to a port ({to}) greater than {_PORT_MAX}", (("to", None),))
    if version >= (1, 9) and port.get("IgnoreCollision") and network["Mode"] not in ("", "host"):
        text = f"Port {label} collision may not be ignored on non-host network mode {quoted(network['Mode'])}"
        yield Problem(text, (("ignore_collision", None),))


def _cni(network: Record, seen: set[str], version: Version) -> Iterator[Problem]:
    arguments = (network.get("CNI") or {}).get("Args") or {}
    if version < (1, 8, 2):
        return
    for key, value in arguments.items():
        if key in seen:
            yield Problem(f"duplicate CNI arg {quoted(key)}", (("cni", None),))
        seen.add(key)
        for what, text in (("key", key), ("value", value)):
            if ";" in text:
                yield Problem(f"invalid ';' character in CNI arg {what} {quoted(text)}", (("cni", None),))


def _is_domain(name: str) -> bool:
    labels = name.rstrip(".").split(".")
    return len(name) <= 254 and ".." not in name and all(1 <= len(label.encode()) <= 63 for label in labels)
