"""Makes records of what jobs wrote themselves, where `adopt` in fedml.toml says that it lies. Copies nothing.

`AdoptedPlaces` are the regions and stores of a run whose results are adopted. No record is read: one is made of the object
that the pattern names for an allocation.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from federation.app import App
from federation.config.adopted_places import AdoptedPlace, adopted_places
from federation.config.model import Config
from federation.deploy.prepare import PreparedJob
from federation.errors import UsageError
from federation.home import run_log
from federation.log import Log
from federation.manifest import Manifest
from federation.publish.adopt_pattern import Pattern
from federation.publish.artifact import fitting_metrics, fitting_texts, read_data, read_environment, read_metrics
from federation.publish.in_place import read_objects
from federation.result import ADOPTED, Key, ResultRecord
from federation.run.brain.changes import Alloc, parse_entry
from federation.run.slot_inputs import inputs_of
from federation.workflows.run_access import Places
from jobs.dispatch_meta import looks_secret
from jobs.errors import FedmlError
from jobs.frozen import frozen
from regions.model import Allocation, StoreConfig
from regions.storage import Store, store_url
from regions.storage.backend import backend_of
from regions.storage.errors import InvalidStoreURL, NotFound
from regions.storage.store import ObjectInfo

OpenStore = Callable[[StoreConfig], Store]


@frozen
class Objects:
    """Objects of one store that together are one result. Their keys begin with `prefix`."""

    config: StoreConfig
    store: Store
    prefix: str
    infos: tuple[ObjectInfo, ...]


class AdoptedPlaces(Places):
    """The regions and stores of a run that adopts. Its methods may be called from several threads."""

    def __init__(self, app: App, manifest: Manifest, prepared: PreparedJob) -> None:
        super().__init__(app, manifest, prepared)
        self._run_log = run_log(app.home, manifest.run)
        self._mapped: dict[str, tuple[int, Key]] = {}
        self._inputs = inputs_of(manifest, app.home)

    def read(self, region: str, key: Key, allocation: Allocation) -> ResultRecord | None:
        """Makes a record of what the allocation wrote, if it is there. Raises StoreError and StoreRefused."""
        try:
            child = self._app.client(region).job(allocation.job_id)
        except FedmlError:  # without the region's meta the object may not be found; then it is asked again
            child = {}
        pair = self._manifest.child_of(child)
        return self._found(region, key, pair[1] if pair else 1, allocation.id, child.get("Meta") or {}, allocation)

    def search(self, region: str, slot: int) -> Sequence[ResultRecord]:
        """Makes records of all that the slot's allocations wrote. The run log also has those that Nomad forgot."""
        with self._lock:
            self._mapped |= mapped_in(self._run_log, self._manifest.run)
            mapped = [(alloc_id, *known) for alloc_id, known in self._mapped.items() if known[1].slot == slot]
        found = (self._found(region, key, attempt, alloc_id, {}) for alloc_id, attempt, key in mapped)
        return [record for record in found if record is not None]

    def _found(
        self,
        region: str,
        key: Key,
        attempt: int,
        alloc_id: str,
        meta: Mapping[str, str],
        allocation: Allocation | None = None,
    ) -> ResultRecord | None:
        manifest = self._manifest
        meta = {**meta, **self._inputs(key.slot)[0]}  # what the region says fills gaps only
        named = {
            "alloc_id": alloc_id,
            "version": manifest.version,
            "job": manifest.job,
            "group": key.group,
            "alloc_index": str(key.index),
            "node": allocation.node_name if allocation else "",
        }
        for place in self._places(region, allocation):
            objects = find(place, meta | named, self._open)
            if objects is None:
                continue
            template = ResultRecord(
                key=key,
                attempt=attempt,
                job=manifest.job,
                version=manifest.version,
                spec_hash=manifest.spec_hash,
                region=region,
                datacenter=place.datacenter.name,
                node=named["node"],
                alloc_id=alloc_id,
                job_id=allocation.job_id if allocation else "",
                store="",
                manifest_sha256="",
                files=(),
                created="",
                params=params_of(meta, self._prepared.shape.version_key),
            )
            return recorded(template, objects, place.pattern)
        return None

    def _places(self, region: str, allocation: Allocation | None) -> list[AdoptedPlace]:
        """Where the allocation's datacenter writes; all of the region's where the node isn't known."""
        places = adopted_places(self._app.config, region)
        node = self._node(region, allocation.node_id) if allocation is not None and len(places) > 1 else None
        own = [place for place in places if node is not None and place.datacenter.name == node.datacenter]
        return own or places

    def _open(self, config: StoreConfig) -> Store:
        with self._lock:
            return self._app.store(config)


def mapped_in(run_log: Log, run: str) -> dict[str, tuple[int, Key]]:
    """Reads from the new entries of a run's log: attempt and key by allocation."""
    return {
        change.alloc_id: (change.attempt, Key(run, change.slot, change.group, change.index))
        for entry in run_log.refresh()
        for change in parse_entry(entry.changes)
        if isinstance(change, Alloc)
    }


def check_adoption(config: Config, prepared: PreparedJob, meta: Mapping[str, str]) -> None:
    """Raises UsageError where a region's pattern names a value that a dispatch of this job with this meta would lack, and
    StoreRefused where the values name a store that fedml.toml doesn't have for the region."""
    for region, rendered in prepared.rendered.items():
        own = {} if isinstance(rendered, FedmlError) else rendered.get("Meta") or {}
        values = {**own, **{name: value for name, value in meta.items() if value}}
        lacking = [name for name in config.adopt[region].meta_keys if not values.get(name)]
        if lacking:
            declared = ", ".join(prepared.shape.declared_meta) or "none"
            raise UsageError(
                f"adopt in fedml.toml finds results by {{{'}, {'.join(lacking)}}}, and this dispatch has no such meta: "
                f"nothing that region {region} writes would be found",
                hint=f"give it:  -meta {lacking[0]}=…   the job declares: {declared}",
            )
        for place in adopted_places(config, region):
            text = place.pattern.prefix({**values, **place_values(place), "job": prepared.shape.id})
            if "://" in text and text.count("/") > 1 + (
                backend_of(text).place_segments or 1
            ):  # it has the whole bucket
                place.located(text)


def place_values(place: AdoptedPlace) -> dict[str, str]:
    """The values of a name that fedml.toml gives."""
    return {"region": place.region, "datacenter": place.datacenter.name}


def find(place: AdoptedPlace, values: Mapping[str, str], opened: OpenStore) -> Objects | None:
    """The objects of the result with these values; None where there are none. Raises StoreError, and StoreRefused for a
    store that fedml.toml doesn't have."""
    values = {**values, **place_values(place)}
    name = place.pattern.name(values)
    text = name if name is not None else place.pattern.prefix(values)
    config, key = place.located(text)
    store = opened(config)
    prefix = key[: key.rfind("/") + 1]
    try:
        if name is not None:
            return Objects(config, store, prefix, (store.stat(key),))
        before = text.removesuffix(key)
        infos = tuple(info for info in store.list(key) if place.pattern.match(before + info.key, values) is not None)
    except (NotFound, InvalidStoreURL):  # nothing can be there by a name that is not a valid key
        return None
    return Objects(config, store, prefix, infos) if infos else None


def recorded(template: ResultRecord, objects: Objects, pattern: Pattern) -> ResultRecord:
    """The template with the objects' files, and with the metrics and environment that lie among them. Raises StoreError."""
    with tempfile.TemporaryDirectory(prefix="fedml-adopt-") as folder:
        texts = Path(folder)
        artifact = read_objects(objects.store, objects.prefix, objects.infos, texts)
        metrics = {**template.metrics, **read_metrics(texts)[0]}
        environment = read_environment(texts)[0] | read_data(texts)[0] | {ADOPTED: pattern.text}
    written = max((info.modified for info in objects.infos if info.modified), default=datetime.now(UTC))
    return replace(
        template,
        store=store_url(objects.config),
        prefix=objects.prefix,
        files=artifact.files,
        manifest_sha256=artifact.manifest_sha256,
        created=written.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        metrics=fitting_metrics(metrics)[0],
        environment=fitting_texts(environment, "environment")[0],
    )


def params_of(meta: Mapping[str, str], *others: str) -> dict[str, str]:
    """The meta as a record's parameters, without fedml's own keys, without what looks like a credential, and without
    `others`."""
    return {
        name: value
        for name, value in sorted(meta.items())
        if value and name not in others and not name.lower().startswith("fedml_") and not looks_secret(name)
    }
