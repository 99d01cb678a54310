"""Decides whose work a registered job is, and where two jobs differ. Pure.

A job that fedml registers carries a mark in its meta: the Nomad version number that this registration gives it. The
number is known beforehand, because EnforceIndex lets no other registration come between. A change by anybody else
(`nomad`, the UI, Terraform) makes another version and leaves the old mark, or none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from jobs.errors import InvalidSpec
from jobs.nomad_json.canonical import SERVER_FIELDS, WrongType, canonical_job
from jobs.spec import SPEC_KEY

MARK_KEY = "fedml_registered"
"""Meta of a registered job: the version number that fedml's registration gave it."""
ABSENT_VERSION = -1
"""Version of a job that isn't registered."""

_SERVER_SIDE = {*SERVER_FIELDS, "ConsulToken", "NomadTokenID", "VaultToken", "VersionTag"}
_PLACE = {"Region", "Namespace", "Datacenters"}
_OPEN_MAPS = {"Meta", "Env", "Config", "Options", "GetterOptions", "GetterHeaders", "Headers", "Args", "Labels"}
"""Maps with keys of the jobspec: a key on one side only is a difference. Elsewhere it is another Nomad version's
field."""


class Standing(StrEnum):
    """Relation of a registered job to fedml."""

    ABSENT = "not registered"
    OWN = "as fedml registered it"
    CHANGED = "changed since fedml registered it"
    STOPPED = "stopped since fedml registered it"
    FOREIGN = "not registered by fedml"

    @property
    def is_drift(self) -> bool:
        """Whether registering over it would undo somebody else's change."""
        return self not in (Standing.ABSENT, Standing.OWN)


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two jobs differ. None stands for a side that has nothing there."""

    path: str
    left: Any
    right: Any

    def __str__(self) -> str:
        return f"{self.path}: {_short(self.left)} => {_short(self.right)}"


def standing_of(there: Mapping[str, Any] | None) -> Standing:
    """Decides whose work a registered job (Nomad's JSON, as read) is."""
    if there is None:
        return Standing.ABSENT
    mark = (there.get("Meta") or {}).get(MARK_KEY)
    if mark is None:
        return Standing.FOREIGN
    if mark == str(version_of(there)):
        return Standing.OWN
    return Standing.STOPPED if there.get("Stop") else Standing.CHANGED


def version_of(there: Mapping[str, Any] | None) -> int:
    """Returns Nomad's version number of a registered job, or ABSENT_VERSION."""
    return ABSENT_VERSION if there is None else int(there.get("Version") or 0)


def spec_of(there: Mapping[str, Any] | None) -> str:
    """Returns the spec hash that a registered job carries, or ""."""
    return str(((there or {}).get("Meta") or {}).get(SPEC_KEY, ""))


def marked(job: Mapping[str, Any], over: Mapping[str, Any] | None) -> dict[str, Any]:
    """Adds the mark for a registration over the job that is there now."""
    mark = {MARK_KEY: str(version_of(over) + 1)}
    return {**job, "Meta": {**(job.get("Meta") or {}), **mark}}


def as_marked(job: Mapping[str, Any], there: Mapping[str, Any] | None) -> dict[str, Any]:
    """Gives the job the mark of the registered one, so that the mark is not a difference."""
    mark = ((there or {}).get("Meta") or {}).get(MARK_KEY)
    return dict(job) if mark is None else {**job, "Meta": {**(job.get("Meta") or {}), MARK_KEY: mark}}


def differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[Difference]:
    """Compares two registered jobs. Ignores what the server writes, their places, and what fedml adds for each region.
    Absent, null and empty are equal, as they are for Nomad."""
    return list(_walk(_comparable(left), _comparable(right), "", is_open=False))


def file_differences(rendered: Mapping[str, Any], there: Mapping[str, Any]) -> list[Difference]:
    """Compares a registered job with a file's job without asking the region: completes the file's job with Nomad's
    defaults first. Raises InvalidSpec for a field of the wrong type."""
    try:
        return differences(canonical_job(dict(rendered), str(there.get("Region") or "")), there)
    except WrongType as error:
        raise InvalidSpec(str(error)) from None


def _comparable(job: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: value for name, value in job.items() if name not in _SERVER_SIDE | _PLACE}
    own["Meta"] = {name: value for name, value in (job.get("Meta") or {}).items() if name not in (MARK_KEY, SPEC_KEY)}
    if parameterized := job.get("ParameterizedJob"):
        optional = [key for key in parameterized.get("MetaOptional") or () if not key.startswith("fedml_")]
        own["ParameterizedJob"] = {**parameterized, "MetaOptional": optional}
    own["TaskGroups"] = [
        {**group, "Tasks": [_without_own_environment(task) for task in group.get("Tasks") or ()]}
        for group in job.get("TaskGroups") or ()
    ]
    return own


def _without_own_environment(task: Mapping[str, Any]) -> dict[str, Any]:
    environment = task.get("Env") or {}
    return {**task, "Env": {name: value for name, value in environment.items() if not name.startswith("FEDML_")}}


def _walk(left: Any, right: Any, path: str, *, is_open: bool) -> Iterator[Difference]:
    """Compares two values: maps by key, lists of named blocks by name, other lists by position."""
    if isinstance(left, Mapping) or isinstance(right, Mapping):
        left, right = left or {}, right or {}
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        yield from _walk_maps(left, right, path, is_open=is_open)
    elif _is_list(left) and _is_list(right) and (_named(left) or _named(right)):
        yield from _walk_named(left or (), right or (), path)
    elif _is_list(left) and _is_list(right) and left and right and len(left) == len(right):
        for number, (ours, theirs) in enumerate(zip(left, right, strict=True)):
            yield from _walk(ours, theirs, f"{path}[{number}]", is_open=is_open)
    elif (left or None) != (right or None):
        yield Difference(path, left, right)


def _walk_maps(left: Mapping[str, Any], right: Mapping[str, Any], path: str, *, is_open: bool) -> Iterator[Difference]:
    for name in sorted({*left, *right}):
        if is_open or not left or not right or (name in left and name in right):
            inner = f"{path}.{name}" if path else name
            yield from _walk(left.get(name), right.get(name), inner, is_open=name in _OPEN_MAPS)


def _walk_named(left: Sequence[Any], right: Sequence[Any], path: str) -> Iterator[Difference]:
    by_name = [{str(item.get("Name")): item for item in side} for side in (left, right)]
    for name in dict.fromkeys((*by_name[0], *by_name[1])):
        ours, theirs = (side.get(name) for side in by_name)
        if ours is None or theirs is None:
            yield Difference(f"{path}[{name}]", ours and "there", theirs and "there")
        else:
            yield from _walk(ours, theirs, f"{path}[{name}]", is_open=False)


def _is_list(value: Any) -> bool:
    return value is None or (isinstance(value, Sequence) and not isinstance(value, (str, bytes)))


def _named(items: Any) -> bool:
    return bool(items) and all(isinstance(item, Mapping) and item.get("Name") for item in items)


def _short(value: Any) -> str:
    text = "nothing" if value in (None, "", [], {}) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
