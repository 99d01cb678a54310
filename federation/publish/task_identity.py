"""Reads the allocation and fedml's run from a Nomad task's environment. Pure.

A child that fedml dispatched has run, slot and attempt in its meta. A child of plain `nomad job dispatch` or the UI doesn't:
it is a run of its own, `nomad:REGION:CHILD`, slot 0, attempt 1. In that name every character except ASCII letters, digits,
`.`, `_` and `-` is written as `~XX` (its UTF-8 bytes in hex). So `train/dispatch-1-a` is one segment of a key,
`train~2Fdispatch-1-a`, no two children share a name, and `%` and `/` never need quoting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from federation.errors import PublishError
from federation.result import UNVERSIONED, Key, ad_hoc_run
from jobs.code_run import PARAMS_KEY, params_of
from jobs.dispatch_meta import looks_secret
from jobs.errors import ForeignTextError
from jobs.foreign import Members, parse_json
from jobs.frozen import frozen
from jobs.spec import (
    FALLBACK_VERSION_KEY,
    RUN_KEYS,
    SPEC_KEY,
    VERSION_KEYS,
    checked_version,
    is_key_segment,
    variable_name,
)

_META = "NOMAD_META_"
_DIGITS_MAX = 15
_INHERITED = re.compile(r"/(dispatch|periodic)-")


@frozen
class Allocation:
    """The allocation that a task runs in."""

    key: Key
    attempt: int
    job: str
    """The dispatched job, not the child. Of an isolated run, the job that was copied (FEDML_JOB)."""
    job_id: str
    version: str
    spec_hash: str
    region: str
    """fedml's name of the region."""
    datacenter: str
    node: str
    id: str
    params: Mapping[str, str]
    """The meta without fedml's own keys, the version, possible credentials and empty values, and what `fedml_params` holds."""
    stores: Mapping[str, str]
    """Store URLs of this region by datacenter."""

    @property
    def store_url(self) -> str:
        """The store of this allocation's datacenter. Raises PublishError when the job names none for it."""
        if self.datacenter not in self.stores:
            raise PublishError(
                f"the job names no store for datacenter {self.datacenter!r} of region {self.region}",
                hint=f"it names: {', '.join(sorted(self.stores)) or 'none'}. Add the datacenter to fedml.toml and deploy.",
            )
        return self.stores[self.datacenter]


def allocation_of(environ: Mapping[str, str], *, node: str) -> Allocation:
    """Reads the allocation from a task's environment. `node` is the default of FEDML_NODE.

    Raises PublishError outside of a Nomad task, and for an environment that contradicts itself.
    """
    if not environ.get("NOMAD_ALLOC_ID"):
        raise PublishError(
            "this is not a Nomad task: NOMAD_ALLOC_ID is not set",
            hint="run `fedml publish` in a task of the job: it reads run, version and store from the task's environment",
        )
    meta = _meta(environ)
    region = environ.get("FEDML_REGION") or _needed(environ, "NOMAD_REGION")
    job_id = _needed(environ, "NOMAD_JOB_ID")
    run, slot, attempt = _binding(meta, region, job_id)
    key = Key(
        run=_segment(run, "the run"),
        slot=slot,
        group=_segment(_needed(environ, "NOMAD_GROUP_NAME"), "the group's name"),
        index=_whole(_needed(environ, "NOMAD_ALLOC_INDEX"), "NOMAD_ALLOC_INDEX", least=0),
    )
    version_keys = (variable_name(environ.get("FEDML_VERSION_KEY", "")), *VERSION_KEYS, FALLBACK_VERSION_KEY)
    declared = _text_map(environ.get("FEDML_META", "{}"), "FEDML_META", "meta's variable → its declared name")
    version_key = next((name for name in version_keys if meta.get(name)), "")
    return Allocation(
        key=key,
        attempt=attempt,
        job=environ.get("FEDML_JOB") or environ.get("NOMAD_JOB_PARENT_ID") or _INHERITED.split(job_id)[0],
        job_id=job_id,
        version=checked_version(meta[version_key]) if version_key else UNVERSIONED,
        spec_hash=meta.get(SPEC_KEY, ""),
        region=region,
        datacenter=_needed(environ, "NOMAD_DC"),
        node=environ.get("FEDML_NODE") or node,
        id=_segment(environ["NOMAD_ALLOC_ID"], "NOMAD_ALLOC_ID"),
        params={
            declared.get(name, name): value
            for name, value in sorted(meta.items())
            if value and not name.lower().startswith("fedml_") and name != version_key and not looks_secret(name)
        }
        | _packed_params(meta.get(PARAMS_KEY, "")),
        stores=_stores(environ.get("FEDML_STORES", "")),
    )


def _binding(meta: Mapping[str, str], region: str, job_id: str) -> tuple[str, int, int]:
    run_key, slot_key, attempt_key = RUN_KEYS
    if not meta.get(run_key):
        return ad_hoc_run(region, job_id), 0, 1
    missing = [name for name in (slot_key, attempt_key) if not meta.get(name)]
    if missing:
        raise PublishError(
            f"the dispatch has {run_key} but no {' and no '.join(missing)}", hint="dispatch it with fedml"
        )
    return (
        meta[run_key],
        _whole(meta[slot_key], f"meta {slot_key}", least=0),
        _whole(meta[attempt_key], f"meta {attempt_key}", least=1),
    )


def _meta(environ: Mapping[str, str]) -> dict[str, str]:
    """The meta by its own names. Nomad sets each key a second time in capitals. That copy is left out."""
    given = {name.removeprefix(_META): value for name, value in environ.items() if name.startswith(_META)}
    copies = {name.upper() for name in given if name != name.upper()}
    return {name: value for name, value in given.items() if name not in copies}


def _packed_params(text: str) -> dict[str, str]:
    try:
        return {name: value for name, value in params_of(text or "{}").items() if not looks_secret(name)}
    except ForeignTextError as error:
        raise PublishError(error.message, hint="dispatch it with fedml") from error


def _stores(text: str) -> dict[str, str]:
    if not text:
        raise PublishError(
            "FEDML_STORES is not set, so there is no store to publish to",
            hint='deploy the job with `fedml deploy`, or set it in the task\'s env: {"DATACENTER": "s3://bucket/prefix"}',
        )
    return _text_map(text, "FEDML_STORES", "datacenter → store URL")


def _text_map(text: str, name: str, what: str) -> dict[str, str]:
    try:
        return Members({"it": parse_json(text, source=name)}, source=name).text_map("it")
    except ForeignTextError as error:
        raise PublishError(
            f"{name} is not a JSON object of {what} ({error.message})", hint="deploy the job with `fedml deploy`"
        ) from error


def _needed(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise PublishError(
            f"{name} is not set, although NOMAD_ALLOC_ID is", hint="run it in the task as Nomad starts it"
        )
    return value


def _whole(text: str, what: str, *, least: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX and int(text) >= least):
        raise PublishError(f"{what} {text[:80]!a} is not a valid whole number from {least} on")
    return int(text)


def _segment(text: str, what: str) -> str:
    if not is_key_segment(text):
        raise PublishError(
            f"{what}, {text!r}, can't be part of an object's key", hint="use letters, digits, '-', '_', '.'"
        )
    return text
