"""Checks one region, and the job as rendered for it if there is one: address, permissions, nodes, clock.

Permissions are tried, not read from policies: a token may not read its own policies, and what the servers allow is what
counts. The tries change nothing: a dry run, and a dispatch of a job that doesn't exist.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from federation.check import Check, Outcome, clock_check
from federation.checks.doctor.job import check_job
from jobs.errors import FedmlError
from regions.errors import InvalidJob, NotFound, PermissionDenied, RegionError
from regions.model import Node, Region
from regions.nomad.versions import has_feature

if TYPE_CHECKING:
    from regions.nomad.client import NomadRegion

TIMEOUT_S = 5.0
CLOCK_LIMIT_S = 300.0
POLICY_HINT = "`fedml doctor --policy` prints the policy that it needs"
DEV_DOWN = "start it with `fedml dev up`"


def check_region(
    region: Region, job: Mapping[str, Any] | FedmlError | None = None, *, if_silent: str = "is Nomad up there?"
) -> list[Check]:
    """Runs every check of one region. `job`: as rendered for it, or why it can't be; None: nothing is said about a job.
    `if_silent`: what to do where nothing answers. Raises nothing but for a bug.

    Checks that need another one that failed are left out.
    """
    subject = f"region {region.name}"
    if all(address.startswith("dev:") for address in region.addresses):
        return [Check(subject, "address", Outcome.FAILED, "the development federation isn't up", DEV_DOWN)]
    if (unreadable := _token_problem(subject, region)) is not None:
        return [unreadable]
    addresses = [_check_address(subject, region, address, if_silent) for address in region.addresses]
    reached = [check for check in addresses if check.outcome is Outcome.OK]
    if not reached:
        return addresses
    others = [replace(check, outcome=Outcome.WARNING) for check in addresses if check.outcome is not Outcome.OK]
    from regions.nomad.client import NomadRegion

    client = NomadRegion(region, timeout_s=TIMEOUT_S, deadline_s=3 * TIMEOUT_S)
    try:
        examined = _Examination(subject, region, client)
        token = [] if region.token is None else [examined.guarded("token", examined.token)]
        if any(check.outcome is Outcome.FAILED for check in token):
            return [*reached, *others, *token]
        return [*reached, *others, *token, *examined.checks(), *examined.job_checks(job)]
    finally:
        client.close()


def _token_problem(subject: str, region: Region) -> Check | None:
    if region.token is None:
        return None
    try:
        token = region.token.read()
    except FedmlError as error:
        return Check(
            subject, "token", Outcome.FAILED, error.message, error.hint or f"see [regions.{region.name}] token"
        )
    if not token:
        return Check(subject, "token", Outcome.FAILED, f"{region.token} is empty", f"see [regions.{region.name}] token")
    return None


def _check_address(subject: str, region: Region, address: str, if_silent: str) -> Check:
    from regions.nomad.client import NomadRegion

    name = f"address {address}"
    if address.startswith("dev:"):
        return Check(subject, name, Outcome.FAILED, "the development federation isn't up", DEV_DOWN)
    client = NomadRegion(replace(region, addresses=(address,)), timeout_s=TIMEOUT_S, deadline_s=TIMEOUT_S)
    try:
        leader = client.leader()
    except FedmlError as error:
        return Check(
            subject, name, Outcome.FAILED, _plain(error, region).removeprefix(f"{address}: "), error.hint or if_silent
        )
    finally:
        client.close()
    if not leader:
        return Check(subject, name, Outcome.FAILED, "no leader is elected", "see `nomad server members` in that region")
    return Check(subject, name, Outcome.OK, f"leader {leader}")


def _plain(error: FedmlError, region: Region) -> str:
    """The error's text without the region's name and the operation, which stand beside it."""
    text = error.message.removeprefix(f"region {region.name}: ")
    return text.removeprefix(f"{error.operation}: ") if isinstance(error, RegionError) else text


class _Examination:
    """The checks of a region that answers."""

    def __init__(self, subject: str, region: Region, client: NomadRegion) -> None:
        self.subject = subject
        self.region = region
        self.client = client
        self.probe_id = f"fedml-doctor-{secrets.token_hex(4)}"
        self.nodes: list[Node] | None = None

    def checks(self) -> list[Check]:
        name = self.guarded("Nomad's name", self.name)
        if name.outcome is Outcome.FAILED:
            return [name]
        return [
            name,
            self.guarded("version", self.version),
            self.guarded("clock", self.clock),
            self.permission("list-jobs", lambda: self.client.jobs(self.probe_id)),
            self.permission("read-job", lambda: self.client.job(self.probe_id)),
            self.permission("dispatch-job", lambda: self.client.dispatch(self.probe_id, meta={})),
            self.permission(
                "submit-job",
                lambda: self.client.plan_job(self.probe_job()),
                without="it can't deploy, stop or dry-run jobs; free slots are estimated",
            ),
            self.permission("node:read", self.read_nodes, without="nodes, drivers and volumes can't be looked at"),
            *(self.datacenter(each) for each in self.region.datacenters),
            *self.strange_datacenters(),
        ]

    def job_checks(self, job: Mapping[str, Any] | FedmlError | None) -> list[Check]:
        if job is None:
            return []
        if isinstance(job, FedmlError):
            return [Check(self.subject, "job", Outcome.FAILED, job.message.partition("\n")[0], job.hint)]
        if self.nodes is None:
            return [Check(self.subject, "job", Outcome.SKIPPED, "the nodes could not be read")]
        return check_job(self.subject, job, self.nodes)

    def guarded(self, name: str, check: Callable[[], Check]) -> Check:
        try:
            return check()
        except PermissionDenied as error:
            return Check(self.subject, name, Outcome.SKIPPED, _plain(error, self.region), POLICY_HINT)
        except FedmlError as error:
            return Check(self.subject, name, Outcome.FAILED, _plain(error, self.region), error.hint)

    def token(self) -> Check:
        try:
            about = self.client.acl_self()
        except PermissionDenied:
            remedy = f"see [regions.{self.region.name}] token: was it revoked, or is it another region's?"
            return Check(self.subject, "token", Outcome.FAILED, "the servers refuse it", remedy)
        if about is None:
            return Check(self.subject, "token", Outcome.OK, "sent, but ACLs are off: everybody may do everything")
        policies = ", ".join(about.get("Policies") or [])
        return Check(
            self.subject, "token", Outcome.OK, str(about.get("Type", "")) + (f" ({policies})" if policies else "")
        )

    def name(self) -> Check:
        known, name = self.client.federation_regions(), self.region.nomad_region
        if name in known:
            return Check(self.subject, "Nomad's name", Outcome.OK, name)
        remedy = f'set nomad_region = "…" in [regions.{self.region.name}] to one of: {", ".join(known)}'
        return Check(self.subject, "Nomad's name", Outcome.FAILED, f"these servers know no region {name!r}", remedy)

    def version(self) -> Check:
        version = self.client.version()
        if not has_feature(version, "event_stream"):
            return Check(
                self.subject, "version", Outcome.FAILED, f"{version} has no event stream", "upgrade to 1.0 or newer"
            )
        if not has_feature(version, "dispatch_idempotency_token"):
            detail = f"{version}: a dispatch whose answer is lost can't be repeated safely"
            return Check(self.subject, "version", Outcome.WARNING, detail, "upgrade to 1.1.3 or newer")
        return Check(self.subject, "version", Outcome.OK, version)

    def clock(self) -> Check:
        before = datetime.now(UTC)
        theirs = self.client.agent_time()
        after = datetime.now(UTC)
        middle = before + (after - before) / 2
        # The header has whole seconds, rounded down.
        error_s = 1.0 + (after - before).total_seconds() / 2
        skew_s = None if theirs is None else (theirs - middle).total_seconds()
        return clock_check(self.subject, skew_s, limit_s=CLOCK_LIMIT_S, error_s=error_s)

    def permission(self, capability: str, attempt: Callable[[], object], *, without: str = "") -> Check:
        """Tries a permission. `without`: what works without it; empty where it is needed."""
        name = f"may {capability}"
        try:
            attempt()
        except PermissionDenied:
            outcome = Outcome.WARNING if without else Outcome.FAILED
            return Check(self.subject, name, outcome, without or "the token doesn't allow it", POLICY_HINT)
        except (NotFound, InvalidJob):
            pass  # the servers look at permissions first
        except FedmlError as error:
            return Check(self.subject, name, Outcome.FAILED, _plain(error, self.region), error.hint)
        return Check(self.subject, name, Outcome.OK)

    def read_nodes(self) -> None:
        self.nodes = self.client.nodes()

    def probe_job(self) -> dict[str, Any]:
        """The smallest job for a dry run."""
        task = {
            "Name": "probe",
            "Driver": "raw_exec",
            "Config": {"command": "true"},
            "Resources": {"CPU": 1, "MemoryMB": 10},
        }
        return {
            "ID": self.probe_id,
            "Name": self.probe_id,
            "Region": self.region.nomad_region,
            "Namespace": self.region.namespace,
            "Type": "batch",
            "Datacenters": list(self.region.datacenters),
            "TaskGroups": [{"Name": "probe", "Count": 1, "Tasks": [task]}],
        }

    def datacenter(self, datacenter: str) -> Check:
        name = f"datacenter {datacenter}"
        if self.nodes is None:
            return Check(self.subject, name, Outcome.SKIPPED, "the nodes could not be read")
        there = [node for node in self.nodes if node.datacenter == datacenter]
        ready = [node for node in there if node.is_ready]
        if ready:
            return Check(self.subject, name, Outcome.OK, f"{len(ready)} of {len(there)} nodes ready")
        detail = f"none of its {len(there)} nodes is ready" if there else "it has no node"
        return Check(
            self.subject, name, Outcome.WARNING, detail, "nothing runs there until it has a ready, eligible node"
        )

    def strange_datacenters(self) -> list[Check]:
        strange = {node.datacenter for node in self.nodes or ()} - self.region.datacenters.keys()
        return [
            Check(
                self.subject,
                f"datacenter {name}",
                Outcome.WARNING,
                "it has nodes but stands not in fedml.toml: nothing is sent there",
                f"add [regions.{self.region.name}.datacenters.{name}] with its store to use it",
            )
            for name in sorted(strange)
        ]
