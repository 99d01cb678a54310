"""Checks that a canonical job belongs to this region and uses only what this engine supports."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from regions.local.state.snapshot import Record


def misplaced(
    job: Record, namespaces: Collection[str], pools: Collection[str], version: tuple[int, ...] = (1, 6, 3)
) -> list[str]:
    """Returns what the job names and the region doesn't have, in the words of that Nomad version."""
    found = []
    vaults = (task["Vault"] for group in job["TaskGroups"] or () for task in group["Tasks"] or () if task["Vault"])
    if (vault := next(vaults, None)) is not None:
        cluster = f' "{vault.get("Cluster") or "default"}"' if version >= (1, 7) else ""
        found.append(f"Vault{cluster} not enabled but used in the job")
    if job["Namespace"] not in namespaces:
        found.append(f'job "{job["ID"]}" is in nonexistent namespace "{job["Namespace"]}"')
    if job["NodePool"] not in pools:
        found.append(f'job "{job["ID"]}" is in nonexistent node pool "{job["NodePool"]}"')
    return found


def unsupported(job: Record) -> str | None:
    """Returns the first feature of the job that Nomad has and this engine lacks, or None."""
    return next(_unsupported_in_job(job), None)


def _unsupported_in_job(job: Record) -> Iterator[str]:
    if job["Type"] != "batch":
        yield f"job type {job['Type']}"
    if job["Periodic"]:
        yield "periodic jobs"
    if job["AllAtOnce"]:
        yield "all_at_once"
    for group in job["TaskGroups"]:
        yield from _unsupported_in_group(group)


def _unsupported_in_group(group: Record) -> Iterator[str]:
    yield from (feature for field, feature in _GROUP_FEATURES.items() if group.get(field))
    if any(volume["Type"] == "csi" for volume in (group["Volumes"] or {}).values()):
        yield "CSI volumes"
    for task in group["Tasks"]:
        yield from _unsupported_in_task(task)


def _unsupported_in_task(task: Record) -> Iterator[str]:
    yield from (feature for field, feature in _TASK_FEATURES.items() if task.get(field))
    identity = task.get("Identity") or {}
    if identity.get("Env") or identity.get("File"):
        yield "workload identities"
    if task["Resources"].get("NUMA"):
        yield "numa"
    if task["Resources"]["Networks"]:
        yield "networks in a task's resources"


_GROUP_FEATURES = {
    "Services": "services",
    "Scaling": "scaling",
    "MaxClientDisconnect": "max_client_disconnect",
    "StopAfterClientDisconnect": "stop_after_client_disconnect",
    "Disconnect": "disconnect",
    "PreventRescheduleOnLost": "prevent_reschedule_on_lost",
}
_TASK_FEATURES = {
    "Services": "services",
    "CSIPluginConfig": "CSI plugins",
    "ScalingPolicies": "scaling",
    "Kind": "Consul Connect",
    "Identities": "workload identities",
    "Schedule": "schedule",
    "Secrets": "secrets",
}
