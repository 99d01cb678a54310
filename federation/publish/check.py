"""Checks from inside a task whether it could publish.

Checks what only the node can: the installed fedml, the node's credentials, its connection to the store, its clock. Creates
one small object below `artifacts/doctor/`, reads it, and removes it if the node's role allows that (the least role doesn't).
"""

from __future__ import annotations

import json
import platform
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata

from federation.check import DISTRIBUTION, Check, Outcome, clock_check
from federation.publish.task_identity import allocation_of
from jobs.errors import FedmlError, ForeignTextError
from jobs.foreign import Members, parse_json, understood
from regions.storage import open_store, parse_store_url
from regions.storage.backend import backend_of
from regions.storage.errors import PermissionDenied
from regions.storage.store import Create

MARK = "fedml_publish_check"
CLOCK_LIMIT_S = 300.0
_CHECKS_MAX = 100
CREDENTIALS = "credentials"


def check_from_inside(environ: Mapping[str, str], *, archive: Sequence[str] = ()) -> list[Check]:
    """All checks. Checks depend on each other, so the first failure is the last check. `archive` are the URL schemes of the
    archive that this runs from. Raises nothing except for a bug."""
    subject = environ.get("FEDML_NODE") or socket.gethostname()
    served = f", an archive for {' and '.join(f'{scheme}://' for scheme in archive)}" if archive else ""
    about = f"{fedml_version()}{served}, on Python {platform.python_version()}"
    checks = [Check(subject, "fedml publish", Outcome.OK, about)]
    probe = f"artifacts/doctor/{secrets.token_hex(8)}"
    data = secrets.token_bytes(64)
    try:
        allocation = allocation_of(environ, node=subject)
        store = open_store(parse_store_url(allocation.store_url))
    except ModuleNotFoundError as error:
        return [*checks, Check(subject, "store", Outcome.FAILED, f"{error.name} is missing here", _OTHER_ARCHIVE)]
    except FedmlError as error:
        return [*checks, Check(subject, "environment", Outcome.FAILED, error.message, error.hint)]
    checks.append(Check(subject, "environment", Outcome.OK, f"{store.url} by datacenter {allocation.datacenter}"))

    def create() -> str:
        store.put(probe, data, Create())
        return ""

    def read() -> str:
        return "" if store.get(probe) == data else "the store returned other bytes than were written"

    steps: dict[str, Callable[[], str]] = {"create in the store": create, "read it back": read}
    for number, (name, step) in enumerate(steps.items()):
        try:
            wrong = step()
        except PermissionDenied as error:
            if number == 0 and not _are_known(error):
                return [*checks, Check(subject, CREDENTIALS, Outcome.FAILED, error.message, error.hint)]
            right = _right(store.url, number)
            return [*checks, Check(subject, name, Outcome.FAILED, error.message, right)]
        except FedmlError as error:
            return [*checks, Check(subject, name, Outcome.FAILED, error.message, error.hint)]
        if number == 0:
            checks.append(Check(subject, CREDENTIALS, Outcome.OK))
        checks.append(Check(subject, name, Outcome.FAILED if wrong else Outcome.OK, wrong))
    with suppress(FedmlError):
        store.delete(probe)
    try:
        theirs = store.server_time()
    except FedmlError as error:
        return [*checks, Check(subject, "clock", Outcome.SKIPPED, error.message)]
    skew_s = None if theirs is None else (theirs - datetime.now(UTC)).total_seconds()
    return [*checks, clock_check(subject, skew_s, limit_s=CLOCK_LIMIT_S, error_s=2.0)]


def fedml_version() -> str:
    """The version of this fedml. Empty if it isn't installed as a distribution."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return ""


def _are_known(error: PermissionDenied) -> bool:
    """Whether the store accepts the credentials and refuses only the operation."""
    return backend_of(error.store).is_folder or "may not" in error.hint


def _right(url: str, number: int) -> str:
    backend = backend_of(url)
    right = (backend.create_right, backend.read_right)[number]
    if not right:
        return f"let the task's user {('write', 'read')[number]} below {url}"
    below = backend.objects_below.format(place=url.partition("://")[2])
    return f"it lacks {right} on {below}: `fedml stores check --policy` prints all that a node needs"


_OTHER_ARCHIVE = "use the archive for this kind of store, or install fedml from its checkout on the node"


def to_line(checks: list[Check]) -> str:
    """The checks as one line of JSON, which `from_log` finds in a task's log."""
    rows = [[check.subject, check.name, str(check.outcome), check.detail, check.remedy] for check in checks]
    return json.dumps({MARK: rows})


def _checks(line: str) -> list[Check]:
    source = "the line"
    rows = Members(parse_json(line, source=source), source=source).items(MARK, items_max=_CHECKS_MAX)
    listed = Members({str(at): row for at, row in enumerate(rows)}, source=source)
    texts = [listed.texts(at, items_max=5) for at in listed.names()]
    return understood(source, lambda: [_check(*row) for row in texts])


def _check(subject: str, name: str, outcome: str, detail: str, remedy: str) -> Check:
    return Check(subject, name, Outcome(outcome), detail, remedy)


def from_log(text: str) -> list[Check] | None:
    """The checks of the last such line. None without one."""
    for line in reversed(text.splitlines()):
        try:
            return _checks(line)
        except ForeignTextError:
            continue
    return None
