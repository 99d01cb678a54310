"""Reads what fedml needs to know about a job (`JobShape`). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jobs.code_run import PARAMS_KEY
from jobs.errors import InvalidSpec
from jobs.frozen import frozen

SPEC_KEY = "fedml_spec"
RUN_KEYS = ("fedml_run", "fedml_slot", "fedml_attempt")
FALLBACK_VERSION_KEY = "fedml_version"
VERSION_KEYS = ("model_version", "version")
ALLOWED_REGIONS_KEY = "fedml_allowed_regions"
"""Job meta: the only regions (`eu,onprem`) that the job may ever run in."""
PUBLISH_KEY = "fedml_publish"
"""Group meta: with `fedml_publish = "false"` this group's allocations publish nothing."""

_KEY_SEGMENT = re.compile(r"[^/\\\x00-\x1f\x7f]+")
_VERSION = re.compile(r"[^\W_][\w.+-]{0,63}")


@frozen
class JobShape:
    """What fedml needs to know about a parameterized batch job. `groups`: publishing groups with their counts."""

    id: str
    meta_required: tuple[str, ...]
    meta_optional: tuple[str, ...]
    payload: str
    """optional, required or forbidden"""
    version_key: str
    """The meta key that carries the model version."""
    groups: Mapping[str, int]
    group_counts: Mapping[str, int]
    """All groups, publishing or not."""

    @property
    def keys_a_slot(self) -> int:
        """Number of results of one slot."""
        return sum(self.groups.values())

    @property
    def declared_meta(self) -> tuple[str, ...]:
        """Every meta key that a dispatch may carry."""
        return self.meta_required + self.meta_optional

    def takes(self, name: str) -> bool:
        """Whether a dispatch may set this name: as a meta key, or as a parameter of a job that takes any."""
        return name in self.declared_meta or PARAMS_KEY in self.declared_meta


def shape_of(job: Mapping[str, Any], *, version_meta: str | None = None, where: str = "the job") -> JobShape:
    """Reads the job's shape. Raises InvalidSpec with what to change for a job that fedml can't dispatch."""
    kind = job.get("Type") or "service"
    if kind != "batch":
        raise InvalidSpec(
            f'{where}: job "{job.get("ID")}" has type "{kind}"; fedml dispatches batch jobs',
            hint='write  type = "batch"  in the job block',
        )
    parameterized = job.get("ParameterizedJob")
    if parameterized is None:
        raise InvalidSpec(
            f'{where}: job "{job.get("ID")}" has no parameterized block, so it can\'t be dispatched',
            hint='add  parameterized { meta_optional = ["model_version"] }  to the job block',
        )
    if job.get("Periodic") is not None:
        raise InvalidSpec(
            f'{where}: job "{job.get("ID")}" has a periodic block; Nomad never places what is dispatched from such a job',
            hint="take the periodic block out of the job, and start `fedml dispatch` by a timer (cron, a CI) instead",
        )
    groups = job.get("TaskGroups") or []
    if not groups:
        raise InvalidSpec(f'{where}: job "{job.get("ID")}" has no group', hint="add a group with at least one task")
    required = tuple(parameterized.get("MetaRequired") or ())
    optional = tuple(parameterized.get("MetaOptional") or ())
    declared = required + optional
    if version_meta is not None and version_meta not in declared:
        raise InvalidSpec(
            f'{where}: version_meta = "{version_meta}", but job "{job.get("ID")}" declares no such meta key',
            hint=f"it declares: {', '.join(declared) or 'none'}",
        )
    version_key = version_meta or next((key for key in VERSION_KEYS if key in declared), FALLBACK_VERSION_KEY)
    publishing = {
        str(group["Name"]): _count(group)
        for group in groups
        if str((group.get("Meta") or {}).get(PUBLISH_KEY, "true")).lower() != "false"
    }
    if publishing and not any(publishing.values()):
        raise InvalidSpec(
            f'{where}: job "{job.get("ID")}" has count = 0 in every publishing group: a slot would give no result',
            hint="give one of them a count of 1 or more",
        )
    return JobShape(
        id=str(job["ID"]),
        meta_required=required,
        meta_optional=optional,
        payload=str(parameterized.get("Payload") or "optional"),
        version_key=version_key,
        groups=publishing,
        group_counts=group_counts(job),
    )


def group_counts(job: Mapping[str, Any]) -> dict[str, int]:
    """Returns how many allocations one dispatch makes for each group."""
    return {str(group["Name"]): _count(group) for group in job.get("TaskGroups") or ()}


def deciding_tasks(job: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Returns for each group the tasks whose end is the allocation's end: the leader, else those without a lifecycle."""
    found = {}
    for group in job.get("TaskGroups") or ():
        tasks = group.get("Tasks") or ()
        chosen = [task for task in tasks if task.get("Leader")] or [one for one in tasks if not one.get("Lifecycle")]
        found[str(group.get("Name"))] = frozenset(str(task.get("Name")) for task in chosen)
    return found


def _count(group: Mapping[str, Any]) -> int:
    count = group.get("Count")
    return 1 if count is None else int(count)


def images_of(job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields (name, digest) of each container image of the job (`config { image = … }`).

    The digest is "" where the name has none. Then the registry decides at each pull what the tag means.
    """
    for task in _tasks(job):
        image = (task.get("Config") or {}).get("image")
        if isinstance(image, str) and image:
            name, _, digest = image.partition("@")
            yield name, digest


def templates_of(job: Mapping[str, Any]) -> Iterator[str]:
    """Yields the text of each template that the job itself contains."""
    for task in _tasks(job):
        for template in task.get("Templates") or ():
            yield str(template.get("EmbeddedTmpl") or "")


def _tasks(job: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for group in job.get("TaskGroups") or ():
        yield from group.get("Tasks") or ()


def variable_name(key: str) -> str:
    """Returns how Nomad names a meta key in the task's environment, after `NOMAD_META_` (`learning-rate`: `learning_rate`)."""
    return re.sub(r"[^A-Za-z0-9_]", "_", key)


def is_key_segment(name: str) -> bool:
    """Returns whether a name can be one segment of the key of an object in a store."""
    return bool(_KEY_SEGMENT.fullmatch(name)) and name not in (".", "..")


def checked_version(version: str) -> str:
    """Checks a version's name. Raises InvalidSpec."""
    if not _VERSION.fullmatch(version) or version == "next":
        raise InvalidSpec(
            f"{version!r} is not a valid version",
            hint="a version is 1 to 64 letters (of any script), digits, '.', '_', '+' or '-', such as 4 or 2026.1; "
            "without --version it is the next whole number",
        )
    return version
