"""The stores and `adopt` in fedml.toml enter, results that older pipelines wrote leave as records: for `index sync --adopt`.

Whose an object is, its name says (`{alloc_id}`). An allocation of a fedml run that adopted keeps its key, from that run's log;
one that Nomad still knows is the ad-hoc run of its child; any other is an ad-hoc run of its own. Nothing is copied.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from federation.app import App, located
from federation.claims import difference, of_child_name
from federation.deploy.prepare import JobRequest
from federation.errors import UsageError
from federation.home import read_manifest, run_log
from federation.index import checked_record
from federation.index.maintenance.problem import Problem
from federation.index.maintenance.sync import SyncPlan
from federation.index.rows import OPEN
from federation.manifest import Manifest
from federation.publish.adopt_pattern import FIELDS, Field, Pattern
from federation.result import UNVERSIONED, Key, ResultRecord, ad_hoc_run
from federation.workflows.adopt import Objects, mapped_in, params_of, recorded
from jobs.errors import FedmlError
from regions.model import Allocation, Datacenter
from regions.storage.store import ObjectInfo, Store

ADOPTED_GROUP = "adopted"
"""The group of a result whose allocation nobody knows any more."""


@dataclass(slots=True)
class OldResults:
    """`records` can be committed; `in_flight` are of open runs, whose coordinator adopts them (`fedml runs resume`), and of
    allocations that still write; `problems` say what couldn't be looked at."""

    records: list[ResultRecord] = field(default_factory=list)
    in_flight: int = 0
    problems: list[tuple[str, str, str]] = field(default_factory=list)
    """Where, what, and how to mend it"""


@dataclass(frozen=True, slots=True)
class _Found:
    """The objects of one allocation, and the values that their names hold."""

    datacenter: Datacenter
    values: dict[str, str]
    objects: Objects


def find_old(app: App, job: str, *, known: Collection[str]) -> OldResults:
    """What lies where the patterns say, but for allocations that are `known`. Writes nothing; raises nothing for a store or
    region that doesn't answer."""
    result = OldResults()
    allocations = _allocations(app)
    mapped: dict[str, tuple[Manifest, int, Key, bool]] | None = None
    taken = set(known)
    for region, pattern in app.config.adopt.items():
        for datacenter in app.config.regions[region].datacenters.values():
            try:
                found = _listed(pattern, region, datacenter, app)
            except FedmlError as error:
                mend = error.hint or "fedml stores check"
                what = f"what jobs of {region}/{datacenter.name} wrote can't be listed: {error.message}"
                result.problems.append((f"{region}/{datacenter.name}", what, mend))
                continue
            for alloc_id, one in sorted(found.items()):
                where, allocation = allocations.get(alloc_id, ("", None))
                if alloc_id in taken or (where and where != region):
                    continue
                taken.add(alloc_id)
                mapped = _mapped(app, job) if mapped is None else mapped
                is_at_it = allocation is not None and allocation.client_status in ("pending", "running")
                if is_at_it or (alloc_id in mapped and mapped[alloc_id][-1]):
                    result.in_flight += 1
                    continue
                template = _of_run(*mapped[alloc_id][:3], region, one) if alloc_id in mapped else None
                template = template or _ad_hoc(alloc_id, job, region, one, allocation)
                try:
                    result.records.append(_believed(recorded(template, one.objects, pattern), allocation))
                except FedmlError as error:
                    mend = error.hint or "fedml index sync --adopt again"
                    result.problems.append((f"{region}/{datacenter.name}", error.message, mend))
    return result


def _believed(record: ResultRecord, allocation: Allocation | None) -> ResultRecord:
    """The record, whose values an object's name tells, as whoever wrote the object chose it. Raises UsageError where they
    can't be so, or aren't what Nomad or the run's manifest knows."""
    checked_record(record)
    expected = {} if allocation is None or record.spec_hash else of_child_name(record)
    if reason := difference(record, expected):
        raise UsageError(f"result {record.alloc_id} isn't believed: {reason}", hint="it is left out")
    return record


def add_old(plan: SyncPlan, app: App, job: str) -> None:
    """What lies where the patterns say, added to what `sync` would do. `job`: its file or ID, where it isn't the project's.

    Raises UsageError where fedml.toml has no pattern, and what is wrong with the job where a pattern needs to know it.
    """
    if not app.config.adopt:
        raise UsageError(
            "fedml.toml doesn't say where jobs write results themselves",
            hint='add to [federation]:  adopt = "gs://bucket/{save_path}_v{version}_{alloc_id}.json"',
        )
    needs_job = not all(Field("job") in pattern.parts for pattern in app.config.adopt.values())
    name = app.prepare(JobRequest(job)).shape.id if needs_job else ""
    known = set(app.index.ask(lambda catalog: catalog.values("SELECT alloc_id FROM result")))
    old = find_old(app, name, known=known | {record.alloc_id for record in plan.commit})
    plan.commit += old.records
    plan.in_flight += old.in_flight
    plan.problems += [Problem("adopt-unreadable", where, what, mend) for where, what, mend in old.problems]


def _listed(pattern: Pattern, region: str, datacenter: Datacenter, app: App) -> dict[str, _Found]:
    values = {"region": region, "datacenter": datacenter.name}
    text = pattern.prefix(values)
    config, key = located(text, pattern, datacenter.store)
    store: Store = app.store(config)
    before = text.removesuffix(key)
    named: dict[str, tuple[dict[str, str], list[ObjectInfo]]] = {}
    for info in store.list(key):
        match = pattern.match(before + info.key, values) or pattern.match(store.url_of(info.key), values)
        if match is not None:
            named.setdefault(match["alloc_id"], (match, []))[1].append(info)
    found = {}
    for alloc_id, (match, infos) in named.items():
        prefix = min((info.key[: info.key.rfind("/") + 1] for info in infos), key=len)
        found[alloc_id] = _Found(datacenter, match, Objects(config, store, prefix, tuple(infos)))
    return found


def _allocations(app: App) -> dict[str, tuple[str, Allocation]]:
    """What Nomad still knows, by allocation: its region, and itself. Regions that don't answer know none."""
    found: dict[str, tuple[str, Allocation]] = {}
    for region in app.config.adopt:
        try:
            allocations, _ = app.client(region).allocations()
        except FedmlError:
            continue
        found |= {one.id: (region, one) for one in allocations}
    return found


def _mapped(app: App, job: str) -> dict[str, tuple[Manifest, int, Key, bool]]:
    """Manifest, attempt, key and whether the run is open, by allocation, of all runs of the job that adopted."""
    found: dict[str, tuple[Manifest, int, Key, bool]] = {}
    for row in app.index.runs(job=job or None):
        try:
            manifest = read_manifest(app.home, row.run)
            if manifest.results == "adopt":
                mapped = mapped_in(run_log(app.home, row.run), row.run)
                found |= {each: (manifest, *known, row.state == OPEN) for each, known in mapped.items()}
        except FedmlError:
            continue
    return found


def _of_run(manifest: Manifest, attempt: int, key: Key, region: str, one: _Found) -> ResultRecord:
    meta = {**manifest.meta, **{name: value for name, value in one.values.items() if name in manifest.meta}}
    return _template(
        one,
        region,
        key=key,
        attempt=attempt,
        job=manifest.job,
        version=manifest.version,
        spec_hash=manifest.spec_hash,
        params=params_of(meta, *(name for name, value in meta.items() if value == manifest.version)),
    )


def _ad_hoc(alloc_id: str, job: str, region: str, one: _Found, allocation: Allocation | None) -> ResultRecord:
    values = one.values
    group = allocation.group if allocation else values.get("group", ADOPTED_GROUP)
    index = allocation.index if allocation else int(values.get("alloc_index", "0"))
    child = allocation.job_id if allocation else ""
    return _template(
        one,
        region,
        key=Key(ad_hoc_run(region, child or alloc_id), 0, group, index),
        attempt=1,
        job=values.get("job", job),
        version=values.get("version", UNVERSIONED),
        spec_hash="",
        params=params_of({name: value for name, value in values.items() if name not in FIELDS}),
        job_id=child,
        node=allocation.node_name if allocation else values.get("node", ""),
    )


def _template(one: _Found, region: str, **told: Any) -> ResultRecord:
    """A record without its objects."""
    empty: dict[str, Any] = {"node": "", "job_id": "", "store": "", "manifest_sha256": "", "files": (), "created": ""}
    place = {"region": region, "datacenter": one.datacenter.name, "alloc_id": one.values["alloc_id"]}
    return ResultRecord(**(empty | place | told))
