"""Compares a result's record, which a node wrote, with what is known without it: manifest, run log, fedml.toml and Nomad.

A record is a claim. `Expected` holds, for each field that something else tells, the values that the field may have; `refusal`
names the first field with another value. Pure. docs/explanation/security.md has the table of fields.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from federation.result import ADOPTED, CODE_SHA256, UNVERSIONED, ResultFile, ResultRecord, ad_hoc_run, store_name
from jobs.code_run import PARAMS_KEY, params_of
from jobs.errors import ForeignTextError
from regions.model import Allocation, Node, Region
from regions.storage.errors import InvalidStoreURL
from regions.storage.store import checked_key
from regions.storage.url import store_url

AD_HOC = "nomad:"
_INHERITED = re.compile(r"/(?:dispatch|periodic)-")
_RESERVED = ("artifacts/", "code/", "format.json", "index/", "results/", "runs/")
"""Keys below which only fedml writes: nothing there is an artifact in place."""
_SHA256 = re.compile("[0-9a-f]{64}")
_TOLD_CHARS = 80


@dataclass(frozen=True, slots=True)
class Known:
    """The values that a field may have. `told` ends the sentence of a refusal: who knows them, and which they are."""

    values: Container[object]
    told: str


Expected = Mapping[str, Known]
"""What is known, by field (see `fields_of`). A field that nothing else tells is left out: there the node is believed."""


@dataclass(frozen=True, slots=True)
class Site:
    """One region as fedml.toml has it: its own name first, then the one that Nomad knows; store URL by datacenter."""

    names: tuple[str, ...]
    stores: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Bound:
    """One attempt of a slot, as the run log has it; `job_id` is its child, "" where the log names none; `refused` is why
    its record was refused, "" where none was."""

    number: int
    region: str
    job_id: str = ""
    refused: str = ""


class OpenedRun(Protocol):
    """What the index knows of a run."""

    @property
    def run(self) -> str: ...
    @property
    def job(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def spec_hash(self) -> str: ...
    @property
    def slots(self) -> int: ...


class RunFacts(OpenedRun, Protocol):
    """The part of a run's manifest that records are compared with."""

    @property
    def groups(self) -> Mapping[str, int]: ...
    @property
    def code_sha256(self) -> str:
        """Of a run of `fedml run`: its code; else empty."""


def fields_of(record: ResultRecord) -> dict[str, object]:
    """The fields of a record that may be compared, in the order in which a refusal looks at them."""
    key = record.key
    return {
        "run": key.run,
        "slot": key.slot,
        "group": key.group,
        "index": key.index,
        "attempt": record.attempt,
        "allocation": record.alloc_id,
        "child": record.job_id,
        "job": record.job,
        "version": record.version,
        "spec hash": record.spec_hash,
        "region": record.region,
        "datacenter": record.datacenter,
        "node": record.node,
        "store": store_name(record.store),
        "endpoint": _endpoint(record.store),
        "code": record.environment.get(CODE_SHA256, ""),
        **{f"parameter {name}": value for name, value in record.params.items()},
    }


def refusal(record: ResultRecord, *expected: Expected) -> str:
    """Says why a record isn't believed; empty for one that agrees with everything known."""
    return difference(record, *expected) or contradiction(record)


def difference(record: ResultRecord, *expected: Expected) -> str:
    """Names the first field that isn't as expected; empty where there is none."""
    claims = fields_of(record)
    for one in expected:
        for name, claimed in claims.items():
            if name in one and claimed not in one[name].values:
                return f"its record says {name} {_shown(claimed)}; {one[name].told}"
    return ""


def contradiction(record: ResultRecord) -> str:
    """Says why a record contradicts itself; empty for one that doesn't."""
    problem = files_problem(record.files)
    if problem:
        return f"its record {problem}"
    if not record.has_its_manifest:
        return "the files that its record names don't have the record's manifest hash"
    if ADOPTED in record.environment:
        return "its record says that it was adopted, which only the index may say"
    if record.prefix is None:
        return ""
    own = f"artifacts/{record.key.path}/{record.alloc_id}/"
    if record.prefix and not record.prefix.endswith("/"):
        return f"its record says prefix {_shown(record.prefix)}, which doesn't end with '/'"
    for key in (record.prefix, *(record.prefix + file.path for file in record.files)):
        segments = key.removesuffix("/").split("/")
        if key and any(segment in ("", ".", "..") for segment in segments):
            return f"its record says prefix {_shown(record.prefix)}, which can leave its folder"
        if key.startswith(_RESERVED) and not key.startswith(own):
            return f"its record says prefix {_shown(record.prefix)}; what lies there is fedml's own, not this result's"
    return ""


def files_problem(files: Iterable[ResultFile]) -> str:
    """Why these can't be the files of one folder (`names …`); empty for files that can."""
    paths: set[str] = set()
    for file in files:
        if {type(file.path), type(file.sha256)} - {str}:
            return "names a file by something else than a text"
        try:
            checked_key(file.path)
        except InvalidStoreURL as error:
            return f"names a file that would leave its folder ({error})"
        if not _SHA256.fullmatch(file.sha256):
            return f"names {_shown(file.path)} with sha256 {_shown(file.sha256)}, which isn't 64 hexadecimal digits"
        if file.path in paths:
            return f"names the file {_shown(file.path)} twice"
        paths.add(file.path)
    for path in paths:
        folders = path.split("/")[:-1]
        if any("/".join(folders[:depth]) in paths for depth in range(1, len(folders) + 1)):
            return f"names {_shown(path)} inside another file"
    return ""


# ── what is known ─────────────────────────────────────────────────────────────────────────────────────────────────────


def known(told: str, *values: object) -> Known:
    """Makes a `Known` of these values; `told` says who knows them."""
    return Known(values, f"{told} {' or '.join(map(_shown, values)) or 'nothing'}")


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
    told = f"the manifest has {count} of group {_shown(record.key.group)}, from 0"
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
        claimed, own = _endpoint(record.store), _endpoint(url)
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


def _endpoint(url: str) -> str:
    return next(iter(parse_qs(url.partition("?")[2]).get("endpoint", ())), "")


def _is_loopback(endpoint: str) -> bool:
    try:
        host = urlsplit(endpoint).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _TOLD_CHARS else f"{text[:_TOLD_CHARS]}…"
