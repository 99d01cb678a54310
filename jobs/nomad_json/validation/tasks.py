"""Checks a task: its resources, logs, templates, artifacts, mounts, identities, actions and secrets."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from jobs.durations import format_duration
from jobs.nomad_json.validation.comparisons import affinities, constraint, device
from jobs.nomad_json.validation.problem import REFERENCE, Problem, Record, Version, nested, numbered, quoted
from jobs.nomad_json.validation.services import task_services

_CHECKSUM_BYTES = {"md5": 16, "sha1": 20, "sha256": 32, "sha512": 64}
_IDENTITY_NAME = "^[a-zA-Z0-9-_]{1,128}$"


def _at(text: str, name: str) -> Problem:
    return Problem(text, ((name, None),))


def task_problems(job: Record, group: Record, task: Record, version: Version) -> Iterator[Problem]:
    yield from _name(task["Name"], version)
    if not task["Driver"]:
        yield _at("Missing task driver", "driver")
    yield from _times(job, group, task)
    yield from nested(_resources(task["Resources"], version), ("resources", None))
    yield from nested(_logs(task["LogConfig"], group["EphemeralDisk"]["SizeMB"]), ("logs", None))
    yield from _constraints(task["Constraints"], version)
    if job["Type"] != "system":
        yield from affinities(task["Affinities"], version)
    elif task["Affinities"]:
        yield Problem("System jobs may not have an affinity block", (("affinity", 1),))
    yield from nested(task_services(group, task, version))
    yield from numbered(task["Artifacts"], _artifact, "artifact", "Artifact {} validation failed: ")
    if task["Vault"] is not None:
        yield from nested(_vault(task["Vault"], version), ("vault", None), heading="Vault validation failed: ")
    yield from _templates(task["Templates"] or [])
    if version >= (1, 7):
        yield from _actions(task.get("Actions") or [])
    if task["DispatchPayload"] is not None and _escapes("task/local", task["DispatchPayload"]["File"]):
        text = "Dispatch Payload validation failed: destination escapes allocation directory"
        yield Problem(text, (("dispatch_payload", None), ("file", None)))
    if task["Lifecycle"] is not None:
        yield from _lifecycle(task["Lifecycle"]["Hook"])
    yield from _connect_proxy(task, group)
    yield from _mounts(task["VolumeMounts"] or [], group["Volumes"] or {}, version)
    if task.get("CSIPluginConfig") is not None:
        yield from _csi_plugin(task["CSIPluginConfig"], version)
    if version >= (1, 7):
        yield from _identities(task)
    if version >= (1, 11):
        yield from _secrets(task)


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


def _resources(resources: Record, version: Version) -> Iterator[Problem]:
    cores, memory = resources["Cores"] or 0, resources["MemoryMB"]
    if cores > 0 and resources["CPU"] > 0:
        yield _at("Task can only ask for 'cpu' or 'cores' resource, not both.", "cores")
    if cores < 0 and version >= (2, 0, 5):
        yield _at(f"cores value ({cores}) cannot be negative", "cores")
    least = []
    if resources["CPU"] < 1 and cores == 0:
        least.append(_at(f"minimum CPU value is 1; got {resources['CPU']}", "cpu"))
    if memory < 10:
        least.append(_at(f"minimum MemoryMB value is 10; got {memory}", "memory"))
    yield from nested(least)
    if (resources["DiskMB"] or 0) > 0:
        text = "Task can't ask for disk resources, they have to be specified at the task group level."
        yield _at(text, "disk")
    devices = resources["Devices"] or []
    for number, block in enumerate(devices, 1):
        yield from nested(device(block, version), ("device", number), heading=f"device {number} failed validation: ")
    if version >= (1, 7) and (numa := resources.get("NUMA")):
        yield from _numa(numa, [block["Name"] for block in devices])
    longest = resources["MemoryMaxMB"] or 0
    if longest and longest < memory and not (longest == -1 and version >= (1, 8)):
        text = f"MemoryMaxMB value ({longest}) should be larger than MemoryMB value ({memory})"
        yield _at(text, "memory_max")
    secrets = resources.get("SecretsMB") or 0
    if version >= (1, 8, 3):
        if secrets > memory:
            yield _at(f"SecretsMB value ({secrets}) cannot be larger than MemoryMB value ({memory})", "secrets")
        if secrets < 0:
            yield _at(f"SecretsMB value ({secrets}) cannot be negative", "secrets")


def _numa(block: Record, devices: list[str]) -> Iterator[Problem]:
    for name in block.get("Devices") or ():
        if name not in devices:
            yield _at(f"numa device {quoted(name)} not requested as task resource", "numa")
    if (block.get("Affinity") or "none") not in ("none", "prefer", "require"):
        yield _at("numa affinity must be one of none, prefer, or require", "numa")


def _logs(logs: Record, disk_mb: int) -> Iterator[Problem]:
    used_mb = logs["MaxFiles"] * logs["MaxFileSizeMB"]
    if logs["MaxFiles"] < 1:
        yield _at(f"minimum number of files is 1; got {logs['MaxFiles']}", "max_files")
    if logs["MaxFileSizeMB"] < 1:
        yield _at(f"minimum file size is 1MB; got {logs['MaxFileSizeMB']}", "max_file_size")
    if disk_mb <= used_mb:
        yield Problem(f"log storage ({used_mb} MB) must be less than requested disk capacity ({disk_mb} MB)")


def _escapes(prefix: str, path: str) -> bool:
    """Returns whether a path leaves the allocation's folder."""
    joined = posixpath.normpath(posixpath.join("/alloc-dir/alloc-id", prefix, path.lstrip("/")))
    return not (joined + "/").startswith("/alloc-dir/alloc-id/")


def _artifact(block: Record) -> Iterator[Problem]:
    if not block["GetterSource"]:
        yield _at("source must be specified", "source")
    mode = block["GetterMode"] or "any"
    if mode not in ("any", "file", "dir"):
        yield _at(f"invalid artifact mode {quoted(mode)}; must be one of: any, file, dir", "mode")
    if _escapes("task", block["RelativeDest"] or "local/"):
        yield _at("destination escapes allocation directory", "destination")
    checksum = (block["GetterOptions"] or {}).get("checksum")
    if checksum is not None and not REFERENCE.search(checksum) and (wrong := _checksum(checksum.strip())):
        yield Problem(wrong, (("options", None), ("checksum", None)))


def _checksum(text: str) -> str:
    if not text:
        return "checksum value cannot be empty"
    parts = text.split(":")
    if len(parts) != 2:
        return f'checksum must be given as "type:value"; got {quoted(text)}'
    kind, value = parts
    data = value.encode()
    for byte in data[: len(data) // 2 * 2 or 1]:
        if chr(byte) not in "0123456789abcdefABCDEF":
            return f"invalid checksum: encoding/hex: invalid byte: U+{byte:04X} {_shown(byte)}"
    if len(data) % 2:
        last = data[-1]
        if chr(last) not in "0123456789abcdefABCDEF":
            return f"invalid checksum: encoding/hex: invalid byte: U+{last:04X} {_shown(last)}"
        return "invalid checksum: encoding/hex: odd length hex string"
    if kind not in _CHECKSUM_BYTES:
        return f"unsupported checksum type: {kind}"
    return "" if len(data) // 2 == _CHECKSUM_BYTES[kind] else f"invalid {kind} checksum: {value}"


def _shown(byte: int) -> str:
    return f"'{chr(byte)}'"


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


def _templates(templates: list[Record]) -> Iterator[Problem]:
    taken: dict[str, int] = {}
    for number, block in enumerate(templates, 1):
        yield from nested(_template(block), ("template", number), heading=f"Template {number} validation failed: ")
        destination = block["DestPath"] or ""
        if destination in taken:
            text = f"Template {number} has same destination as {taken[destination]}"
            yield Problem(text, (("template", number), ("destination", None)))
        taken.setdefault(destination, number)


def _template(block: Record) -> Iterator[Problem]:
    if not block["SourcePath"] and not block["EmbeddedTmpl"]:
        yield Problem("Must specify a source path or have an embedded template")
    if not block["DestPath"]:
        yield _at("Must specify a destination for the template", "destination")
    if _escapes("task", block["DestPath"] or ""):
        yield _at("destination escapes allocation directory", "destination")
    yield from _change(block)
    if (block["Splay"] or 0) < 0:
        yield _at("Must specify positive splay value", "splay")
    if (perms := block["Perms"] or "") and (wrong := _octal_problem(perms)):
        parsing = f"strconv.ParseUint: parsing {quoted(perms)}: {wrong}"
        yield _at(f"Failed to parse {quoted(perms)} as octal: {parsing}", "perms")
    wait = block["Wait"]
    if wait and wait["Min"] is not None and wait["Max"] is not None and wait["Min"] > wait["Max"]:
        least, most = format_duration(wait["Min"]), format_duration(wait["Max"])
        yield _at(f"wait min {least} is greater than max {most}", "wait")


def _change(block: Record) -> Iterator[Problem]:
    mode, script = block["ChangeMode"], block["ChangeScript"]
    if mode == "signal":
        if not block["ChangeSignal"]:
            yield _at("Must specify signal value when change mode is signal", "change_signal")
        if block["Envvars"]:
            yield _at("cannot use signals with env var templates", "env")
    elif mode == "script":
        if script is None:
            text = "must specify change script configuration value when change mode is script"
            yield _at(text, "change_script")
        elif not script["Command"]:
            yield _at("must specify script path value when change mode is script", "change_script")
    elif mode not in ("noop", "restart"):
        known = "noop, signal, script, restart"
        yield _at(f"Invalid change mode. Must be one of the following: {known}", "change_mode")


def _octal_problem(text: str) -> str:
    if not re.fullmatch(r"[0-7]+", text):
        return "invalid syntax"
    return "" if len(text) < 40 and int(text, 8) < 2**12 else "value out of range"


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


def _identities(task: Record) -> Iterator[Problem]:
    own = task.get("Identity")
    if own is not None:
        yield from _named_identity(own, "default", 1)
    for number, identity in enumerate(task.get("Identities") or (), 1 if own is None else 2):
        name = identity.get("Name") or "default"
        if name == "default":
            yield Problem("Duplicate default identities found", (("identity", number),))
        yield from _named_identity(identity, name, number)


def _named_identity(identity: Record, name: str, number: int) -> list[Problem]:
    name = identity.get("Name") or name
    return nested(_identity(identity, name), ("identity", number), heading=f"Identity {quoted(name)} is invalid: ")


def _identity(identity: Record, name: str) -> Iterator[Problem]:
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", name):
        yield _at(f"invalid name {quoted(name)}. Must match regex {_IDENTITY_NAME}", "name")
    for number, audience in enumerate(identity.get("Audience") or (), 1):
        if not audience:
            yield _at(f"an empty string is an invalid audience ({number})", "aud")
    mode, signal = identity.get("ChangeMode") or "", identity.get("ChangeSignal") or ""
    if mode in ("", "noop", "restart") and signal:
        text = f'can only use change_signal={quoted(signal.upper())} with change_mode="signal"'
        yield _at(text, "change_signal")
    elif mode == "signal" and not signal:
        yield _at('change_signal must be specified when using change_mode="signal"', "change_signal")
    elif mode not in ("", "noop", "restart", "signal"):
        yield _at(f"invalid change_mode: {mode}", "change_mode")
    ttl = identity.get("TTL") or 0
    if ttl > 0 and name == "default":
        yield _at("ttl for default identity not yet supported", "ttl")
    if ttl < 0:
        yield _at("ttl must be >= 0", "ttl")
    if identity.get("Filepath") and not identity.get("File"):
        yield _at("file parameter must be true in order to specify filepath", "filepath")


def _secrets(task: Record) -> Iterator[Problem]:
    seen: set[str] = set()
    for number, secret in enumerate(task.get("Secrets") or (), 1):
        name, provider = secret.get("Name") or "", secret.get("Provider") or ""
        place = ("secret", name or number)
        if name in seen:
            yield Problem(f"Duplicate secret {quoted(name)} found", (place,))
        seen.add(name)
        if provider == "vault" and task["Vault"] is None:
            yield Problem(f'Secret {quoted(name)} has provider "vault" but no vault block', (place,))
        yield from nested(_secret(secret, name, provider), place, heading=f"Secret {quoted(name)} is invalid: ")


def _secret(secret: Record, name: str, provider: str) -> Iterator[Problem]:
    if not name:
        yield Problem("secret name cannot be empty")
    if not re.fullmatch(r"[a-zA-Z0-9_]{1,128}", name):
        yield Problem("secret name must match regex ^[a-zA-Z0-9_]{1,128}$")
    if not provider:
        yield _at("secret provider cannot be empty", "provider")
    if not secret.get("Path"):
        yield _at("secret path cannot be empty", "path")
    if provider in ("nomad", "vault"):
        if secret.get("Env"):
            yield _at(f"{provider} provider cannot use the env block", "env")
    elif secret.get("Config"):
        yield _at(f"custom plugin provider {provider} cannot use the config block", "config")
