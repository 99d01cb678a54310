"""What a dispatch asks each region for besides its room, at the same time as for its room.

The answers are about the token's rights, what runs that are over left there, and how many children of the job the region keeps.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from federation.app import App, PreparedJob
from federation.beside import beside
from federation.index.rows import RUN_STATES_CLOSED
from federation.run.orphans import stop_stale
from jobs.errors import FedmlError
from regions.errors import NotFound, PermissionDenied
from regions.nomad.versions import has_finer_rights

if TYPE_CHECKING:
    from regions.nomad.client import NomadRegion


@dataclass(frozen=True, slots=True)
class FirstAnswers:
    """One region's answers. Errors other than a denial are left to the dispatch itself."""

    may_dispatch: bool
    may_submit: bool | None
    """None where the servers have no right of its own for a dry run: then whoever may plan may submit."""
    stopped: int
    """Children of runs that are over that were stopped now."""
    children: int
    """Children of the job that the region keeps; 0 where that can't be read."""


def ask_first(app: App, prepared: PreparedJob) -> Mapping[str, Future[FirstAnswers]]:
    """Begins to ask all regions of the job."""
    over = {row.run for row in app.index.runs(job=prepared.shape.id) if row.state in RUN_STATES_CLOSED}
    return {
        name: beside(partial(_ask, app.client(name), prepared.job_id, over), name=f"first-{name}")
        for name, job in prepared.rendered.items()
        if not isinstance(job, FedmlError)
    }


def _ask(client: NomadRegion, job_id: str, over: set[str]) -> FirstAnswers:
    unused_id = f"fedml-try-{secrets.token_hex(6)}"
    may_dispatch, may_submit = _may(partial(client.try_to_dispatch, unused_id)), None
    with suppress(FedmlError):
        if has_finer_rights(client.version()):
            may_submit = _may(partial(client.try_to_submit, unused_id))
    stopped, children = stop_stale([client], job_id, over).get(client.name, []), 0
    with suppress(FedmlError):
        children = children_of(client, job_id)
    return FirstAnswers(may_dispatch, may_submit, len(stopped), children)


def children_of(client: NomadRegion, job_id: str) -> int:
    """How many children of the job the region keeps; 0 where it knows no such job, or the token may not read it."""
    with suppress(NotFound, PermissionDenied):
        counts = client.summary(job_id).get("Children") or {}
        return sum(int(counts.get(status) or 0) for status in ("Pending", "Running", "Dead"))
    return 0


def _may(attempt: Callable[[], None]) -> bool:
    try:
        attempt()
    except FedmlError as error:
        return not isinstance(error, PermissionDenied)
    return True
