"""Reads the records that an attempt or a slot left, and compares each with manifest, run log, fedml.toml and Nomad.

A record is written on a node, so it is a claim: what doesn't agree is refused with a reason, never committed, and stays
where it is. docs/explanation/security.md has the rules.
"""

from __future__ import annotations

from dataclasses import replace

from federation.claims import (
    Bound,
    Expected,
    Known,
    difference,
    known,
    of_allocation,
    of_attempt,
    of_params,
    of_place,
    of_refused,
    of_run,
    refusal,
)
from federation.errors import FormatTooNew, PublishError, UsageError
from federation.manifest import Manifest
from federation.result import Key, ResultRecord
from federation.run.brain.commands import Look
from federation.run.brain.events import Looked
from federation.run.ports import Ports
from jobs.errors import FedmlError
from jobs.spec import SPEC_KEY
from regions.errors import NotFound
from regions.model import Allocation, Node

ADOPT = "adopt"


def look(manifest: Manifest, ports: Ports, command: Look) -> Looked:
    """Gives the records of one allocation (or of a slot) that may be committed, or the reason why there are none."""
    allocation = command.allocation
    answer = Looked(command.slot, command.attempt, allocation.id if allocation else "", ())
    try:
        if allocation is not None:
            return _of_allocation(manifest, ports, command, allocation, answer)
        return _of_slot(manifest, ports, command, answer)
    except FedmlError as error:
        return replace(answer, error=error.message)


def _of_allocation(manifest: Manifest, ports: Ports, command: Look, allocation: Allocation, answer: Looked) -> Looked:
    """Checks the record of an allocation that Nomad named: it and its child are known without the record."""
    region = command.region
    key = Key(manifest.run, command.slot, allocation.group, allocation.index)
    try:
        record = ports.read(region, key, allocation)
    except (PublishError, UsageError, FormatTooNew) as error:
        if manifest.results == ADOPT:
            raise
        return replace(answer, refusal=error.message)
    if record is None:
        return answer
    if manifest.results == ADOPT:  # the record was made here, from objects where fedml.toml says
        return replace(answer, records=(replace(record, attempt=command.attempt),))
    if record.spec_hash != manifest.spec_hash and record.spec_hash == _spec_hash(ports, region, allocation.job_id):
        # Nomad says the same: somebody changed the job, which isn't the slot's failure.
        return replace(answer, records=(record,))
    refused = refusal(
        record,
        of_attempt([Bound(command.attempt, region, allocation.job_id)], record, ports.sites),
        of_allocation(allocation, _node(ports, region, allocation), names_node=bool(manifest.spec_hash)),
        *_of_manifest(manifest, ports, record, command.slot),
    )
    return replace(answer, refusal=refused) if refused else replace(answer, records=(record,))


def _of_slot(manifest: Manifest, ports: Ports, command: Look, answer: Looked) -> Looked:
    """Checks all records of the slot in the region's stores: which attempt one belongs to is only its own claim."""
    good, refused = [], ""
    for record in ports.search(command.region, command.slot):
        logged = of_attempt(command.bound, record, ports.sites)
        if manifest.results == ADOPT:
            logged |= {} if record.job_id else {"child": known("the run log has", "")}
            reason = difference(record, logged, of_refused(command.bound, record))
        else:
            reason = refusal(record, *_of_manifest(manifest, ports, record, command.slot))
            reason = reason or difference(record, *_of_nomad(manifest, ports, command, record, logged))
        if reason:
            refused = reason
        else:
            good.append(record)
    return replace(answer, records=tuple(good), refusal=refused)


def _of_manifest(manifest: Manifest, ports: Ports, record: ResultRecord, slot: int) -> tuple[Expected, ...]:
    """Gives what is known without Nomad and the run log."""
    searched = {"slot": known("it was looked for as slot", slot)}
    return searched, of_run(manifest, record), of_place(ports.sites, record), of_params(ports.inputs(slot)[0])


def _of_nomad(
    manifest: Manifest, ports: Ports, command: Look, record: ResultRecord, logged: Expected
) -> tuple[Expected, ...]:
    """What the run log and Nomad know of a slot's record. An attempt may have two children (a dispatch that was repeated):
    Nomad tells whose the record's is. What Nomad forgot, or can't be asked for, is believed as the run log names it."""
    bound = next((one for one in command.bound if one.number == record.attempt), None)
    if bound is None or bound.region not in ports.clients:
        return (logged,)
    client = ports.clients[bound.region]
    refused = of_refused(command.bound, record)
    try:
        child = client.job(record.job_id)
        allocations, _ = client.allocations(job_id=record.job_id)
    except NotFound:
        return (logged, refused) if bound.job_id else (logged, refused, _named_like_a_child(manifest, record))
    except FedmlError:
        if not bound.job_id:
            raise
        return logged, refused
    pair = manifest.child_of(child)
    if pair == (command.slot, record.attempt):
        logged = {**logged, "child": known("Nomad has", record.job_id)}
    elif pair is not None or record.job_id != bound.job_id:
        logged = {**logged, "child": Known((), "Nomad has it as a child of something else")}
    allocation = next((one for one in allocations if one.id == record.alloc_id), None)
    if allocation is not None:
        node = _node(ports, bound.region, allocation)
        return logged, of_allocation(allocation, node, names_node=bool(manifest.spec_hash))
    if allocations:
        return logged, {"allocation": known("Nomad has", *(one.id for one in allocations))}
    return logged, refused


def _named_like_a_child(manifest: Manifest, record: ResultRecord) -> Expected:
    """Accepts any name that a child of the job can have: Nomad forgot the child, and the run log never had its name."""
    if record.job_id.startswith(f"{manifest.parent_id}/dispatch-"):
        return {}
    return {"child": Known((), f"children of the run's job are named {manifest.parent_id}/dispatch-…")}


def _spec_hash(ports: Ports, region: str, job_id: str) -> str | None:
    """Asks Nomad for the child's spec hash; None without an answer."""
    try:
        return str((ports.clients[region].job(job_id).get("Meta") or {}).get(SPEC_KEY, ""))
    except FedmlError:
        return None


def _node(ports: Ports, region: str, allocation: Allocation) -> Node | None:
    """Gives the node where the region has several datacenters: only then the node tells more than the allocation."""
    site = ports.sites.get(region)
    return ports.node(region, allocation.node_id) if site is not None and len(site.stores) > 1 else None
