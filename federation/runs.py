"""A dispatch request enters, a finished run leaves: manifest, run log, coordinator and index brought together.

`start` makes a run, `resume` goes on with one; both drive it to its end, and whatever happens in between the run can be
resumed from the home store. The order of writes is DESIGN 3's: `open` in the index, manifest, run log, dispatches.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from federation import capacity
from federation.app import App, JobRequest, PreparedJob
from federation.errors import Interrupted, LogConflict, PublishError, RunCancelled, UsageError
from federation.index import RunRow, checked_record
from federation.index.rows import RUN_STATES_CLOSED
from federation.log import Entry, Log, default_author
from federation.plan import Reason
from federation.result import Key, ResultRecord
from federation.run.brain import Brain, Limits
from federation.run.coordinator import Coordinator, Ports
from federation.run.events import Appended, CancelRequested, Close, Event, RegionProbed, Resumed, Tell
from federation.run.manifest import Manifest, new_run_id
from federation.run.stale import stop_stale
from federation.run.state import Slot
from federation.watch import watch
from jobs.errors import FedmlError
from jobs.spec import check_dispatch
from regions.errors import NotFound as NotFoundInRegion
from regions.errors import PermissionDenied as DeniedByRegion
from regions.model import Allocation, Node
from regions.storage.errors import NotFound, PermissionDenied, Unavailable
from regions.storage.store import Create, Store


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a person asks for. `slots` None: one in each region; `version` None: the next one."""

    job: JobRequest
    slots: int | None = None
    version: str | None = None
    meta: Mapping[str, str] | None = None
    payload: bytes = b""
    allow_secret_meta: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """A run that has its version and manifest; nothing is dispatched yet."""

    manifest: Manifest
    existing_results: int
    """How many results this version had before: they are being added to."""


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended: `state` is done, failed or cancelled."""

    manifest: Manifest
    state: str
    reason: str
    done: int
    failed: int
    failures: Mapping[int, str]
    """Why each failed slot failed."""
    left: Mapping[str, int]
    """Regions that could not be reached, with the attempts that may still run there: see `Runs.stop_stale`."""


@dataclass(frozen=True, slots=True)
class RunStory:
    """A run as it stands: its slots with their attempts. `state` is open, done, failed or cancelled."""

    manifest: Manifest
    state: str
    reason: str
    slots: Sequence[Slot]


class Runs:
    """The runs of one federation."""

    def __init__(self, app: App) -> None:
        self._app = app

    def open(self, request: RunRequest, prepared: PreparedJob, regions: Sequence[str]) -> Opened:
        """Reserve the version and write the manifest. `regions` are those that may be used, in order.

        Raises InvalidMeta or UsageError before anything is written. After a crash between the two writes the index has
        an open run without a manifest: it holds its version and nothing else.
        """
        shape = prepared.shape
        if request.slots is not None and request.slots < 1:
            raise UsageError(f"-n {request.slots}: a run has at least one slot")
        meta = check_dispatch(shape, request.meta or {}, request.payload, allow_secrets=request.allow_secret_meta)
        slots = request.slots or len(regions)
        now = datetime.now(UTC)
        run = new_run_id(int(now.timestamp() * 1000))
        keys = slots * shape.keys_a_slot
        opened = self._app.index.open_run(run, shape.id, request.version, prepared.spec_hash, slots, keys)
        config = self._app.config
        manifest = Manifest(
            run=run,
            job=shape.id,
            job_file=_portable(prepared.file, config.root),
            spec_hash=prepared.spec_hash,
            version=opened.version,
            slots=slots,
            groups=dict(shape.groups),
            regions=tuple(regions),
            one_each=request.slots is None,
            meta={**meta, shape.version_key: opened.version},
            payload=request.payload,
            policy=config.policy,
            results=config.results,
            max_attempts=config.max_attempts,
            author=default_author(),
            created=now.isoformat(timespec="seconds").replace("+00:00", "Z"),
            variables=request.job.variables,
            var_files=tuple(_portable(path, config.root) for path in request.job.var_files),
        )
        self._app.home.put(_manifest_key(run), manifest.to_json(), Create(), content_type="application/json")
        return Opened(manifest, opened.existing_results)

    def start(self, opened: Opened, prepared: PreparedJob, observe: Callable[[Tell], None]) -> RunOutcome:
        """Drive a new run to its end. Raises Interrupted at Ctrl-C."""
        return self._drive(opened.manifest, prepared, (), observe)

    def resume(self, run: str, observe: Callable[[Tell], None], *, cancel: str | None = None) -> RunOutcome:
        """Go on with a run from its log, wherever it was left; with `cancel` (a reason) to end it: recorded first, then
        everything that is open and reachable is stopped. A run that is over is told, not done again."""
        row = self.find(run)
        manifest = self.manifest(row.run)
        log = self._run_log(manifest.run)
        replay = self._replay(log, manifest.run)
        if cancel is not None:
            replay.append(CancelRequested(cancel))
        root = self._app.config.root
        prepared = self._app.prepare(
            JobRequest(
                str(root / manifest.job_file),
                manifest.variables,
                tuple(root / path for path in manifest.var_files),
                manifest.regions,
            )
        )
        return self._drive(manifest, prepared, replay, observe, log)

    def cancel_unstarted(self, run: str, reason: str) -> bool:
        """Close a run that was interrupted before it had a manifest, so before anything of it was dispatched. False, and
        nothing is done, for one that has a manifest."""
        try:
            self._app.home.stat(_manifest_key(run))
        except NotFound:
            self._app.index.close_run(run, "cancelled", reason)
            return True
        return False

    def stop_stale(self, job: str, regions: Sequence[str]) -> dict[str, list[str]]:
        """Stop what runs of this job that are over left in these regions, since they couldn't be reached then; the
        children stopped, by region. Regions that don't answer now are passed over."""
        over = {row.run for row in self._app.index.runs(job=job) if row.state in RUN_STATES_CLOSED}
        return stop_stale([self._app.client(name) for name in regions if name in self._app.config.regions], job, over)

    def story(self, run: str) -> RunStory:
        """A run as its log and the index tell it. Raises UsageError."""
        row = self.find(run)
        manifest = self.manifest(row.run)
        brain = Brain(manifest)
        for event in self._replay(self._run_log(row.run), row.run):
            brain.step(event)
        return RunStory(manifest, row.state, row.reason, tuple(brain.slots))

    def _replay(self, log: Log, run: str) -> list[Event]:
        """What brings a brain to where the run stands."""
        events: list[Event] = [Appended(entry.changes, is_replay=True) for entry in log.refresh()]
        rows = self._app.index.won(run)
        events.append(Resumed(frozenset(Key(row.run, row.slot, row.group, row.index) for row in rows)))
        return events

    def find(self, run: str) -> RunRow:
        """The run of that id or unique prefix. Raises UsageError."""
        rows = [row for row in self._app.index.runs() if row.run.startswith(run)]
        if not rows:
            raise UsageError(f"the index knows no run {run!r}", hint="see: fedml runs list")
        if len(rows) > 1 and run not in {row.run for row in rows}:
            shown = ", ".join(row.run for row in rows[:5])
            raise UsageError(f"{len(rows)} runs begin with {run!r}: {shown}", hint="give more of the id")
        return next((row for row in rows if row.run == run), rows[0])

    def manifest(self, run: str) -> Manifest:
        """A run's manifest. Raises UsageError where it has none (it crashed before it was written)."""
        try:
            return Manifest.from_json(
                self._app.home.get(_manifest_key(run)), source=self._app.home.url_of(_manifest_key(run))
            )
        except NotFound:
            raise UsageError(
                f"run {run} has no manifest: it was interrupted before anything was dispatched",
                hint=f"dispatch again; to close this one:  fedml runs cancel {run}",
            ) from None

    def _run_log(self, run: str) -> Log:
        return Log(self._app.home, f"runs/{run}/log/", author=default_author())

    def _drive(
        self,
        manifest: Manifest,
        prepared: PreparedJob,
        replay: Sequence[Event],
        observe: Callable[[Tell], None],
        log: Log | None = None,
    ) -> RunOutcome:
        config = self._app.config
        weights = {name: region.weight for name, region in config.regions.items()}
        brain = Brain(manifest, Limits(grace_s=config.grace_s), weights=weights)
        places = _Places(self._app, manifest, prepared)
        ports = Ports(
            clients={name: self._app.client(name) for name in manifest.regions},
            run_log=_OwnLog(log or self._run_log(manifest.run), manifest.run),
            index=self._app.index,
            probe=places.probe,
            read=places.read,
            search=places.search,
            watch=places.watch,
            observe=observe,
        )
        try:
            closed = Coordinator(brain, ports).run(replay)
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted; run {manifest.run} keeps all that it did, and what was dispatched goes on in its regions",
                hint=f"go on with it:  fedml runs resume {manifest.run}",
            ) from None
        self._app.index.close_run(manifest.run, closed.state, closed.reason)
        # Where a repeated dispatch made a second child (Nomad forgot its token), nobody acknowledged the first.
        clients = [self._app.client(name) for name in manifest.regions]
        stop_stale(clients, manifest.job, {manifest.run}, known=brain.children)
        return _outcome(manifest, brain, closed)


class _OwnLog:
    """A run log that only this coordinator writes: an entry of somebody else ends the run here."""

    def __init__(self, log: Log, run: str) -> None:
        self._log = log
        self._run = run

    def append(self, changes: Sequence[dict[str, Any]], *, reason: str = "") -> object:
        def give_up(news: Sequence[Entry]) -> None:
            for change in (change for entry in news for change in entry.changes):
                if change["type"] == "cancel":
                    raise RunCancelled(f"run {self._run} was cancelled meanwhile: {change.get('reason', '')}")

        try:
            return self._log.append(changes, reason=reason, rebase=give_up)
        except LogConflict as error:
            raise LogConflict(
                "another coordinator writes this run's log", hint="let it go on, or stop it and resume the run here"
            ) from error


class _Places:
    """Regions and stores as a run's coordinator asks them."""

    def __init__(self, app: App, manifest: Manifest, prepared: PreparedJob) -> None:
        self._app = app
        self._manifest = manifest
        self._prepared = prepared
        self._nodes: dict[str, dict[str, Node]] = {}
        self._lock = threading.Lock()

    def probe(self, region: str) -> RegionProbed:
        one = capacity.look(self._app.client(region), self._prepared.rendered[region], self._prepared.shape, diff=False)
        if one.problem is None:
            return RegionProbed(region, one.free)
        return RegionProbed(region, 0, f"{one.problem}: {one.detail}", is_fatal=one.problem is not Reason.UNREACHABLE)

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
            text = self._app.client(region).read_file(allocation.id, "alloc/fedml/result.json")
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
                with suppress(PublishError, NotFound):
                    record = ResultRecord.from_json(store.get(info.key), source=store.url_of(info.key))
                    if record.key.record_key(record.alloc_id) == info.key:
                        found.append(record)
        return found

    def watch(
        self,
        region: str,
        on_allocation: Callable[[Allocation], None],
        on_heard: Callable[[], None],
        stop: threading.Event,
    ) -> None:
        from regions.nomad import allocation_from_json

        watch(
            self._app.client(region),
            self._manifest.job,
            on_allocation=on_allocation,
            on_heard=on_heard,
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
                self._nodes[region] = {node.id: node for node in self._app.client(region).nodes()}
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


def _outcome(manifest: Manifest, brain: Brain, closed: Close) -> RunOutcome:
    failures = {number: slot.reason for number, slot in enumerate(brain.slots) if slot.state == "failed"}
    done = sum(1 for slot in brain.slots if slot.state == "done")
    left = {name: attempts for name, region in brain.regions.items() if (attempts := region.left)}
    return RunOutcome(manifest, closed.state, closed.reason, done, len(failures), failures, left)


def _manifest_key(run: str) -> str:
    return f"runs/{run}/manifest.json"


def _portable(path: Path, root: Path) -> str:
    absolute = path.absolute()
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else str(absolute)
