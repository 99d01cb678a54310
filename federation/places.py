"""Regions and stores as a run's coordinator asks them: a region's room enters as an event, records by key or by slot.

`read` finds the record of one allocation in the store of its datacenter or, where that can't be read from here, through
Nomad. What a record says of itself is checked against its place: it was written on a node.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from federation import capacity
from federation.app import App, PreparedJob
from federation.errors import PublishError, UsageError
from federation.index import checked_record
from federation.neighbours import Neighbours, claim_of
from federation.plan import Reason
from federation.result import Key, ResultRecord
from federation.routes import Routes
from federation.run.events import RegionProbed
from federation.run.manifest import Manifest
from federation.watch import watch
from jobs.errors import FedmlError
from regions.errors import NotFound as NotFoundInRegion
from regions.errors import PermissionDenied as DeniedByRegion
from regions.model import Allocation, Node
from regions.storage.errors import NotFound, PermissionDenied, Unavailable
from regions.storage.store import Store

if TYPE_CHECKING:
    from regions.nomad import NomadRegion


class Places:
    """The regions and stores of one run. Its methods may be called from several threads."""

    def __init__(self, app: App, manifest: Manifest, prepared: PreparedJob) -> None:
        self._app = app
        self._manifest = manifest
        self._prepared = prepared
        self._nodes: dict[str, dict[str, Node]] = {}
        self._neighbours = Neighbours(app, claim_of(manifest))
        self._lock = threading.Lock()
        self.routes = Routes(app.config.regions, manifest.regions, app.client, grace_s=app.config.grace_s)

    def probe(self, region: str) -> RegionProbed:
        """The region's room for the run's job, and how many of its children the region keeps."""
        rendered = self._prepared.rendered[region]
        client = self.routes[region]
        one = capacity.look(
            client, rendered, self._prepared.shape, diff=False, allow_preemption=self._manifest.allow_preemption
        )
        if one.problem is None:
            free = self._neighbours.part({region: one.free})[region]
            try:
                return RegionProbed(region, free or -one.queued, children=self._children(client))
            except FedmlError as error:
                return RegionProbed(region, 0, f"{Reason.UNREACHABLE}: {error.message}")
        problem = f"{one.problem}: {one.detail}"
        is_passing = one.problem in (Reason.UNREACHABLE, Reason.REFUSED)
        return RegionProbed(
            region, 0, problem, is_fatal=not is_passing, is_denied=one.problem is Reason.REFUSED
        )  # fmt: skip

    def _children(self, client: NomadRegion) -> int:
        """How many children the region keeps; 0 where it knows no such job, or the token may not read it."""
        with suppress(NotFoundInRegion, DeniedByRegion):
            counts = client.summary(self._manifest.parent_id).get("Children") or {}
            return sum(int(counts.get(status) or 0) for status in ("Pending", "Running", "Dead"))
        return 0

    def read(self, region: str, key: Key, allocation: Allocation) -> ResultRecord | None:
        """From the store of the allocation's datacenter, or, where that can't be read from here, through Nomad."""
        name = key.record_key(allocation.id)
        denied: PermissionDenied | Unavailable | None = None
        for store in self._stores(region, allocation):
            try:
                return _believed(ResultRecord.from_json(store.get(name), source=store.url_of(name)), key, allocation.id)
            except NotFound:
                continue
            except PublishError:
                return None
            except (PermissionDenied, Unavailable) as error:
                denied = error
        if denied is None:
            return None
        try:
            text = self.routes[region].read_file(allocation.id, "alloc/fedml/result.json")
        except (NotFoundInRegion, DeniedByRegion):
            raise denied from None
        try:
            return _believed(ResultRecord.from_json(text, source=f"allocation {allocation.id}"), key, allocation.id)
        except PublishError:
            return None

    def search(self, region: str, slot: int) -> Sequence[ResultRecord]:
        prefix = f"results/{self._manifest.run}/{slot:09d}/"
        found = []
        for store in self._stores(region, None):
            for info in store.list(prefix):
                with suppress(PublishError, NotFound, UsageError):
                    record = ResultRecord.from_json(store.get(info.key), source=store.url_of(info.key))
                    if record.key.record_key(record.alloc_id) == info.key:
                        found.append(checked_record(record))
        return found

    def watch(
        self,
        region: str,
        on_allocation: Callable[[Allocation], None],
        on_heard: Callable[[bool], None],
        on_listed: Callable[[Collection[str]], None],
        stop: threading.Event,
    ) -> None:
        from regions.nomad import allocation_from_json

        def heard(is_room_likely: bool) -> None:
            self.routes.is_direct(region)
            on_heard(is_room_likely)

        watch(
            self._app.client(region),
            self._manifest.parent_id,
            on_allocation=on_allocation,
            on_heard=heard,
            on_listed=on_listed,
            parse=lambda event: allocation_from_json(event.payload),
            stop=stop,
        )

    def _stores(self, region: str, allocation: Allocation | None) -> list[Store]:
        """The store of the allocation's datacenter; all of the region's where the node isn't known."""
        datacenters = self._app.config.regions[region].datacenters
        stores = [datacenter.store for datacenter in datacenters.values()]
        if allocation is not None and len(set(stores)) > 1:
            node = self._node(region, allocation.node_id)
            if node is not None and node.datacenter in datacenters:
                stores = [datacenters[node.datacenter].store]
        with self._lock:
            return [self._app.store(store) for store in dict.fromkeys(stores)]

    def _node(self, region: str, node_id: str) -> Node | None:
        if node_id not in self._nodes.get(region, {}):
            try:
                self._nodes[region] = {node.id: node for node in self.routes[region].nodes()}
            except FedmlError:
                return None
        return self._nodes[region].get(node_id)


def _believed(record: ResultRecord, key: Key, alloc_id: str) -> ResultRecord | None:
    """The record, if it says of itself what its place in the store says and makes sense: it was written on a node."""
    try:
        is_own = record.key == key and record.alloc_id == alloc_id
        return checked_record(record) if is_own else None
    except UsageError:
        return None
