"""Checks whether the Nomad variables that a job's templates read are there, with the keys that they read.

It is checked from here, because a task whose template lacks a variable waits for it without a message, and because only
the job's own tasks can read what lies below `nomad/jobs/JOB`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from federation.check import Check, Outcome
from jobs.errors import FedmlError
from jobs.spec import templates_of
from regions.errors import NotFound, PermissionDenied
from regions.nomad.versions import has_feature

if TYPE_CHECKING:
    from regions.nomad.client import NomadRegion

_READ = re.compile(r"""nomadVar\s+["`]([^"`]+)["`]""")
_KEY = re.compile(r"(?<![\w.])\.([A-Za-z_]\w*)")
"""`.access_key` of the variable that `with` selected."""


@dataclass(frozen=True, slots=True)
class Needed:
    """A variable by its path, and the keys that a template reads of it."""

    path: str
    keys: tuple[str, ...]


def needed_by(job: Mapping[str, Any]) -> list[Needed]:
    """Lists what the templates of the job's tasks read, each path once. A path that is put together in the template isn't
    found."""
    found: dict[str, dict[str, None]] = {}
    for text in templates_of(job):
        keys = _KEY.findall(text)
        for path in _READ.findall(text):
            found.setdefault(path.strip("/"), {}).update(dict.fromkeys(keys))
    return [Needed(path, tuple(keys)) for path, keys in found.items()]


def is_own(path: str, job_id: str) -> bool:
    """Whether only that job's tasks may read the path by themselves."""
    return f"{path}/".startswith(f"nomad/jobs/{job_id}/")


def check_variables(client: NomadRegion, region: str, job: Mapping[str, Any]) -> list[Check]:
    """One check for each variable that the job needs there. Raises FedmlError where the region doesn't answer."""
    subject = f"variables in {region}"
    needed = needed_by(job)
    version = client.version() if needed else ""
    if needed and not has_feature(version, "variables"):
        detail = f"Nomad {version} has none, and the job's templates read {needed[0].path}"
        return [Check(subject, "Nomad variables", Outcome.FAILED, detail, "upgrade to 1.4 or newer")]
    return [
        _check(client, subject, one, str(job.get("Namespace") or "default"), str(job.get("Region"))) for one in needed
    ]


def _check(client: NomadRegion, subject: str, needed: Needed, namespace: str, region: str) -> Check:
    try:
        there = client.variable_names(needed.path)
    except NotFound:
        there = frozenset()
    except PermissionDenied as error:
        return Check(subject, needed.path, Outcome.SKIPPED, f"it can't be read from here: {error.message}")
    except FedmlError as error:
        return Check(subject, needed.path, Outcome.FAILED, error.message, error.hint)
    lacking = [key for key in needed.keys if key not in there]
    if there and not lacking:
        return Check(subject, needed.path, Outcome.OK)
    what = f"it has no {' and no '.join(lacking)}" if there else "there is no such variable"
    return Check(subject, needed.path, Outcome.FAILED, what, put_command(needed.path, lacking, namespace, region))


def put_command(path: str, keys: list[str], namespace: str, region: str) -> str:
    """The command that sets the variable. The person fills in the values."""
    where = "" if namespace == "default" else f"-namespace={namespace} "
    values = " ".join(f"{key}=…" for key in keys) or "KEY=…"
    return f"nomad var put -region={region} {where}{path} {values}"
