"""Makes records of results that older pipelines wrote, for `index sync --adopt`. Copies nothing.

An object's name says which allocation wrote it (`{alloc_id}`). An allocation of a fedml run that adopted keeps its key, from
that run's log. One that Nomad still knows is the ad-hoc run of its child. Any other is an ad-hoc run of its own.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from federation.app import App
from federation.claims import difference, of_child_name
from federation.config.adopted_places import AdoptedPlace, adopted_places
from federation.deploy.prepare import JobRequest
from federation.errors import UsageError
from federation.home import read_manifest, run_log
from federation.index import checked_record
from federation.index.maintenance.problem import Problem
from federation.index.maintenance.sync import SyncPlan
from federation.index.rows import OPEN
from federation.manifest import Manifest
from federation.publish.adopt_pattern import FIELDS, Field
from federation.result import UNVERSIONED, Key, ResultRecord, ad_hoc_run
from federation.run.brain.causes import cause_of, has_ended_well
from federation.workflows.adopt import Objects, mapped_in, params_of, place_values, recorded
from jobs.errors import FedmlError
from jobs.frozen import frozen
from regions.model import Allocation
from regions.storage.store import ObjectInfo, Store

ADOPTED_GROUP = "adopted"
"""The group of a result whose allocation Nomad and all run logs have forgotten."""
_BY_HAND = "move or remove these objects if they aren't of use"

Mapped = dict[str, tuple[Manifest, int, Key, bool]]
"""By allocation: the run's manifest, the attempt, the key, and whether the run is open."""


@dataclass(slots=True)
class OldResults:
    """`records` can be committed. `in_flight` counts results of open runs, whose coordinator adopts them (`fedml runs
    resume`), and of allocations that still write. `problems` say what couldn't be read."""

    records: list[ResultRecord] = field(default_factory=list)
    in_flight: int = 0
    problems: list[tuple[str, str, str]] = field(default_factory=list)
    """Where, what, and how to mend it"""


@frozen
class _Found:
    """The objects of one allocation, and the values that their names hold."""

    place: AdoptedPlace
    values: dict[str, str]
    objects: Objects


def find_old(app: App, job: str, *, known: Collection[str]) -> OldResults:
    """Finds what lies where the patterns say, but for allocations that are `known`. Writes nothing. A store or region that
    doesn't answer is a problem in the answer."""
    search = _Search(app, job, set(known))
    for region in app.config.adopt:
        for place in adopted_places(app.config, region):
            search.take_in(place)
    return search.result


class _Search:
    """One search of all places, with what it has taken in."""

    def __init__(self, app: App, job: str, taken: set[str]) -> None:
        self.result = OldResults()
        self._app = app
        self._job = job
        self._taken = taken
        self._allocations = _allocations(app)

    @cached_property
    def _mapped(self) -> Mapped:
        return _mapped(self._app, self._job)

    def take_in(self, place: AdoptedPlace) -> None:
        """Adds what lies in one place."""
        try:
            listed = _listed(place, self._app)
        except FedmlError as error:
            what = f"what jobs of {place.region}/{place.datacenter.name} wrote can't be listed: {error.message}"
            self._add_problem(place, what, error.hint or "fedml stores check")
            return
        for alloc_id, found in sorted(listed.items()):
            region, allocation = self._allocations.get(alloc_id, (place.region, None))
            if alloc_id in self._taken or region != place.region:
                continue
            self._taken.add(alloc_id)
            if self._is_in_flight(alloc_id, allocation):
                self.result.in_flight += 1
            elif allocation is not None and not has_ended_well(allocation):
                why = cause_of(allocation)[1]
                self._add_problem(
                    place, f"allocation {alloc_id} didn't end well ({why}): what it wrote may be half-written", _BY_HAND
                )
            else:
                self._record(alloc_id, found, allocation)

    def _is_in_flight(self, alloc_id: str, allocation: Allocation | None) -> bool:
        is_writing = allocation is not None and allocation.client_status in ("pending", "running")
        return is_writing or (alloc_id in self._mapped and self._mapped[alloc_id][-1])

    def _record(self, alloc_id: str, found: _Found, allocation: Allocation | None) -> None:
        if alloc_id in self._mapped:
            template = _of_run(*self._mapped[alloc_id][:3], found)
        else:
            template = _ad_hoc(alloc_id, self._job, found, allocation)
        try:
            self.result.records.append(_believed(recorded(template, found.objects, found.place.pattern), allocation))
        except FedmlError as error:
            self._add_problem(found.place, error.message, error.hint or "fedml index sync --adopt again")

    def _add_problem(self, place: AdoptedPlace, what: str, mend: str) -> None:
        self.result.problems.append((f"{place.region}/{place.datacenter.name}", what, mend))


def _believed(record: ResultRecord, allocation: Allocation | None) -> ResultRecord:
    """Compares the record with what Nomad or the run's manifest knows: its values are from the object's name, which whoever
    wrote the object chose. Raises UsageError where they differ or can't be so."""
    checked_record(record)
    expected = {} if allocation is None or record.spec_hash else of_child_name(record)
    if reason := difference(record, expected):
        raise UsageError(f"result {record.alloc_id} isn't believed: {reason}", hint="it is left out")
    return record


def add_old(plan: SyncPlan, app: App, job: str) -> None:
    """Adds what lies where the patterns say to what `sync` would do. `job`: its file or ID, where it isn't the project's.

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


def _listed(place: AdoptedPlace, app: App) -> dict[str, _Found]:
    values = place_values(place)
    pattern, text = place.pattern, place.pattern.prefix(values)
    config, key = place.located(text)
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
        found[alloc_id] = _Found(place, match, Objects(config, store, prefix, tuple(infos)))
    return found


def _allocations(app: App) -> dict[str, tuple[str, Allocation]]:
    """Allocations that Nomad still knows, by ID, each with its region. Regions that don't answer are passed over."""
    found: dict[str, tuple[str, Allocation]] = {}
    for region in app.config.adopt:
        try:
            allocations, _ = app.client(region).allocations()
        except FedmlError:
            continue
        found |= {one.id: (region, one) for one in allocations}
    return found


def _mapped(app: App, job: str) -> Mapped:
    """The allocations of all runs of the job that adopted."""
    found: Mapped = {}
    for row in app.index.runs(job=job or None):
        try:
            manifest = read_manifest(app.home, row.run)
            if manifest.results == "adopt":
                mapped = mapped_in(run_log(app.home, row.run), row.run)
                found |= {each: (manifest, *known, row.state == OPEN) for each, known in mapped.items()}
        except FedmlError:
            continue
    return found


def _of_run(manifest: Manifest, attempt: int, key: Key, found: _Found) -> ResultRecord:
    meta = {**manifest.meta, **{name: value for name, value in found.values.items() if name in manifest.meta}}
    return _template(
        found,
        key=key,
        attempt=attempt,
        job=manifest.job,
        version=manifest.version,
        spec_hash=manifest.spec_hash,
        params=params_of(meta, *(name for name, value in meta.items() if value == manifest.version)),
    )


def _ad_hoc(alloc_id: str, job: str, found: _Found, allocation: Allocation | None) -> ResultRecord:
    values, region = found.values, found.place.region
    group = allocation.group if allocation else values.get("group", ADOPTED_GROUP)
    index = allocation.index if allocation else int(values.get("alloc_index", "0"))
    child = allocation.job_id if allocation else ""
    return _template(
        found,
        key=Key(ad_hoc_run(region, child or alloc_id), 0, group, index),
        attempt=1,
        job=values.get("job", job),
        version=values.get("version", UNVERSIONED),
        spec_hash="",
        params=params_of({name: value for name, value in values.items() if name not in FIELDS}),
        job_id=child,
        node=allocation.node_name if allocation else values.get("node", ""),
    )


def _template(found: _Found, **given: Any) -> ResultRecord:
    """A record without its objects."""
    empty: dict[str, Any] = {"node": "", "job_id": "", "store": "", "manifest_sha256": "", "files": (), "created": ""}
    of_place = {**place_values(found.place), "alloc_id": found.values["alloc_id"]}
    return ResultRecord(**(empty | of_place | given))
