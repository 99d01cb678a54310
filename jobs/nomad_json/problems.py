"""Validates a canonical job as Nomad's servers do, in Nomad's words.

The rules are those of 1.6.3 and of the newest 2.0; a rule that one of them lacks names the version of its change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from jobs.hcl.versions import version_key
from jobs.nomad_json.validation.comparisons import affinities, constraints, spreads
from jobs.nomad_json.validation.connect import admission
from jobs.nomad_json.validation.cron import periodic
from jobs.nomad_json.validation.groups import group_problems, names, none_of_system
from jobs.nomad_json.validation.problem import Problem, Record, Step, Version, nested, quoted, services_of

OLDEST, NEWEST = "1.6.3", "2.0.5"
"""The versions whose rules are known."""
_DESCRIPTION_BYTES_MAX = 1000
_COUNT_MAX = 50_000
"""Default of the servers' job_max_count."""
_TYPES = ("service", "batch", "system", "sysbatch")


def problems(job: Record, version: str = NEWEST, lacking: Sequence[Problem] = ()) -> list[Problem]:
    """Returns everything for which a server of that version refuses the job. Empty for a valid job. `lacking`: what the
    job needs and the server's region doesn't have."""
    return list(_problems(job, version_key(version), lacking))


def impossible_names(job: Record) -> list[Problem]:
    """Returns names of places that no region can have."""
    found = []
    for field, what, name in (("Namespace", "namespace", "namespace"), ("NodePool", "node pool", "node_pool")):
        allowed = r"[a-zA-Z0-9-]{1,128}" if field == "Namespace" else r"[a-zA-Z0-9_-]{1,128}"
        if not re.fullmatch(allowed, job[field], re.ASCII):
            text = f'job "{job["ID"]}" is in nonexistent {what} "{job[field]}"'
            found.append(Problem(text, ((name, None),)))
    return found


def _problems(job: Record, version: Version, lacking: Sequence[Problem]) -> Iterator[Problem]:
    groups = job["TaskGroups"] or []
    yield from admission(job, version)
    yield from lacking
    if version >= (1, 7):
        yield from _clusters(groups)
    yield from _identity(job, version)
    yield from _placement(job, version)
    for group in groups:
        yield from _beside_group(job, group, version)
    for group in groups:
        found, heading = group_problems(job, group, version), f"Task group {group['Name']} validation failed: "
        yield from nested(found, ("group", group["Name"]), heading=heading)
    yield from _kinds_of_job(job)
    yield from _limits(job, version)
    yield from _enterprise(groups, version)


def _identity(job: Record, version: Version) -> Iterator[Problem]:
    if not job["ID"]:
        yield Problem("Missing job ID")
    elif " " in job["ID"]:
        yield Problem("Job ID contains a space")
    elif "\0" in job["ID"]:
        yield Problem("Job ID contains a null character")
    if not job["Name"]:
        yield Problem("Missing job name", (("name", None),))
    elif "\0" in job["Name"]:
        yield Problem("Job Name contains a null character")
    if job["Type"] not in _TYPES:
        text = f"Invalid job type: {quoted(job['Type'])}" if job["Type"] else "Missing job type"
        yield Problem(text, (("type", None),))
    if not job["Datacenters"]:
        yield Problem("Missing job datacenters", (("datacenters", None),))
    for name in job["Datacenters"] or ():
        if not name:
            yield Problem("Job datacenter must be non-empty string", (("datacenters", None),))
    if not job["TaskGroups"]:
        yield Problem("Missing job task groups")


def _placement(job: Record, version: Version) -> Iterator[Problem]:
    yield from constraints(job["Constraints"], version)
    if job["Type"] == "system":
        yield from none_of_system(job["Affinities"], "an affinity", "affinity")
        yield from none_of_system(job["Spreads"], "a spread", "spread")
    else:
        yield from affinities(job["Affinities"], version)
        yield from spreads(job["Spreads"])
    size = len(((job.get("UI") or {}).get("Description") or "").encode())
    if version >= (1, 8) and size > _DESCRIPTION_BYTES_MAX:
        text = f"UI description must be under 1000 characters, currently {size}"
        yield Problem(text, (("ui", None), ("description", None)))
    yield from names(job["TaskGroups"] or [], "Job task group", "group")


def _beside_group(job: Record, group: Record, version: Version) -> Iterator[Problem]:
    """Checks fields of a group that Nomad checks with the job's own."""
    place, stop = ("group", group["Name"]), group["StopAfterClientDisconnect"] or 0
    if (group["ShutdownDelay"] or 0) < 0:
        yield Problem("ShutdownDelay must be a positive value", (place, ("shutdown_delay", None)))
    if version < (1, 8):
        text = "stop_after_client_disconnect "
        if stop > 0 and job["Type"] not in ("batch", "service"):
            text += "can only be set in batch and service jobs"
            yield Problem(text, (place, ("stop_after_client_disconnect", None)))
        elif stop < 0:
            yield Problem(f"{text}must be a positive value", (place, ("stop_after_client_disconnect", None)))
    if job["Type"] == "system" and group["Count"] > 1:
        text = f"Job task group {group['Name']} has count {group['Count']}. Count cannot exceed 1 with system scheduler"
        yield Problem(text, (place, ("count", None)))


def _kinds_of_job(job: Record) -> Iterator[Problem]:
    is_batch = job["Type"] in ("batch", "sysbatch")
    only_batch = 'can only be used with "batch" or "sysbatch" scheduler'
    block = job["Periodic"]
    if block is not None and block["Enabled"] is not False:
        if not is_batch:
            yield Problem(f"Periodic {only_batch}", (("periodic", None),))
        yield from nested(periodic(block), ("periodic", None))
    if job["ParameterizedJob"] is not None:
        if not is_batch:
            yield Problem(f"Parameterized job {only_batch}", (("parameterized", None),))
        yield from nested(_parameterized(job["ParameterizedJob"]), ("parameterized", None))
    if (job["Multiregion"] or {}).get("Regions"):
        yield Problem("Multiregion jobs are unlicensed.", (("multiregion", None),))


def _parameterized(block: Record) -> Iterator[Problem]:
    if block["Payload"] not in ("optional", "required", "forbidden"):
        yield Problem(f"Unknown payload requirement: {quoted(block['Payload'])}", (("payload", None),))
    if both := [key for key in block["MetaRequired"] or () if key in (block["MetaOptional"] or ())]:
        text = "Required and optional meta keys should be disjoint. Following keys exist in both: "
        yield Problem(f"{text}[{' '.join(both)}]", (("meta_optional", None),))


def _limits(job: Record, version: Version) -> Iterator[Problem]:
    if not 1 <= job["Priority"] <= 100:
        yield Problem("job priority must be between [1, 100]", (("priority", None),))
    if version >= (1, 7):
        for group in job["TaskGroups"] or ():
            yield from _workload_identities(group)
    total = sum(group["Count"] for group in job["TaskGroups"] or ())
    if version >= (1, 11) and total > _COUNT_MAX:
        yield Problem(f"total count was greater than configured job_max_count: {total} > {_COUNT_MAX}")


def _workload_identities(group: Record) -> Iterator[Problem]:
    """Finds services and Vault blocks that need an identity and have none with a name."""
    place = ("group", group["Name"])
    for owner, inner, service in services_of(group):
        identity = service.get("Identity")
        if service["Provider"] != "consul" and identity and not identity.get("Name"):
            what = f"task {owner['Name']}" if owner else f"task group {group['Name']}"
            text = f"Service {service['Name']} in {what} has an identity with an empty name"
            yield Problem(text, (place, *inner))
    for task in group["Tasks"] or ():
        cluster = (task["Vault"] or {}).get("Cluster") or "default"
        names = [identity.get("Name") for identity in task.get("Identities") or ()]
        if cluster != "default" and f"vault_{cluster}" not in names:
            text = f"does not have an identity named vault_{cluster} and no default identity is provided in agent"
            text = f"Task {task['Name']} uses Vault cluster {cluster} but {text} configuration"
            yield Problem(text, (place, ("task", task["Name"]), ("vault", None)))


def _clusters(groups: list[Record]) -> Iterator[Problem]:
    """Finds what needs a second Consul cluster or Vault cluster, which open-source servers can't have."""
    for group in groups:
        consul: tuple[Step, ...] = (("consul", None),)
        blocks = [(group.get("Consul"), consul), *((service, place) for _, place, service in services_of(group))]
        blocks += [(task.get("Consul"), (("task", task["Name"]), *consul)) for task in group["Tasks"] or ()]
        for block, place in blocks:
            is_consul = block is not None and (block.get("Provider") or "consul") == "consul"
            if block is not None and is_consul and (block.get("Cluster") or "default") != "default":
                yield Problem(
                    "non-default Consul cluster requires Nomad Enterprise", (("group", group["Name"]), *place)
                )
                return


def _enterprise(groups: list[Record], version: Version) -> Iterator[Problem]:
    tasks = [(group, task) for group in groups for task in group["Tasks"] or ()]
    for since, text, name, is_used in (
        ((1, 7), "numa scheduling requires Nomad Enterprise", "resources", _uses_numa),
        (
            (1, 8),
            "task schedules requires Nomad Enterprise",
            "schedule",
            lambda task: (task.get("Schedule") or {}).get("Cron"),
        ),
    ):
        user = next(((group, task) for group, task in tasks if is_used(task)), None)
        if version >= since and user is not None:
            yield Problem(text, (("group", user[0]["Name"]), ("task", user[1]["Name"]), (name, None)))


def _uses_numa(task: Record) -> bool:
    numa = task["Resources"].get("NUMA") or {}
    return (numa.get("Affinity") or "none") != "none"
