"""Checks what a task asks for: CPU, memory, devices, and room for its logs."""

from __future__ import annotations

from collections.abc import Iterator

from jobs.nomad_json.validation.comparisons import device
from jobs.nomad_json.validation.problem import Problem, Record, Version, nested, quoted


def _at(text: str, name: str) -> Problem:
    return Problem(text, ((name, None),))


def resources(resources: Record, version: Version) -> Iterator[Problem]:
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


def logs(logs: Record, disk_mb: int) -> Iterator[Problem]:
    used_mb = logs["MaxFiles"] * logs["MaxFileSizeMB"]
    if logs["MaxFiles"] < 1:
        yield _at(f"minimum number of files is 1; got {logs['MaxFiles']}", "max_files")
    if logs["MaxFileSizeMB"] < 1:
        yield _at(f"minimum file size is 1MB; got {logs['MaxFileSizeMB']}", "max_file_size")
    if disk_mb <= used_mb:
        yield Problem(f"log storage ({used_mb} MB) must be less than requested disk capacity ({disk_mb} MB)")
