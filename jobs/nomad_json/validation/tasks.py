"""Checks a task. Its larger blocks are checked in `resources`, `files`, `services` and `identities`."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from jobs.durations import format_duration
from jobs.nomad_json.validation.comparisons import affinities, constraint
from jobs.nomad_json.validation.files import artifact, escapes, templates
from jobs.nomad_json.validation.identities import identities, secrets
from jobs.nomad_json.validation.problem import Problem, Record, Version, nested, numbered, quoted
from jobs.nomad_json.validation.resources import logs, resources
from jobs.nomad_json.validation.services import task_services


def _at(text: str, name: str) -> Problem:
    return Problem(text, ((name, None),))


def task_problems(job: Record, group: Record, task: Record, version: Version) -> Iterator[Problem]:
    yield from _name(task["Name"], version)
    if not task["Driver"]:
        yield _at("Missing task driver", "driver")
    yield from _times(job, group, task)
    yield from nested(resources(task["Resources"], version), ("resources", None))
    yield from nested(logs(task["LogConfig"], group["EphemeralDisk"]["SizeMB"]), ("logs", None))
    yield from _constraints(task["Constraints"], version)
    if job["Type"] != "system":
        yield from affinities(task["Affinities"], version)
    elif task["Affinities"]:
        yield Problem("System jobs may not have an affinity block", (("affinity", 1),))
    yield from nested(task_services(group, task, version))
    yield from numbered(task["Artifacts"], artifact, "artifact", "Artifact {} validation failed: ")
    if task["Vault"] is not None:
        yield from nested(_vault(task["Vault"], version), ("vault", None), heading="Vault validation failed: ")
    yield from templates(task["Templates"] or [])
    if version >= (1, 7):
        yield from _actions(task.get("Actions") or [])
    if task["DispatchPayload"] is not None and escapes("task/local", task["DispatchPayload"]["File"]):
        text = "Dispatch Payload validation failed: destination escapes allocation directory"
        yield Problem(text, (("dispatch_payload", None), ("file", None)))
    if task["Lifecycle"] is not None:
        yield from _lifecycle(task["Lifecycle"]["Hook"])
    yield from _connect_proxy(task, group)
    yield from _mounts(task["VolumeMounts"] or [], group["Volumes"] or {}, version)
    if task.get("CSIPluginConfig") is not None:
        yield from _csi_plugin(task["CSIPluginConfig"], version)
    if version >= (1, 7):
        yield from identities(task)
    if version >= (1, 11):
        yield from secrets(task)


def _name(name: str, version: Version) -> Iterator[Problem]:
    if not name:
        yield Problem("Missing task name")
    if name == "alloc" and version >= (1, 10, 6):
        yield Problem('Task cannot be named "alloc"')
    if "/" in name or "\\" in name:
        yield Problem("Task name cannot include slashes")
    elif "\0" in name:
        yield Problem("Task name cannot include null characters")


def _times(job: Record, group: Record, task: Record) -> Iterator[Problem]:
    deadline = (group["Update"] or {}).get("ProgressDeadline") or 0
    if task["KillTimeout"] < 0:
        yield _at("KillTimeout must be a positive value", "kill_timeout")
    elif job["Type"] == "service" and 0 < deadline < task["KillTimeout"]:
        both = format_duration(task["KillTimeout"]), format_duration(deadline)
        yield _at(f"KillTimout ({both[0]}) longer than the group's ProgressDeadline ({both[1]})", "kill_timeout")
    if task["ShutdownDelay"] < 0:
        yield _at("ShutdownDelay must be a positive value", "shutdown_delay")


def _constraints(blocks: list[Record] | None, version: Version) -> Iterator[Problem]:
    for number, block in enumerate(blocks or (), 1):
        place = ("constraint", number)
        yield from nested(constraint(block, version), place, heading=f"Constraint {number} validation failed: ")
        if block["Operand"] in ("distinct_hosts", "distinct_property"):
            text = f"Constraint {number} has disallowed Operand at task level: {block['Operand']}"
            yield Problem(text, (place,))


def _vault(block: Record, version: Version) -> Iterator[Problem]:
    policies = block["Policies"] or []
    if version < (1, 10):
        if not policies and version < (1, 7):
            yield _at("Policy list cannot be empty", "policies")
        for _ in range(policies.count("root")):
            yield _at('Can not specify "root" policy', "policies")
    mode = block["ChangeMode"] or "restart"
    if mode == "signal" and not block["ChangeSignal"]:
        yield _at('Signal must be specified when using change mode "signal"', "change_signal")
    elif mode not in ("signal", "noop", "restart"):
        yield _at(f"Unknown change mode {quoted(mode)}", "change_mode")


def _actions(actions: list[Record]) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for number, action in enumerate(actions, 1):
        name, place = action.get("Name") or "", ("action", action.get("Name") or number)
        found = [] if action.get("Command") else [_at("command cannot be empty", "command")]
        if not re.fullmatch(r"[^\0\t\n\f\r ]{1,128}", name):
            found.append(Problem(f"invalid name '{name}'"))
        yield from nested(found, place, heading=f"Action {name} validation failed: ")
        seen[name] = seen.get(name, 0) + 1
        if seen[name] == 2:
            yield Problem(f"Action {name} defined multiple times", (place,))


def _lifecycle(hook: str) -> Iterator[Problem]:
    wrong = "" if hook in ("prestart", "poststart", "poststop") else f"invalid hook: {hook}"
    if not hook:
        wrong = "no lifecycle hook provided"
    if wrong:
        yield Problem(f"Lifecycle validation failed: {wrong}", (("lifecycle", None), ("hook", None)))


def _connect_proxy(task: Record, group: Record) -> Iterator[Problem]:
    prefix, _, linked = (task["Kind"] or "").partition(":")
    if prefix != "connect-proxy":
        return
    if task["Services"]:
        yield Problem("Connect proxy task must not have a service block", (("service", 1),))
    if task["Leader"]:
        yield _at("Connect proxy task must not have leader set", "leader")
    names = [service["Name"] for service in group["Services"] or () if (service["Connect"] or {}).get("SidecarService")]
    if not names:
        yield _at(f"No Connect services in task group with Connect proxy ({quoted(linked)})", "kind")
    elif linked not in names:
        text = f"Connect proxy service name ({quoted(linked)}) not found in Connect services from task group"
        yield _at(f"{text}: [{' '.join(names)}]", "kind")


def _mounts(mounts: list[Record], volumes: Record, version: Version) -> Iterator[Problem]:
    for number, mount in enumerate(mounts):
        name, mode, place = mount["Volume"], mount["PropagationMode"] or "private", ("volume_mount", number + 1)
        is_known = mode in ("private", "host-to-task", "bidirectional")
        undefined = Problem(f"Volume Mount ({number}) references undefined volume {name}", (place, ("volume", None)))
        if version < (1, 8):
            if not is_known:
                text = f'Volume Mount ({number}) has an invalid propagation mode: "{mode}"'
                yield Problem(text, (place, ("propagation_mode", None)))
            if not name:
                yield Problem(f"Volume Mount ({number}) references an empty volume", (place,))
            elif name not in volumes:
                yield undefined
            continue
        if name not in volumes:
            yield undefined
        found = [] if name else [_at("volume mount references an empty volume", "volume")]
        if not is_known:
            text = f"volume mount has an invalid propagation mode: {quoted(mode)}"
            found.append(_at(text, "propagation_mode"))
        if (label := mount.get("SELinuxLabel") or "") not in ("", "z", "Z"):
            found.append(_at(f'volume mount has an invalid SELinux label: "{label}"', "selinux_label"))
        if found:
            yield Problem(f"Volume Mount ({number}) is invalid: ", (place,), tuple(found), quoted_inner=True)


def _csi_plugin(block: Record, version: Version) -> Iterator[Problem]:
    place = ("csi_plugin", None)
    if not block["ID"]:
        yield Problem("CSIPluginConfig must have a non-empty PluginID", (place,))
    if block["Type"] not in ("node", "controller", "monolith"):
        known = "'node', 'controller', or 'monolith'"
        text = f'CSIPluginConfig PluginType must be one of {known}, got: "{block["Type"]}"'
        yield Problem(text, (place, ("type", None)))
    base, mount = block["StagePublishBaseDir"] or "/local/csi", block["MountDir"] or "/csi"
    same_root = base.startswith("/") == mount.startswith("/")
    if version >= (2, 0, 1) and same_root and not posixpath.relpath(base, mount).startswith(".."):
        text = "CSIPluginConfig StagePublishBaseDir must not be a subdirectory of MountDir"
        yield Problem(f'{text}, got: StagePublishBaseDir="{base}" MountDir="{mount}"', (place,))
