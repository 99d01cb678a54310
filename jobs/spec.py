"""Reads what fedml needs to know about a job (`JobShape`) and checks the meta of a dispatch. Pure.

Nomad's own rules for dispatches (declared keys, required keys, payload modes, sizes) are checked here first, so that a
mistake is reported before anything is sent to a region.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

from jobs.code_run import CODE_KEY, COMMAND_KEY, PARAMS_KEY
from jobs.errors import InvalidMeta, InvalidSpec
from jobs.json_limits import is_text

PAYLOAD_BYTES_MAX = 16384
"""Nomad's DispatchPayloadSizeLimit (nomad/structs)."""
META_BYTES_MAX = 16384
"""Limit for all keys and values of one dispatch together: Nomad keeps them in raft for every child."""

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
_PARAMETER = re.compile(r"(?!fedml_)[^\W\d][\w.-]{0,127}")
_OWN_KEYS = (SPEC_KEY, FALLBACK_VERSION_KEY, *RUN_KEYS, CODE_KEY, COMMAND_KEY, PARAMS_KEY)
_SECRET_WORDS = {
    "cred",
    "creds",
    "credential",
    "credentials",
    "secret",
    "secrets",
    "token",
    "password",
    "passwd",
    "pwd",
    "apikey",
}
_SECRET_KEYS = {"api", "access", "private", "secret", "account", "encryption", "ssh"}


@dataclass(frozen=True, slots=True)
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


def undeclared(shape: JobShape, key: str, purpose: str = "", advice: str = "") -> InvalidMeta:
    """Makes the error for a meta key that the job doesn't declare."""
    from difflib import get_close_matches

    near = get_close_matches(key, shape.declared_meta, n=1)
    declared = f"{advice}it declares: {', '.join(shape.declared_meta) or 'none'}"
    hint = f"did you mean {near[0]!r}?" if near else declared
    return InvalidMeta(f'job "{shape.id}" declares no meta key {key!r}{purpose}', hint=hint)


def dispatch_meta(
    shape: JobShape, given: Mapping[str, str], *, own: Mapping[str, str] | None = None, allow_secrets: bool = False
) -> dict[str, str]:
    """Checks the given meta of a dispatch against the keys that the job declares. `own` is what `fedml run` itself adds.

    Fills required keys that look like credentials and aren't given with an empty text: old jobs pass their credentials
    in meta, and Nomad requires the key. Raises InvalidMeta.
    """
    for key in given:
        _check_meta(shape, key, given[key], allow_secrets=allow_secrets)
    meta = {**given, **(own or {})}
    if CODE_KEY in shape.meta_required and CODE_KEY not in meta:
        raise InvalidMeta(
            f'job "{shape.id}" runs the code that `fedml run` sends with it',
            hint="fedml run SCRIPT; or write a jobspec that names the code: fedml run SCRIPT --write FILE",
        )
    for key in shape.meta_required:
        if key not in meta and looks_secret(key):
            meta[key] = ""
    missing = [key for key in shape.meta_required if key not in meta and key != shape.version_key]
    if missing:
        raise InvalidMeta(
            f'job "{shape.id}" requires meta that is missing: {", ".join(missing)}',
            hint=" ".join(f"-meta {key}=…" for key in missing),
        )
    size = sum(len(key.encode()) + len(value.encode()) for key, value in meta.items())
    if size > META_BYTES_MAX:
        raise InvalidMeta(
            f"the meta has {size} bytes, more than {META_BYTES_MAX}",
            hint="put large parameters in an object store and send the URL",
        )
    return meta


def _check_meta(shape: JobShape, key: str, value: str, *, allow_secrets: bool) -> None:
    """Checks one key of a dispatch and its value. Raises InvalidMeta."""
    if key in _OWN_KEYS:
        raise InvalidMeta(f"meta key {key!r} is fedml's own", hint="leave it out: fedml sets it")
    if not shape.takes(key):
        raise undeclared(shape, key)
    if key not in shape.declared_meta and not _PARAMETER.fullmatch(key):
        raise InvalidMeta(
            f"{key!r} is not a valid name of a parameter",
            hint="use letters, digits, '_', '.' and '-', with a letter or '_' first",
        )
    if key == shape.version_key:
        raise InvalidMeta(f"meta {key} is the version, which fedml sends itself", hint=f"--version {value}")
    if looks_secret(key) and value and not allow_secrets:
        raise InvalidMeta(
            f"meta key {key!r} looks like a credential, and Nomad shows meta to everyone who can read jobs",
            hint="use workload identity, a Nomad variable (nomad var put) or the node's own SDK credentials; "
            "--allow-secret-meta sends it all the same",
        )
    _check_path(key, value)
    problem = text_problem(value)
    if problem:
        raise InvalidMeta(f"meta {key}: the value {problem}", hint="send such bytes as the payload: --payload FILE")


def check_dispatch(
    shape: JobShape,
    given: Mapping[str, str],
    payload: bytes,
    *,
    own: Mapping[str, str] | None = None,
    allow_secrets: bool = False,
) -> dict[str, str]:
    """Checks meta and payload of a dispatch and returns the meta to send. Raises InvalidMeta."""
    check_payload(shape, payload)
    return dispatch_meta(shape, given, own=own, allow_secrets=allow_secrets)


def check_payload(shape: JobShape, payload: bytes) -> None:
    """Checks the payload as Nomad would. Raises InvalidMeta."""
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise InvalidMeta(
            f"the payload has {len(payload)} bytes, more than Nomad's {PAYLOAD_BYTES_MAX}",
            hint="put it in an object store and send the URL as meta",
        )
    if payload and shape.payload == "forbidden":
        raise InvalidMeta(f'job "{shape.id}" forbids a payload')
    if not payload and shape.payload == "required":
        raise InvalidMeta(f'job "{shape.id}" requires a payload', hint="give a file: fedml dispatch --payload FILE")


def looks_secret(key: str) -> bool:
    """Returns whether a meta key's name suggests a credential (`gcp_creds`, `API_KEY`; but not `max_tokens`)."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", key)]
    is_named_key = any(a in _SECRET_KEYS and b == "key" for a, b in pairwise(words))
    return is_named_key or any(word in _SECRET_WORDS for word in words)


def text_problem(text: str) -> str:
    """Returns why a text can't be meta; empty for one that can."""
    if "\0" in text:
        return "holds a NUL character, and tasks get meta as environment variables"
    return "" if is_text(text) else "is not valid Unicode text"


def _check_path(key: str, value: str) -> None:
    is_path = key.lower().endswith(("_path", "_dir")) or key.lower() in ("path", "dir")
    if is_path and "://" not in value and ".." in PurePosixPath(value.replace("\\", "/")).parts:
        raise InvalidMeta(
            f"meta {key}={value} would leave its folder",
            hint="give a path without '..'",
        )
