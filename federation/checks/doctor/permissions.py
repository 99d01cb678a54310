"""Tries what a region's token may do. Permissions are tried, not read from policies: a token may not read its own policies, and
what the servers allow is what counts.

The tries change nothing: a dry run, a dispatch of a job that doesn't exist, a registration that its modify index forbids, the
log of a task that doesn't exist.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from federation.check import Check, Outcome
from jobs.errors import FedmlError
from regions.errors import InvalidJob, NotFound, PermissionDenied, RegionError
from regions.model import Region

if TYPE_CHECKING:
    from regions.nomad.client import NomadRegion

POLICY_HINT = "`fedml doctor --policy` prints the policy that it needs"
_NO_TASK = "fedml-doctor"


def plain(error: FedmlError, region: Region) -> str:
    """The error's text without the region's name and the operation, which stand beside it."""
    text = error.message.removeprefix(f"region {region.name}: ")
    return text.removeprefix(f"{error.operation}: ") if isinstance(error, RegionError) else text


class Permissions:
    """What the token may do in one region. `probe_id`: the ID of a job that doesn't exist."""

    def __init__(self, subject: str, region: Region, client: NomadRegion, probe_id: str) -> None:
        self._subject = subject
        self._region = region
        self._client = client
        self._probe_id = probe_id

    def check(self, capability: str, attempt: Callable[[], object], *, without: str = "") -> Check:
        """Tries a permission. `without`: what works without it; empty where it is needed."""
        name = f"may {capability}"
        try:
            attempt()
        except PermissionDenied:
            outcome = Outcome.WARNING if without else Outcome.FAILED
            return Check(self._subject, name, outcome, without or "the token doesn't allow it", POLICY_HINT)
        except NotFound:
            pass  # permissions were looked at before
        except InvalidJob as error:  # the smallest job that there is
            remedy = error.hint or f"see namespace and datacenters in [regions.{self._region.name}]"
            return Check(self._subject, name, Outcome.FAILED, plain(error, self._region), remedy)
        except FedmlError as error:
            return Check(self._subject, name, Outcome.FAILED, plain(error, self._region), error.hint)
        return Check(self._subject, name, Outcome.OK)

    def of_jobs(self) -> list[Check]:
        """List, read, dispatch and submit."""
        return [
            self.check("list-jobs", lambda: self._client.jobs(self._probe_id)),
            self.check("read-job", lambda: self._client.job(self._probe_id)),
            self.check("dispatch-job", lambda: self._client.try_to_dispatch(self._probe_id)),
            *self._submit(),
        ]

    def _submit(self) -> list[Check]:
        """A dry run doesn't tell: since 1.11.2 `plan-job` allows it too, without submit-job."""
        without = "it can't deploy or stop jobs"
        submit = self.check("submit-job", lambda: self._client.try_to_submit(self._probe_id), without=without)
        if submit.outcome is not Outcome.WARNING:
            return [submit]
        job = self._client.smallest_job(self._probe_id)
        plan = self.check("plan-job", lambda: self._client.plan_job(job), without="free slots are estimated")
        return [submit, plan]

    def of_allocations(self, *, is_open: bool) -> list[Check]:
        """Logs and files, tried on some allocation of the namespace. `is_open`: ACLs are off."""
        if is_open:
            return [Check(self._subject, f"may {capability}", Outcome.OK) for capability in ("read-logs", "read-fs")]
        try:
            allocation = self._client.some_allocation()
        except FedmlError:
            return []  # may read-job says why
        if allocation is None:
            detail = "there is no allocation yet to try it on"
            return [Check(self._subject, "may read-logs, read-fs", Outcome.SKIPPED, detail)]
        return [
            self.check(
                "read-logs",
                lambda: self._client.logs(allocation.id, _NO_TASK, tail_bytes=1),
                without="`fedml logs` shows nothing, and why a task failed isn't said",
            ),
            self.check(
                "read-fs",
                lambda: self._client.read_file(allocation.id, _NO_TASK),
                without="a record can't be read from its allocation where its store can't be read from here",
            ),
        ]
