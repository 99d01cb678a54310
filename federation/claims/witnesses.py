"""What manifest, run log, index, fedml.toml and Nomad tell of a record's fields. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

from federation.claims.model import Bound, Known, OpenedRun, RunFacts, Site, endpoint_of, known, shown
from federation.result import UNVERSIONED, ResultRecord, ad_hoc_run, store_name
from jobs.code_run import PARAMS_KEY, params_of
from jobs.errors import ForeignTextError
from regions.model import Allocation, Node, Region
from regions.storage.url import store_url

_INHERITED = re.compile(r"/(?:dispatch|periodic)-")


def of_opened(run: OpenedRun, record: ResultRecord) -> dict[str, Known]:
    """What the index alone knows of a run's records."""
    has = f"run {run.run} has"
    # A job that fedml never registered may declare no meta for the version: then its nodes know none.
    versions = (run.version,) if run.spec_hash else (run.version, UNVERSIONED)
    return {
        "run": known("it was looked for as run", run.run),
        "slot": Known(range(run.slots), f"{has} slots 0 to {run.slots - 1}"),
        "job": known(has, run.job),
        "version": known(has, *versions),
        "spec hash": known(has, run.spec_hash),
    }


def of_run(run: RunFacts, record: ResultRecord) -> dict[str, Known]:
    """What a run's manifest tells of its records."""
    count = run.groups.get(record.key.group, 0)
    told = f"the manifest has {count} of group {shown(record.key.group)}, from 0"
    return of_opened(run, record) | {
        "group": known("the manifest has", *run.groups),
        "index": Known(range(count), told),
        **({"code": known("the manifest has", run.code_sha256)} if run.code_sha256 else {}),
    }


def of_attempt(bound: Iterable[Bound], record: ResultRecord, sites: Mapping[str, Site]) -> dict[str, Known]:
    """What the run log tells: which attempts the slot has, where they are bound, and the children that they have."""
    by_number = {one.number: one for one in bound}
    found = {"attempt": known("the run log has", *by_number)}
    one = by_number.get(record.attempt)
    if one is not None:
        found["region"] = known("the run log has it in", *_names(sites, one.region))
        if one.job_id:
            found["child"] = known("the run log has", one.job_id)
    return found


def of_refused(bound: Iterable[Bound], record: ResultRecord) -> dict[str, Known]:
    """What the run log tells of an attempt whose record was refused: it isn't believed later, when less is known."""
    refused = next((one.refused for one in bound if one.number == record.attempt), "")
    return {"attempt": Known((), f"the run log has it as failed: {refused}")} if refused else {}


def of_allocation(allocation: Allocation, node: Node | None, *, names_node: bool = True) -> dict[str, Known]:
    """What Nomad tells of an allocation. `names_node` False: its tasks don't know the node by Nomad's name for it."""
    has = "Nomad has"
    found = {
        "allocation": known(has, allocation.id),
        "child": known(has, allocation.job_id),
        "group": known(has, allocation.group),
        "index": known(has, allocation.index),
    }
    nodes = {allocation.node_name, node.name if node else ""} - {""}
    if nodes and names_node:
        found["node"] = known(has, *sorted(nodes))
    if node is not None:
        found["datacenter"] = known(has, node.datacenter)
    return found


def of_place(sites: Mapping[str, Site], record: ResultRecord, found_in: str = "") -> dict[str, Known]:
    """What fedml.toml tells of the place that the record names, and (`found_in`) the store in which it was found."""
    has = "fedml.toml has"
    site = next((site for site in sites.values() if record.region in site.names), None)
    if site is None:
        return {"region": known(has, *(site.names[0] for site in sites.values()))}
    found = {"datacenter": known(f"{has} for region {record.region}", *site.stores)}
    url = site.stores.get(record.datacenter)
    if url is not None:
        found["store"] = known(f"{has} for {record.region}/{record.datacenter}", store_name(url))
        claimed, own = endpoint_of(record.store), endpoint_of(url)
        if not (_is_loopback(claimed) and _is_loopback(own)):
            found["endpoint"] = Known(("", own), f"{has} {own or 'none'} for that store")
        if found_in and store_name(found_in) != store_name(url):
            found["store"] = Known((), f"it was found in {store_name(found_in)}, and the store of its place is {url}")
    return found


def of_plain_child(record: ResultRecord) -> dict[str, Known]:
    """What the name of a plain-Nomad run, `nomad:REGION:CHILD`, tells of its only slot's records."""
    return {
        "run": known("its region and child make it", ad_hoc_run(record.region, record.job_id)),
        "slot": known("a run of plain Nomad has slot", 0),
        "attempt": known("a run of plain Nomad has attempt", 1),
        "job": known("its child is of job", _INHERITED.split(record.job_id)[0]),
    }


def of_child_name(record: ResultRecord) -> dict[str, Known]:
    """What the name of the child tells of the job, where nothing else does; an isolated run's has its spec hash too."""
    job = _INHERITED.split(record.job_id)[0]
    return {"job": known("its child is of job", job, job.removesuffix(f"-{record.spec_hash[:8]}"))}


def of_params(meta: Mapping[str, str]) -> dict[str, Known]:
    """What the dispatch's meta tells of a record's parameters. A parameter that the dispatch didn't give stays a claim."""
    values: dict[str, list[str]] = {}
    for name, value in meta.items():
        values.setdefault(re.sub(r"[^A-Za-z0-9_]", "_", name), []).append(value)  # as Nomad names the variable
    found = {
        f"parameter {name}": known("the dispatch gave", *given)
        for name, given in values.items()
        if not any("${" in value for value in given)  # Nomad replaces such a part on the node
    }
    with suppress(ForeignTextError):  # somebody else dispatched it
        inner = params_of(meta.get(PARAMS_KEY) or "{}")
        found |= {f"parameter {name}": known("the dispatch gave", value) for name, value in inner.items()}
    return found


def sites_of(regions: Mapping[str, Region]) -> dict[str, Site]:
    """The regions of fedml.toml. Nomad's name for one counts where no other region is called so."""
    return {
        name: Site(
            (name,) if region.nomad_region in regions else (name, region.nomad_region),
            {one.name: store_url(one.store) for one in region.datacenters.values()},
        )
        for name, region in regions.items()
    }


def _names(sites: Mapping[str, Site], region: str) -> tuple[str, ...]:
    return sites[region].names if region in sites else (region,)


def _is_loopback(endpoint: str) -> bool:
    try:
        host = urlsplit(endpoint).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
