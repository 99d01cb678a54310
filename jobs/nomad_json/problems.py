"""Validates a canonical job as Nomad does, in Nomad's words."""

from __future__ import annotations

import re

from jobs.durations import format_duration
from jobs.nomad_json.canonical import SECOND, Record

_SET_OPERATORS = ("set_contains", "set_contains_all", "set_contains_any")
_COMPARISONS = ("=", "==", "is", "!=", "not", "<", "<=", ">", ">=")


def joined(problems: list[str]) -> str:
    """Joins several problems as Nomad does in one error."""
    plural = "" if len(problems) == 1 else "s"
    points = "\n\t".join("* " + problem for problem in problems)
    return f"{len(problems)} error{plural} occurred:\n\t{points}\n\n"


def sentences(problems: list[str]) -> list[str]:
    """Formats problems for people: one sentence each, without counts, with the place first."""
    lines = (
        re.sub(r"\d+ errors? occurred:$", "", line.strip().removeprefix("* ")) for line in joined(problems).split("\n")
    )
    return [line.strip() for line in lines if line.strip()]


def problems(job: Record) -> list[str]:
    """Returns everything that is wrong with the job itself, in any region. Empty for a valid job."""
    found = [] if job["ID"] else ["Missing job ID"]
    if " " in job["ID"]:
        found.append("Job ID contains a space")
    if "\0" in job["ID"]:
        found.append("Job ID contains a null character")
    if job["Type"] not in ("service", "batch", "system", "sysbatch"):
        found.append(f'Invalid job type: "{job["Type"]}"')
    if not job["Datacenters"]:
        found.append("Missing job datacenters")
    if any(not name for name in job["Datacenters"]):
        found.append("Job datacenter must be non-empty string")
    groups = job["TaskGroups"] or []
    if not groups:
        found.append("Missing job task groups")
    found += _constraints(job["Constraints"])
    found += _names(groups, "Job task group", "group")
    for group in groups:
        if wrong := _group(group, job["Type"]):
            found.append(f"Task group {group['Name']} validation failed: {joined(wrong)}")
    parameterized = job["ParameterizedJob"]
    if parameterized is not None:
        if job["Type"] not in ("batch", "sysbatch"):
            found.append('Parameterized job can only be used with "batch" or "sysbatch" scheduler')
        if wrong := _parameterized(parameterized):
            found.append(joined(wrong))
    if job["Multiregion"]:
        found.append("Multiregion jobs are unlicensed.")
    if not 1 <= job["Priority"] <= 100:
        found.append("job priority must be between [1, 100]")
    return found


def _names(items: list[Record], what: str, kind: str) -> list[str]:
    """Finds items without a name, and those that share one."""
    found, seen = [], dict[str, int]()
    for number, name in enumerate((item["Name"] for item in items), 1):
        if not name:
            found.append(f"{what} {number} missing name")
        elif name in seen:
            found.append(f"{what} {number} redefines '{name}' from {kind} {seen[name]}")
        seen.setdefault(name, number)
    return found


def _group(group: Record, job_type: str) -> list[str]:
    found = [] if group["Name"] else ["Missing task group name"]
    if group["Count"] < 0:
        found.append("Task group count can't be negative")
    tasks = group["Tasks"] or []
    if not tasks:
        found.append("Missing tasks for task group")
    found += _constraints(group["Constraints"])
    if wrong := _restart(group["RestartPolicy"]):
        found.append(joined(wrong))
    if group["ReschedulePolicy"] and (wrong := _reschedule(group["ReschedulePolicy"])):
        found.append(joined(wrong))
    if group["EphemeralDisk"]["SizeMB"] < 10:
        found.append(f"minimum DiskMB value is 10; got {group['EphemeralDisk']['SizeMB']}")
    for field in ("Update", "Migrate"):
        if group[field] is not None and job_type in ("batch", "sysbatch"):
            found.append(f'Job type "{job_type}" does not allow {field.lower()} block')
    found += _names(tasks, "Task", "task")
    if sum(task["Leader"] for task in tasks) > 1:
        found.append("Only one task may be marked as leader")
    for task in tasks:
        if wrong := _task(task, group):
            found.append(f"Task {task['Name']} validation failed: {joined(wrong)}")
    return found


def _task(task: Record, group: Record) -> list[str]:
    found = [] if task["Name"] else ["Missing task name"]
    if "/" in task["Name"] or "\\" in task["Name"]:
        found.append("Task name cannot include slashes")
    if not task["Driver"]:
        found.append("Missing task driver")
    if task["KillTimeout"] < 0:
        found.append("KillTimeout must be a positive value")
    if task["ShutdownDelay"] < 0:
        found.append("ShutdownDelay must be a positive value")
    if small := _resources(task["Resources"]):
        found.append(joined([joined(small)]))
    if wrong := _logs(task["LogConfig"], group["EphemeralDisk"]["SizeMB"]):
        found.append(joined(wrong))
    found += _constraints(task["Constraints"])
    for number, constraint in enumerate(task["Constraints"] or (), 1):
        if constraint["Operand"] in ("distinct_hosts", "distinct_property"):
            found.append(f"Constraint {number} has disallowed Operand at task level: {constraint['Operand']}")
    if task["Lifecycle"] is not None:
        found += _lifecycle(task["Lifecycle"]["Hook"])
    return found + _volume_mounts(task["VolumeMounts"] or [], group["Volumes"] or {})


def _resources(resources: Record) -> list[str]:
    found = []
    if resources["CPU"] < 1 and not resources["Cores"]:
        found.append(f"minimum CPU value is 1; got {resources['CPU']}")
    if resources["MemoryMB"] < 10:
        found.append(f"minimum MemoryMB value is 10; got {resources['MemoryMB']}")
    return found


def _logs(logs: Record, disk_mb: int) -> list[str]:
    found = []
    used_mb = logs["MaxFiles"] * logs["MaxFileSizeMB"]
    if logs["MaxFiles"] < 1:
        found.append(f"minimum number of files is 1; got {logs['MaxFiles']}")
    if logs["MaxFileSizeMB"] < 1:
        found.append(f"minimum file size is 1MB; got {logs['MaxFileSizeMB']}")
    if disk_mb <= used_mb:
        found.append(f"log storage ({used_mb} MB) must be less than requested disk capacity ({disk_mb} MB)")
    return found


def _lifecycle(hook: str) -> list[str]:
    if not hook:
        return ["Lifecycle validation failed: no lifecycle hook provided"]
    if hook not in ("prestart", "poststart", "poststop"):
        return [f"Lifecycle validation failed: invalid hook: {hook}"]
    return []


def _volume_mounts(mounts: list[Record], volumes: Record) -> list[str]:
    found = []
    for number, mount in enumerate(mounts):
        if not mount["Volume"]:
            found.append(f"Volume Mount ({number}) references an empty volume")
        elif mount["Volume"] not in volumes:
            found.append(f"Volume Mount ({number}) references undefined volume {mount['Volume']}")
    return found


def _parameterized(config: Record) -> list[str]:
    found = []
    if config["Payload"] not in ("optional", "required", "forbidden"):
        found.append(f'Unknown payload requirement: "{config["Payload"]}"')
    if both := [key for key in config["MetaRequired"] or () if key in (config["MetaOptional"] or ())]:
        found.append(
            f"Required and optional meta keys should be disjoint. Following keys exist in both: [{' '.join(both)}]"
        )
    return found


def _constraints(constraints: list[Record] | None) -> list[str]:
    found = []
    for number, constraint in enumerate(constraints or (), 1):
        if wrong := _constraint(constraint):
            found.append(f"Constraint {number} validation failed: {joined(wrong)}")
    return found


def _constraint(constraint: Record) -> list[str]:
    operand, target = constraint["Operand"], constraint["RTarget"]
    found = [] if operand else ["Missing constraint operand"]
    if operand in _SET_OPERATORS and not target:
        found.append("Set contains constraint requires an RTarget")
    elif operand == "regexp":
        try:
            re.compile(target)
        except re.error as error:
            found.append(f"Regular expression failed to compile: {error}")
    elif operand in ("is_set", "is_not_set") and target:
        found.append(f'Operator "{operand}" does not support an RTarget')
    elif operand in _COMPARISONS and not target:
        found.append(f'Operator "{operand}" requires an RTarget')
    elif operand not in (*_SET_OPERATORS, *_COMPARISONS, *_OTHER_OPERATORS):
        found.append(f'Unknown constraint type "{operand}"')
    if operand != "distinct_hosts" and not constraint["LTarget"]:
        found.append("No LTarget provided but is required by constraint")
    return found


_OTHER_OPERATORS = ("regexp", "version", "semver", "is_set", "is_not_set", "distinct_hosts", "distinct_property")


def _restart(policy: Record) -> list[str]:
    found = []
    if policy["Mode"] not in ("delay", "fail"):
        found.append(f'Unsupported restart mode: "{policy["Mode"]}"')
    if policy["Attempts"] == 0 and policy["Mode"] != "fail":
        found.append(f'Restart policy "{policy["Mode"]}" with 0 attempts is ambiguous')
    if policy["Interval"] < 5 * SECOND:
        found.append(f"Interval can not be less than 5s (got {format_duration(policy['Interval'])})")
    if policy["Attempts"] * policy["Delay"] > policy["Interval"]:
        found.append(
            f"Nomad can't restart the TaskGroup {policy['Attempts']} times in an interval of"
            f" {format_duration(policy['Interval'])} with a delay of {format_duration(policy['Delay'])}"
        )
    return found


def _reschedule(policy: Record) -> list[str]:
    if not policy["Attempts"] and not policy["Unlimited"]:
        return []
    found = []
    if policy["Attempts"] > 0 and policy["Interval"] <= 0:
        found.append("Interval must be a non zero value if Attempts > 0")
    if policy["Attempts"] > 0 and policy["Unlimited"]:
        found.append(
            f"Reschedule Policy with Attempts = {policy['Attempts']}, Interval = {format_duration(policy['Interval'])},"
            " and Unlimited = true is ambiguous"
        )
        found.append("If Attempts >0, Unlimited cannot also be set to true")
    if policy["Delay"] < 5 * SECOND:
        found.append(f"Delay cannot be less than 5s (got {format_duration(policy['Delay'])})")
    if policy["DelayFunction"] not in ("constant", "exponential", "fibonacci"):
        found.append(
            f'Invalid delay function "{policy["DelayFunction"]}", must be one of ["constant" "exponential" "fibonacci"]'
        )
    if policy["DelayFunction"] != "constant":
        if policy["MaxDelay"] < 5 * SECOND:
            found.append(f"Max Delay cannot be less than 5s (got {format_duration(policy['Delay'])})")
        if policy["MaxDelay"] < policy["Delay"]:
            delay, longest = format_duration(policy["Delay"]), format_duration(policy["MaxDelay"])
            found.append(f"Max Delay cannot be less than Delay {delay} (got {longest})")
    if not policy["Unlimited"] and policy["Interval"] < 15 * SECOND:
        found.append(f"Interval cannot be less than 15s (got {format_duration(policy['Interval'])})")
    return found
