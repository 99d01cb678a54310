"""Decides whose work a registered job is, and where two jobs differ. Pure.

A job that fedml registers carries a mark in its meta: the Nomad version number that this registration gives it. The
number is known beforehand, because EnforceIndex lets no other registration come between. A change by anybody else
(`nomad`, the UI, Terraform) makes another version and leaves the old mark, or none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from jobs.edited_text import at_difference
from jobs.errors import InvalidSpec
from jobs.frozen import frozen
from jobs.hcl.versions import version_key
from jobs.nomad_json.canonical import NEWEST, SERVER_FIELDS, WrongType, completed_job, known_version
from jobs.nomad_json.implied import remove_implied, remove_injected
from jobs.spec import SPEC_KEY

MARK_KEY = "fedml_registered"
"""Meta of a registered job: the version number that fedml's registration gave it."""
ABSENT_VERSION = -1
"""Version of a job that isn't registered."""

_WRITTEN = {*SERVER_FIELDS, "ConsulToken", "NomadTokenID", "VaultToken", "VersionTag"}
"""Fields that say nothing about what the job is."""
_OLDER = "1.6.3"
_PLACE = {"Region", "Namespace", "Datacenters"}
_OPEN_MAPS = {
    "Meta",
    "Env",
    "Config",
    "Options",
    "GetterOptions",
    "GetterHeaders",
    "Headers",
    "Args",
    "Labels",
    "Policy",
}
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


@frozen
class Difference:
    """One place where two jobs differ. None stands for a side that has nothing there."""

    path: str
    left: Any
    right: Any

    def __str__(self) -> str:
        return f"{self.path}: {' => '.join(at_difference(_text(self.left), _text(self.right)))}"


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
    """Compares two registered jobs. Ignores what the server writes or adds, also where their servers are of different
    versions, their places, and what fedml adds for each region."""
    servers = _Servers.of(left, right)
    ours, theirs = (servers.comparable(job) for job in (left, right))
    remove_injected(ours, theirs)
    remove_injected(theirs, ours)
    return list(_walk(ours, theirs, "", is_open=False))


def file_differences(rendered: Mapping[str, Any], there: Mapping[str, Any]) -> list[Difference]:
    """Compares a registered job with a file's job without asking the region: completes the file's job as its server
    would. Raises InvalidSpec for a field of the wrong type."""
    servers = _Servers.of(there)
    wanted, found = (servers.comparable(job) for job in (rendered, there))
    remove_injected(found, wanted)
    return list(_walk(wanted, found, "", is_open=False))


def change_of(rendered: Mapping[str, Any], there: Mapping[str, Any], planned: str) -> str:
    """Decides what registering would do: "None" or "Edited". `planned` is the type of the server's own diff, which shows
    differences where there are none (`scaling`, and what a later version of the server adds) and leaves out `spread`."""
    if spec_of(rendered) != spec_of(there):
        return planned
    servers = _Servers.of(there)
    wanted, found = (servers.complete(job) for job in (as_marked(rendered, there), there))
    remove_injected(found, wanted)
    changed = [one for one in _walk(wanted, found, "", is_open=False) if one.path.partition(".")[0] not in _WRITTEN]
    if planned == "None":
        changed = [one for one in changed if one.path.startswith("Spreads")]
    return "Edited" if changed else "None"


def rendered_differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[Difference]:
    """Compares the jobs that a file gives in two regions. Raises InvalidSpec for a field of the wrong type."""
    ours, theirs = (_Servers().comparable(job) for job in (left, right))
    return list(_walk(ours, theirs, "", is_open=False))


@frozen
class _Servers:
    """The versions of the servers whose jobs are compared."""

    oldest: str = NEWEST
    newest: str = ""
    has_older_job: bool = False
    """A server before 1.7 stored one of the jobs, and has been upgraded since."""

    @classmethod
    def of(cls, *registered: Mapping[str, Any]) -> _Servers:
        versions = sorted(map(known_version, registered), key=version_key)
        return cls(versions[0], versions[-1], any(map(_is_of_older_server, registered)))

    def complete(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Completes a job with the fields that all servers keep, and removes what any of them adds by itself."""
        implying = {self.oldest, self.newest, *([_OLDER] if self.has_older_job else [])}
        try:
            whole = completed_job(dict(job), "", NEWEST, "", keeps_unknown=True)
            if self.has_older_job:
                _remove_empty_consul(whole)
            remove_implied(whole, {version_key(version) for version in implying})
            return completed_job(whole, "", self.oldest, self.newest, keeps_unknown=True)
        except WrongType as error:
            raise InvalidSpec(str(error)) from None

    def comparable(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Completes a job and leaves out what the server writes, its place, and what fedml adds for each region."""
        complete = {name: value for name, value in self.complete(job).items() if name not in _WRITTEN | _PLACE}
        meta = complete.get("Meta") or {}
        complete["Meta"] = {name: value for name, value in meta.items() if name not in (MARK_KEY, SPEC_KEY)}
        if parameterized := complete.get("ParameterizedJob"):
            optional = [key for key in parameterized["MetaOptional"] or () if not key.startswith("fedml_")]
            parameterized["MetaOptional"] = optional
        for group in complete["TaskGroups"] or ():
            for task in group["Tasks"] or ():
                environment = task["Env"] or {}
                task["Env"] = {name: value for name, value in environment.items() if not name.startswith("FEDML_")}
        return complete


def _is_of_older_server(there: Mapping[str, Any]) -> bool:
    """Whether a server before 1.7 stored the job: it gave each group an empty `consul`, which later ones complete."""
    return any((group.get("Consul") or {}).get("Cluster") == "" for group in there.get("TaskGroups") or ())


def _remove_empty_consul(job: dict[str, Any]) -> None:
    for group in job["TaskGroups"] or ():
        if group["Consul"] and not (group["Consul"]["Namespace"] or group["Consul"]["Partition"]):
            group["Consul"] = None


def _walk(left: Any, right: Any, path: str, *, is_open: bool) -> Iterator[Difference]:
    """Compares two values: maps by key, lists of named blocks by name, other lists by position. Null and an empty text, list
    or map are equal, as they are for Nomad, but not in open maps."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        yield from _walk_maps(left, right, path, is_open=is_open)
    elif not is_open and (isinstance(left, Mapping) or isinstance(right, Mapping)):
        inner = [one for one in _walk_maps(left or {}, right or {}, path, is_open=False) if one.left or one.right]
        yield from inner or [Difference(path, left, right)]
    elif _is_list(left) and _is_list(right) and not is_open and _named(left) and _named(right):
        yield from _walk_named(left or (), right or (), path)
    elif _is_list(left) and _is_list(right) and left and right and len(left) == len(right):
        for number, (ours, theirs) in enumerate(zip(left, right, strict=True)):
            yield from _walk(ours, theirs, f"{path}[{number}]", is_open=is_open)
    elif left != right and (is_open or not (_is_empty(left) and _is_empty(right))):
        yield Difference(path, left, right)


def _walk_maps(left: Mapping[str, Any], right: Mapping[str, Any], path: str, *, is_open: bool) -> Iterator[Difference]:
    for name in sorted({*left, *right}):
        if is_open or not left or not right or (name in left and name in right):
            inner = f"{path}.{name}" if path else name
            ours, theirs = left.get(name), right.get(name)
            if name in _OPEN_MAPS and not is_open:
                yield from _walk(_open_map(ours), _open_map(theirs), inner, is_open=True)
            else:
                yield from _walk(ours, theirs, inner, is_open=is_open)


def _open_map(value: Any) -> Any:
    return {} if value is None else value


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


def _is_empty(value: Any) -> bool:
    return value is None or value in ("", [], {})


def _named(items: Any) -> bool:
    """Whether each block has a name of its own."""
    names = [item.get("Name") if isinstance(item, Mapping) else None for item in items or ()]
    return all(names) and len({*names}) == len(names)


def _text(value: Any) -> str:
    return "nothing" if value in (None, "", [], {}) else repr(value)
