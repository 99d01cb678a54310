"""A canonical job enters; what in it belongs to another place, or is more than this engine does, leaves."""

from __future__ import annotations

from collections.abc import Collection

from regions.local.state.snapshot import Record


def misplaced(job: Record, namespaces: Collection[str], pools: Collection[str]) -> list[str]:
    """What the job names and the region doesn't have, in Nomad's words."""
    found = []
    if job["Namespace"] not in namespaces:
        found.append(f'job "{job["ID"]}" is in nonexistent namespace "{job["Namespace"]}"')
    if job["NodePool"] not in pools:
        found.append(f'job "{job["ID"]}" is in nonexistent node pool "{job["NodePool"]}"')
    return found


def unsupported(job: Record) -> str | None:
    """The first feature in the job that Nomad has and this engine doesn't, or None."""
    if job["Type"] not in ("batch", "sysbatch"):
        return f"job type {job['Type']}"
    if job["Periodic"]:
        return "periodic jobs"
    if job["AllAtOnce"]:
        return "all_at_once"
    for group in job["TaskGroups"]:
        for field, feature in _GROUP_FEATURES.items():
            if group.get(field):
                return feature
        if any(volume["Type"] == "csi" for volume in (group["Volumes"] or {}).values()):
            return "CSI volumes"
        for task in group["Tasks"]:
            for field, feature in _TASK_FEATURES.items():
                if task.get(field):
                    return feature
            if (task.get("Identity") or {}).get("Env") or (task.get("Identity") or {}).get("File"):
                return "workload identities"
            if task["Resources"].get("NUMA"):
                return "numa"
            if task["Resources"]["Networks"]:
                return "networks in a task's resources"
    return None


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
    "Vault": "Vault",
    "CSIPluginConfig": "CSI plugins",
    "ScalingPolicies": "scaling",
    "Kind": "Consul Connect",
    "Identities": "workload identities",
    "Schedule": "schedule",
    "Secrets": "secrets",
}
