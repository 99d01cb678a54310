"""Checks meta and payload of a dispatch against what the job declares. Pure.

Nomad's own rules (declared keys, required keys, payload modes, sizes) are checked here first, so that a mistake is reported
before anything is sent to a region.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import PurePosixPath

from jobs.code_run import CODE_KEY, COMMAND_KEY, PARAMS_KEY
from jobs.errors import InvalidMeta
from jobs.json_limits import is_text
from jobs.spec import FALLBACK_VERSION_KEY, RUN_KEYS, SPEC_KEY, JobShape

PAYLOAD_BYTES_MAX = 16384
"""Nomad's DispatchPayloadSizeLimit (nomad/structs)."""
META_BYTES_MAX = 16384
"""Limit for all keys and values of one dispatch together: Nomad keeps them in raft for every child."""

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
