"""Checks one region, and the job as rendered for it if there is one: address, permissions, nodes, clock.

What the token may do is tried (`permissions`). The servers are asked by a dry run whether they take the job.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from federation.check import Check, Outcome, clock_check
from federation.checks.doctor.job import check_job
from federation.checks.doctor.permissions import POLICY_HINT, Permissions, plain
from jobs.errors import FedmlError
from regions.errors import InvalidJob, PermissionDenied
from regions.model import Node, Region
from regions.nomad.resources import DEFAULT_POOL, pool_of_node
from regions.nomad.versions import OLDEST, is_too_old

if TYPE_CHECKING:
    from regions.nomad.client import NomadRegion

TIMEOUT_S = 5.0
CLOCK_LIMIT_S = 300.0
DEV_DOWN = "start it with `fedml dev up`"


def check_region(
    region: Region, job: Mapping[str, Any] | FedmlError | None = None, *, is_dev: bool = False
) -> list[Check]:
    """Runs every check of one region. `job`: as rendered for it, or why it can't be; None: nothing is said about a job.
    `is_dev`: it belongs to a development federation, whose token may do everything. Raises nothing but for a bug.

    Checks that need another one that failed are left out.
    """
    subject = f"region {region.name}"
    if all(address.startswith("dev:") for address in region.addresses):
        return [Check(subject, "address", Outcome.FAILED, "the development federation isn't up", DEV_DOWN)]
    if (unreadable := _token_problem(subject, region)) is not None:
        return [unreadable]
    if_silent = "`fedml dev up` starts it again" if is_dev else "is Nomad up there, and may this machine reach it?"
    addresses = [_check_address(subject, region, address, if_silent) for address in region.addresses]
    reached = [check for check in addresses if check.outcome is Outcome.OK]
    if not reached:
        return addresses
    others = [replace(check, outcome=Outcome.WARNING) for check in addresses if check.outcome is not Outcome.OK]
    from regions.nomad.client import NomadRegion

    client = NomadRegion(region, timeout_s=TIMEOUT_S, deadline_s=3 * TIMEOUT_S)
    try:
        examined = _Examination(subject, region, client)
        token = [examined.guarded("token", partial(examined.token, is_dev=is_dev))]
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
            subject, name, Outcome.FAILED, plain(error, region).removeprefix(f"{address}: "), error.hint or if_silent
        )
    finally:
        client.close()
    if not leader:
        return Check(subject, name, Outcome.FAILED, "no leader is elected", "see `nomad server members` in that region")
    return Check(subject, name, Outcome.OK, f"leader {leader}")


class _Examination:
    """The checks of a region that answers."""

    def __init__(self, subject: str, region: Region, client: NomadRegion) -> None:
        self.subject = subject
        self.region = region
        self.client = client
        self.probe_id = f"fedml-doctor-{secrets.token_hex(4)}"
        self.may = Permissions(subject, region, client, self.probe_id)
        self.nodes: list[Node] | None = None
        self.is_open = False
        """ACLs are off."""

    def checks(self) -> list[Check]:
        name = self.guarded("Nomad's name", self.name)
        if name.outcome is Outcome.FAILED:
            return [name]
        return [
            name,
            self.guarded("version", self.version),
            self.guarded("clock", self.clock),
            *self.may.of_jobs(),
            *self.may.of_allocations(is_open=self.is_open),
            self.may.check("node:read", self.read_nodes, without="nodes, drivers and volumes can't be looked at"),
            *(self.datacenter(each) for each in self.region.datacenters),
            *self.strange_datacenters(),
        ]

    def job_checks(self, job: Mapping[str, Any] | FedmlError | None) -> list[Check]:
        if job is None:
            return []
        if isinstance(job, FedmlError):
            return [Check(self.subject, "job", Outcome.FAILED, job.message.partition("\n")[0], job.hint)]
        accepted = self.accepted(job)
        if self.nodes is None:
            return [*accepted, Check(self.subject, "job", Outcome.SKIPPED, "the nodes could not be read")]
        return [*accepted, *check_job(self.subject, job, self.nodes)]

    def accepted(self, job: Mapping[str, Any]) -> list[Check]:
        """Whether the servers take the job: they check more than can be checked from here. Nothing where the token may not
        ask."""
        name = f"job {job['ID']}"
        try:
            self.client.plan_job(job)
        except PermissionDenied:
            return []
        except FedmlError as error:
            about = f"plan {name}: "
            text = plain(error, self.region).removeprefix(about)
            hint = error.hint or ("mend the jobspec, or the servers' limits" if isinstance(error, InvalidJob) else "")
            return [Check(self.subject, name, Outcome.FAILED, text, hint)]
        return [Check(self.subject, name, Outcome.OK, "the servers take it")]

    def guarded(self, name: str, check: Callable[[], Check]) -> Check:
        try:
            return check()
        except PermissionDenied as error:
            return Check(self.subject, name, Outcome.SKIPPED, plain(error, self.region), POLICY_HINT)
        except FedmlError as error:
            return Check(self.subject, name, Outcome.FAILED, plain(error, self.region), error.hint)

    def token(self, *, is_dev: bool) -> Check:
        try:
            about = self.client.acl_self()
        except PermissionDenied as error:
            if self.region.token is None:
                return self._no_token()
            remedy = f"see [regions.{self.region.name}] token: was it revoked, or is it another region's?"
            detail = f"the servers refuse it ({plain(error, self.region)})"
            return Check(self.subject, "token", Outcome.FAILED, detail, remedy)
        if about is None:
            self.is_open = True
            sent = "none is sent, and" if self.region.token is None else "sent, but"
            return Check(self.subject, "token", Outcome.OK, f"{sent} ACLs are off: everybody may do everything")
        if self.region.token is None:
            return self._no_token()
        kind = str(about.get("Type", ""))
        if kind == "management" and not is_dev:
            detail = "a management token: it may do everything, in all namespaces, and change ACLs"
            remedy = "give fedml a token of its own: `fedml doctor --policy` prints the least rights that it needs"
            return Check(self.subject, "token", Outcome.WARNING, detail, remedy)
        policies = ", ".join(about.get("Policies") or [])
        return Check(self.subject, "token", Outcome.OK, kind + (f" ({policies})" if policies else ""))

    def _no_token(self) -> Check:
        detail = "none is sent: the servers' anonymous policy decides what may be done"
        remedy = f'set token = {{ env = "…" }} or {{ file = "…" }} in [regions.{self.region.name}]'
        return Check(self.subject, "token", Outcome.WARNING, detail, remedy)

    def name(self) -> Check:
        known, name = self.client.federation_regions(), self.region.nomad_region
        if name in known:
            return Check(self.subject, "Nomad's name", Outcome.OK, name)
        remedy = f'set nomad_region = "…" in [regions.{self.region.name}] to one of: {", ".join(known)}'
        return Check(self.subject, "Nomad's name", Outcome.FAILED, f"these servers know no region {name!r}", remedy)

    def version(self) -> Check:
        version = self.client.version()
        if is_too_old(version):
            detail = f"{version} is older than {OLDEST}, the oldest version that fedml supports"
            return Check(self.subject, "version", Outcome.FAILED, detail, "upgrade Nomad there")
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

    def read_nodes(self) -> None:
        self.nodes = self.client.nodes()

    def datacenter(self, datacenter: str) -> Check:
        name = f"datacenter {datacenter}"
        if self.nodes is None:
            return Check(self.subject, name, Outcome.SKIPPED, "the nodes could not be read")
        there = [node for node in self.nodes if node.datacenter == datacenter]
        ready = [node for node in there if node.is_ready]
        if ready:
            pools = Counter(pool_of_node(node) for node in ready)
            listed = ", ".join(f"{pool} {count}" for pool, count in sorted(pools.items()))
            in_pools = f" (by node pool: {listed})" if pools.keys() != {DEFAULT_POOL} else ""
            return Check(self.subject, name, Outcome.OK, f"{len(ready)} of {len(there)} nodes ready{in_pools}")
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
