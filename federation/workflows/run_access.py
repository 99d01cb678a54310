"""Regions and stores of a run, as its coordinator asks them: free room, signs of life, records by key or by slot.

`read` finds the record of one allocation in the store of its datacenter or, where that can't be read from here, through
Nomad. A record is returned as its node wrote it: `federation.run.records` compares it with what is known.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from federation import capacity
from federation.app import App, PreparedJob
from federation.errors import FederationError, FormatTooNew, PublishError, UsageError
from federation.index import checked_record
from federation.manifest import Manifest
from federation.plan import Budget, Reason
from federation.result import RECORD_BYTES_MAX, Key, ResultRecord
from federation.run.brain.events import RegionProbed
from federation.run.region_watch import watch
from federation.run.routes import Routes
from federation.workflows.first_questions import children_of
from federation.workflows.other_runs import OtherRuns, claim_of
from jobs.errors import FedmlError
from regions.errors import NotFound as NotFoundInRegion
from regions.errors import PermissionDenied as DeniedByRegion
from regions.model import Allocation, Event, Node
from regions.storage.errors import NotFound, PermissionDenied, TooLarge, Unavailable
from regions.storage.store import Store

BAD_RECORD = (PublishError, UsageError, FormatTooNew)
LEFT_RECORD = "alloc/fedml/result.json"
"""Where `publish` leaves the record in the allocation's folder."""
NODES_AGAIN_S = 10.0
"""The shortest time between two requests for a region's nodes."""


def _record_at(store: Store, key: str) -> ResultRecord:
    """Reads the record at that key, and no more bytes than a record may have. Raises StoreError and what `BAD_RECORD`
    lists."""
    try:
        text = store.get_small(key, limit_bytes=RECORD_BYTES_MAX)
    except TooLarge as error:
        raise PublishError(f"{store.url_of(key)} is not a record: {error.message}") from error
    return checked_record(ResultRecord.from_json(text, source=store.url_of(key)))


class Places:
    """The regions and stores of one run. Its methods may be called from several threads."""

    def __init__(self, app: App, manifest: Manifest, prepared: PreparedJob) -> None:
        self._app = app
        self._manifest = manifest
        self._prepared = prepared
        self._nodes: dict[str, dict[str, Node]] = {}
        self._nodes_at_s: dict[str, float] = {}
        self._other_runs = OtherRuns(app, claim_of(manifest))
        self._lock = threading.Lock()
        self.ended: Callable[[Mapping[str, Any]], None] = lambda payload: None
        """Called with the JSON of each allocation of the job that is over, as its region's events have it."""
        self.routes = Routes(app.config.regions, manifest.regions, app.client, grace_s=app.config.grace_s)

    def probe(self, region: str, slots: int) -> RegionProbed:
        """Asks for the region's room for so many slots of the run's job, and for those that other runs want beside it, and how
        many of its children the region keeps."""
        rendered = self._prepared.rendered[region]
        client = self.routes[region]
        one = capacity.look(
            client,
            rendered,
            self._prepared.shape,
            wanted=slots + self._other_runs.wanted(),
            diff=False,
            allow_preemption=self._manifest.allow_preemption,
        )
        if one.problem is None:
            free = self._other_runs.part({region: one.free})[region]
            try:
                return RegionProbed(
                    region,
                    free or -one.queued,
                    children=children_of(client, self._manifest.parent_id),
                    budgets=self._other_runs.budgets(),
                    is_least=one.exactness == "at_least",
                )
            except FedmlError as error:
                return RegionProbed(region, 0, f"{Reason.UNREACHABLE}: {error.message}")
        problem = f"{one.problem}: {one.detail}"
        is_passing = one.problem in (Reason.UNREACHABLE, Reason.SLOW, Reason.REFUSED)
        return RegionProbed(
            region, 0, problem, is_fatal=not is_passing, is_denied=one.problem is Reason.REFUSED
        )  # fmt: skip

    def budgets(self, region: str) -> tuple[Budget, ...]:
        """What `[shares]` leaves for the run, once its bindings in the region are in its log. Raises FedmlError where the other
        runs can't be read."""
        return self._other_runs.budgets_after_binding(region)

    def read(self, region: str, key: Key, allocation: Allocation) -> ResultRecord | None:
        """Reads the record as the node wrote it: from the store of the allocation's datacenter, or, where that can't be
        read from here, through Nomad. Raises PublishError or UsageError for what isn't a record, StoreError."""
        name = key.record_key(allocation.id)
        denied: PermissionDenied | Unavailable | None = None
        unreadable: FederationError | None = None
        for store in self._stores(region, allocation):
            try:
                return _record_at(store, name)
            except NotFound:
                continue
            except BAD_RECORD as error:
                unreadable = error
            except (PermissionDenied, Unavailable) as error:
                denied = error
        if unreadable is not None:
            raise unreadable
        if denied is None:
            return None
        try:
            text = self.routes[region].read_file(allocation.id, LEFT_RECORD)
        except (NotFoundInRegion, DeniedByRegion):
            raise denied from None
        return checked_record(ResultRecord.from_json(text, source=f"allocation {allocation.id}"))

    def search(self, region: str, slot: int) -> Sequence[ResultRecord]:
        """Reads what nodes wrote as records of the slot. What isn't a record, or lies at another's key, is left out."""
        prefix = f"results/{self._manifest.run}/{slot:09d}/"
        found = []
        for store in self._stores(region, None):
            for info in store.list(prefix):
                with suppress(NotFound, *BAD_RECORD):
                    record = _record_at(store, info.key)
                    if record.key.record_key(record.alloc_id) == info.key:
                        found.append(record)
        return found

    def node(self, region: str, node_id: str) -> Node | None:
        """The node of that ID, if the region knows it."""
        return self._node(region, node_id)

    def watch(
        self,
        region: str,
        on_allocation: Callable[[Allocation], None],
        on_heard: Callable[[bool], None],
        on_listed: Callable[[Collection[str]], None],
        stop: threading.Event,
    ) -> None:
        from regions.nomad.client import allocation_from_json

        def parse(event: Event) -> Allocation:
            allocation = allocation_from_json(event.payload)
            if allocation.is_over:
                self.ended(event.payload)
            return allocation

        def heard(is_room_likely: bool) -> None:
            self.routes.is_direct(region)
            on_heard(is_room_likely)

        watch(
            self._app.client(region),
            self._manifest.parent_id,
            on_allocation=on_allocation,
            on_heard=heard,
            on_listed=on_listed,
            parse=parse,
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
        is_due = time.monotonic() >= self._nodes_at_s.get(region, float("-inf")) + NODES_AGAIN_S
        if node_id not in self._nodes.get(region, {}) and is_due:
            self._nodes_at_s[region] = time.monotonic()
            try:
                self._nodes[region] = {node.id: node for node in self.routes[region].nodes()}
            except FedmlError:
                return None
        return self._nodes.get(region, {}).get(node_id)
