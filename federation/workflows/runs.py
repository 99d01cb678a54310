"""Opens, drives, resumes, cancels and changes runs.

`start` drives a new run to its end, `resume` an older one. After an interruption at any moment the run can be resumed from
the home store. The order of writes: `open` in the index, manifest, run log, dispatches (docs/explanation/design.md, part 3).
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from federation.app import JobRequest, PreparedJob
from federation.deploy.prepare import isolated
from federation.errors import IndexCorrupt, UsageError
from federation.home import RunKeys
from federation.index import RunRow
from federation.index.rows import CANCELLED, RUN_STATES_CLOSED
from federation.log import default_author
from federation.manifest import Manifest, new_run_id
from federation.plan import Room
from federation.run.brain.changes import Rebind, Retry
from federation.run.brain.commands import Tell
from federation.run.brain.events import CancelRequested, RegionProbed
from federation.run.lease import Lease
from federation.run.orphans import stop_stale
from federation.run.slot_inputs import keep_asks
from federation.workflows.adopt import check_adoption
from federation.workflows.drive import RunOutcome, drive
from federation.workflows.request import CodeRequest, DispatchRequest
from federation.workflows.run_reader import RunReader, replay_of
from jobs.errors import FedmlError
from jobs.frozen import frozen
from regions.storage.store import Create, Store

STANDBY_LOOK_S = 10.0
"""Pause between two looks of a standby coordinator whether the run is over."""


@frozen
class Opened:
    """A run that has its version and manifest; nothing is dispatched yet."""

    manifest: Manifest
    existing_results: int
    """How many results this version had before. The run's results are added to them."""
    probed: tuple[RegionProbed, ...] = ()
    """The rooms of regions, where they were asked for just now."""


class Runs(RunReader):
    """The runs of one federation: opens, drives and changes them."""

    def open(
        self,
        request: DispatchRequest,
        prepared: PreparedJob,
        regions: Sequence[str],
        *,
        late: Sequence[str] = (),
        rooms: Sequence[Room] = (),
        deployed_over: Mapping[str, int] | None = None,
        canary: int = 0,
        canary_on_failure: str = "all",
    ) -> Opened:
        """Reserves the version and writes the manifest. `regions` are those that may be used, in order. The `late` ones of
        them get the job when they answer. `rooms` is what the policy uses there. `deployed_over` is what this run's
        deployment changed there (`Deployment.deployed_over`). It is reverted when one of the first `canary` slots of a
        region fails: in all regions, or (local) in that one.

        Raises UsageError before anything is written. After a crash between the two writes the index has an open run without
        a manifest, which holds its version and nothing else.
        """
        shape, app = prepared.shape, self._app
        results = "publish" if request.code is not None else app.config.results
        if results == "adopt":
            check_adoption(app.config, prepared, request.first_meta)
        slots = request.slots or len(regions)
        limits = request.patience.limits(slots)
        now = datetime.now(UTC)
        run = new_run_id(int(now.timestamp() * 1000))
        keys = 0 if results == "none" else slots * shape.keys_a_slot
        opened = self._app.index.open_run(
            run, shape.id, request.version, prepared.spec_hash, slots, keys, name=request.name
        )
        config = app.config
        sweep = keep_asks(app.home, run, request.asks)
        keep_diff(app.home, run, request.code)
        manifest = Manifest(
            run=run,
            job=shape.id,
            job_file="" if prepared.is_registered or request.code else _portable(prepared.file, config.root),
            spec_hash=prepared.spec_hash,
            version=opened.version,
            slots=slots,
            groups=dict(shape.groups),
            regions=tuple(regions),
            late=tuple(late),
            one_each=request.slots is None,
            meta={**request.slot_meta, **_version_meta(prepared, opened.version)},
            payload=request.payload,
            policy=request.placing.policy or config.policy,
            results=results,
            author=default_author(),
            created=now.isoformat(timespec="seconds").replace("+00:00", "Z"),
            variables=request.job.variables,
            var_files=tuple(_portable(path, config.root) for path in request.job.var_files),
            parent=prepared.parent,
            deployed_over=dict(deployed_over or {}),
            canary=canary,
            canary_on_failure=canary_on_failure,
            registered_at=dict(prepared.registered_at),
            declared_meta=prepared.declared_meta,
            sweep=sweep,
            rooms=tuple(replace(room, free=0, detail="", excluded=None) for room in rooms if room.region in regions),
            allow_preemption=request.placing.allow_preemption,
            name=request.name,
            code=request.code.kept if request.code is not None else None,
            **limits,
        )
        self._app.home.put(RunKeys(run).manifest, manifest.to_json(), Create(), content_type="application/json")
        return Opened(manifest, opened.existing_results)

    def start(self, opened: Opened, prepared: PreparedJob, observe: Callable[[Tell], None]) -> RunOutcome:
        """Drives a new run to its end. Raises Interrupted at Ctrl-C."""
        manifest = opened.manifest
        with self._lease(manifest.run) as lease:
            lease.acquire()
            log = self.log_of(manifest.run)
            return drive(self._app, manifest, prepared, log, (), observe, lease, probed=opened.probed)

    def resume(self, run: str, observe: Callable[[Tell], None]) -> RunOutcome:
        """Goes on with a run from its log, wherever it was left. Raises RunIsDriven while another coordinator drives it."""
        manifest = self.manifest(self.find(run).run)
        with self._lease(manifest.run) as lease:
            lease.acquire(tell=lambda text: observe(Tell("run", detail=text)))
            return self._go_on(manifest, observe, lease)

    def cancel(self, run: str, reason: str, observe: Callable[[Tell], None]) -> RunOutcome:
        """Ends a run. Records it first, so that an active coordinator obeys; then stops all that is open and reachable."""
        return self._go_on(self.manifest(self.find(run).run), observe, cancel=reason)

    def retry(self, run: str, slots: Sequence[int] = ()) -> tuple[int, ...]:
        """Records retries for these failed slots (default: all) and returns their numbers. The run's coordinator makes the
        attempts, or `resume`. Raises UsageError for a run without such slots, or a cancelled one."""
        story = self.story(run)
        wanted = ("failed", "open") if story.state in RUN_STATES_CLOSED else ("failed",)
        failed = [number for number, slot in enumerate(story.slots) if slot.state in wanted and story.state != "done"]
        if story.state == CANCELLED:
            raise UsageError(
                f"run {story.manifest.run} was cancelled, so no slot of it can be retried", hint="dispatch again"
            )
        if wrong := [number for number in slots if number not in failed]:
            raise UsageError(
                f"slot {wrong[0]} of run {story.manifest.run} hasn't failed",
                hint=f"those that have: {', '.join(map(str, failed[:20])) or 'none'}",
            )
        chosen = tuple(slots or failed)
        if not chosen:
            raise UsageError(f"no slot of run {story.manifest.run} has failed", hint="see: fedml runs show")
        self.log_of(story.manifest.run).append([Retry(chosen).to_json()], reason="retry")
        return chosen

    def rebind(self, run: str, region: str) -> int:
        """Moves a region's open slots to other regions: records it, and returns how many attempts that concerns. The run's
        coordinator does it, or `resume`. Raises UsageError."""
        story = self.story(run)
        manifest = story.manifest
        if story.state in RUN_STATES_CLOSED:
            raise UsageError(
                f"run {manifest.run} is {story.state}: none of its slots is open", hint="see: fedml runs list"
            )
        if region not in manifest.regions:
            raise UsageError(
                f"run {manifest.run} has no region {region!r}", hint=f"it has: {', '.join(manifest.regions)}"
            )
        if len(manifest.regions) == 1:
            raise UsageError(
                f"run {manifest.run} may use only region {region}, so its slots can't move",
                hint="dispatch again with other --regions",
            )
        self.log_of(manifest.run).append([Rebind(region).to_json()], reason="rebind")
        return sum(attempt.is_open and attempt.region == region for slot in story.slots for attempt in slot.attempts)

    def coordinate(self, run: str, observe: Callable[[Tell], None]) -> RunRow:
        """Drives a run when nobody else does, and stands by while somebody does, until it is over. Returns its row then."""
        manifest = self.manifest(self.find(run).run)
        looked_s = float("-inf")
        state = "open"

        def is_over() -> bool:
            nonlocal looked_s, state
            if time.monotonic() - looked_s >= STANDBY_LOOK_S:
                looked_s = time.monotonic()
                state = self.find(manifest.run).state
            return state in RUN_STATES_CLOSED

        with self._lease(manifest.run) as lease:
            said = lease.acquire(
                is_patient=True, is_over=is_over, tell=lambda text: observe(Tell("run", detail=text))
            )  # fmt: skip
            if said and self.find(manifest.run).state not in RUN_STATES_CLOSED:
                self._go_on(manifest, observe, lease)
        return self.find(manifest.run)

    def _go_on(
        self,
        manifest: Manifest,
        observe: Callable[[Tell], None],
        lease: Lease | None = None,
        *,
        cancel: str | None = None,
    ) -> RunOutcome:
        log = self.log_of(manifest.run)
        entries, won = log.refresh(), self._app.index.won(manifest.run)
        if won and not entries and cancel is None:
            raise IndexCorrupt(
                f"the log of run {manifest.run} is gone, and the run has {len(won)} results: what was bound where isn't "
                "known, so nothing is dispatched",
                hint=f"restore {RunKeys(manifest.run).log} from the bucket's version history or a copy; else end the run and "
                "dispatch what is missing as a new one: fedml runs cancel " + manifest.run,
            )
        replay = replay_of(entries, won)
        if cancel is not None:
            replay.append(CancelRequested(cancel))
        return drive(self._app, manifest, self._prepared_again(manifest), log, replay, observe, lease)

    def _lease(self, run: str) -> Lease:
        config = self._app.config
        return Lease(
            self._app.home,
            run,
            author=default_author(),
            folder=config.cache_dir / "runs",
            lease_s=config.coordinator.lease_s,
        )

    def _prepared_again(self, manifest: Manifest) -> PreparedJob:
        """The run's job, from its file, or (where this machine has none) as it is registered in the regions."""
        root = self._app.config.root
        if manifest.code is not None:
            return self._app.prepare_from_file(
                JobRequest(manifest.job, regions=manifest.regions, text=manifest.code.jobspec)
            )
        if not manifest.job_file or not (root / manifest.job_file).is_file():
            return self._app.prepare_registered(manifest.parent_id, manifest.regions, allow_drift=True)
        prepared = self._app.prepare(
            JobRequest(
                str(root / manifest.job_file),
                manifest.variables,
                tuple(root / path for path in manifest.var_files),
                manifest.regions,
            )
        )
        return isolated(prepared) if manifest.parent else prepared

    def change_since(self, run: str) -> str:
        """Says that the run's job file isn't what it was when the run began; empty where it is, or can't be read here."""
        manifest = self.manifest(run)
        try:
            is_same = not manifest.job_file or self._prepared_again(manifest).spec_hash == manifest.spec_hash
        except FedmlError:
            return ""
        if is_same or not (self._app.config.root / manifest.job_file).is_file():
            return ""
        return (
            f"{manifest.job_file} changed since the run began: its slots run the job as it was then, in regions that still "
            f"have it. To run them with the present file:  fedml dispatch --failed-of {manifest.run}"
        )

    def cancel_unstarted(self, run: str, reason: str) -> bool:
        """Closes a run that was interrupted before it had a manifest, so before anything of it was dispatched. Returns
        False, and does nothing, for one that has a manifest. Raises IndexCorrupt for one that has lost it."""
        if self.is_unstarted(run):
            self._app.index.close_run(run, "cancelled", reason)
            return True
        return False

    def stop_stale(self, job: str, regions: Sequence[str], *, parent: str = "") -> dict[str, list[str]]:
        """Stops what runs of this job that are over left in these regions, since they couldn't be reached then. Returns the
        stopped children, by region. Regions that don't answer now are passed over. `parent` is the Nomad job, if it has
        another ID."""
        over = {row.run for row in self._app.index.runs(job=job) if row.state in RUN_STATES_CLOSED}
        clients = [self._app.client(name) for name in regions if name in self._app.config.regions]
        return stop_stale(clients, parent or job, over)

    def parent_of(self, run: str) -> str:
        """The Nomad job that a run dispatches, where it isn't the job's own; empty too where the run has no manifest."""
        with suppress(UsageError):
            return self.manifest(run).parent
        return ""


def keep_diff(home: Store, run: str, code: CodeRequest | None) -> None:
    """Writes how the code differs from its commit, if that is known."""
    git = code.packed.git if code is not None and code.packed is not None else None
    if git is not None and git.diff:
        data = gzip.compress(git.diff, 6, mtime=0)
        home.put(RunKeys(run).code_diff, data, Create(), content_type="application/gzip")


def _version_meta(prepared: PreparedJob, version: str) -> dict[str, str]:
    """The meta key and value that carry the version. Empty where the job isn't fedml's and declares no key for it."""
    declared, key = prepared.declared_meta, prepared.shape.version_key
    return {key: version} if declared is None or key in declared else {}


def _portable(path: Path, root: Path) -> str:
    absolute = path.absolute()
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else str(absolute)
