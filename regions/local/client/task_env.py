"""Builds a task's environment and the values for `${…}`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

# Variables of the agent's environment that Nomad's default `env.denylist` keeps from tasks.
DENIED = frozenset(
    {
        "CONSUL_TOKEN",
        "CONSUL_HTTP_TOKEN",
        "VAULT_TOKEN",
        "NOMAD_LICENSE",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "GOOGLE_APPLICATION_CREDENTIALS",
    }
)

_REFERENCE = re.compile(r"\$\{([a-zA-Z0-9_\-.]+)\}")
_UNCLEAN = re.compile(r"[^A-Za-z0-9_.]")
_CLEANED = ("NOMAD_ADDR_", "NOMAD_IP_", "NOMAD_PORT_", "NOMAD_HOST_PORT_", "NOMAD_META_")


def replace(text: str, *values: Mapping[str, str]) -> str:
    """Replaces `${name}` from the first mapping that has it. Unknown references stay as they are, as with Nomad."""
    if "${" not in text:
        return text

    def found(match: re.Match[str]) -> str:
        for known in values:
            if (value := known.get(match[1])) is not None:
                return value
        return match[0]

    return _REFERENCE.sub(found, text)


Variable = Callable[[str, str], Mapping[str, str] | None]
"""Function of (namespace, path): what Nomad's variable there holds, or None."""


class TaskEnv(NamedTuple):
    """One task's variables: `env` (for the process), `node` (`node.*`, `attr.*`, `meta.*` of its node), and
    `variable`, which reads Nomad's variables."""

    env: dict[str, str]
    node: dict[str, str]
    task_dir: str
    shared_dir: str
    variable: Variable = lambda _namespace, _path: None

    def replace(self, text: str) -> str:
        return replace(text, self.env, self.node)

    def client_path(self, raw: str, *, join_escape: bool) -> tuple[str, bool]:
        """Returns the absolute path of `raw` for this task, and whether it leaves the task's and the shared folder."""
        path = self.replace(raw)
        if not os.path.isabs(path) or (join_escape and self._escapes(path)):  # noqa: PTH117
            path = f"{self.task_dir}/{path}"
        path = os.path.normpath(path)
        return path, self._escapes(path)

    def contains(self, path: str) -> bool:
        """Returns whether the path, with its links resolved, is inside the task's or the shared folder."""
        real = os.path.realpath(path)
        return any(real.startswith(os.path.realpath(folder) + "/") for folder in (self.task_dir, self.shared_dir))

    def _escapes(self, path: str) -> bool:
        path = os.path.normpath(path)
        return not any(path == folder or path.startswith(folder + "/") for folder in (self.task_dir, self.shared_dir))


def build(
    alloc: dict[str, Any],
    job: dict[str, Any],
    task: dict[str, Any],
    node: dict[str, Any],
    base_env: Mapping[str, str],
    alloc_dir: str,
    template_env: Mapping[str, str],
    variable: Variable = lambda _namespace, _path: None,
    *,
    is_inside: bool = False,
) -> TaskEnv:
    """Builds the task's environment by Nomad's rules.

    Order: NOMAD_* and meta, then the agent's, then the task's `env`, then templates' with `env = true`. Later ones
    win, but the agent's never hides a NOMAD_* one. `is_inside`: uses the folders' paths in a sandbox.
    """
    task_dir = f"{alloc_dir}/{task['Name']}"
    known = _node_values(node, job.get("Region") or "global")
    env = _identity(alloc, job, task, node)
    env["NOMAD_ALLOC_DIR"] = "/alloc" if is_inside else f"{alloc_dir}/alloc"
    env["NOMAD_TASK_DIR"] = "/local" if is_inside else f"{task_dir}/local"
    env["NOMAD_SECRETS_DIR"] = "/secrets" if is_inside else f"{task_dir}/secrets"
    _add_ports(env, alloc)
    for key, value in _meta(alloc, job, task).items():
        env[replace(key, known, env)] = replace(value, known, env)
    for key, value in base_env.items():
        if key not in env:
            env[key] = replace(value, known, env)
    for key, value in (task.get("Env") or {}).items():
        env[key] = replace(value, known, env)
    env.update(template_env)
    return TaskEnv({_clean(k): v for k, v in env.items()}, known, task_dir, f"{alloc_dir}/alloc", variable)


def _clean(name: str) -> str:
    if not name.startswith(_CLEANED):
        return name
    return _UNCLEAN.sub("_", name)


def _identity(alloc: dict[str, Any], job: dict[str, Any], task: dict[str, Any], node: dict[str, Any]) -> dict[str, str]:
    given = alloc["AllocatedResources"]["Tasks"][task["Name"]]
    cpu, memory = given["Cpu"], given["Memory"]
    index = re.search(r"\[(\d+)\]$", alloc["Name"])
    values: dict[str, Any] = {
        "NOMAD_MEMORY_LIMIT": memory["MemoryMB"],
        "NOMAD_MEMORY_MAX_LIMIT": memory.get("MemoryMaxMB") or "",
        "NOMAD_CPU_LIMIT": cpu["CpuShares"],
        "NOMAD_CPU_CORES": _cpu_set(cpu.get("ReservedCores") or []),
        "NOMAD_ALLOC_ID": alloc["ID"],
        "NOMAD_SHORT_ALLOC_ID": alloc["ID"][:8],
        "NOMAD_ALLOC_NAME": alloc["Name"],
        "NOMAD_GROUP_NAME": alloc["TaskGroup"],
        "NOMAD_ALLOC_INDEX": index[1] if index else "0",
        "NOMAD_TASK_NAME": task["Name"],
        "NOMAD_JOB_ID": job["ID"],
        "NOMAD_JOB_NAME": job.get("Name") or job["ID"],
        "NOMAD_JOB_PARENT_ID": job.get("ParentID") or "",
        "NOMAD_DC": node.get("Datacenter") or "",
        "NOMAD_PARENT_CGROUP": node.get("CgroupParent") or "",
        "NOMAD_NAMESPACE": alloc.get("Namespace") or "default",
        "NOMAD_REGION": job.get("Region") or "global",
    }
    return {name: str(value) for name, value in values.items() if value != ""}


def _cpu_set(cores: list[int]) -> str:
    """Formats core numbers as Linux writes a cpuset: `0-3,6`."""
    runs: list[list[int]] = []
    for core in sorted(cores):
        if runs and core == runs[-1][1] + 1:
            runs[-1][1] = core
        else:
            runs.append([core, core])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _meta(alloc: dict[str, Any], job: dict[str, Any], task: dict[str, Any]) -> dict[str, str]:
    group: dict[str, Any] = next((g for g in job["TaskGroups"] if g["Name"] == alloc["TaskGroup"]), {})
    meta: dict[str, str] = {}
    if job.get("Dispatched") and job.get("ParameterizedJob"):
        meta = dict.fromkeys(job["ParameterizedJob"].get("MetaOptional") or [], "")
    for level in (job, group, task):
        meta.update(level.get("Meta") or {})
    named: dict[str, str] = {}
    for key, value in meta.items():
        named[f"NOMAD_META_{key.upper()}"] = value
        named[f"NOMAD_META_{key}"] = value
    return named


def _add_ports(env: dict[str, str], alloc: dict[str, Any]) -> None:
    for port in (alloc["AllocatedResources"].get("Shared") or {}).get("Ports") or []:
        label, ip, value = port["Label"], port["HostIP"], str(port["Value"])
        inner = str(port["To"]) if port["To"] > 0 else value
        for name, text in (("ADDR", f"{ip}:{value}"), ("IP", ip), ("PORT", value)):
            env[f"NOMAD_HOST_{name}_{label}"] = text
            env[f"NOMAD_{name}_{label}"] = inner if name == "PORT" else text
        env[f"NOMAD_ALLOC_PORT_{label}"] = inner


def _node_values(node: dict[str, Any], region: str) -> dict[str, str]:
    values = {
        "node.region": region,
        "node.unique.id": node.get("ID") or "",
        "node.unique.name": node.get("Name") or "",
        "node.class": node.get("NodeClass") or "",
        "node.datacenter": node.get("Datacenter") or "",
    }
    values |= {f"attr.{k}": v for k, v in (node.get("Attributes") or {}).items()}
    values |= {f"meta.{k}": v for k, v in (node.get("Meta") or {}).items()}
    return values
