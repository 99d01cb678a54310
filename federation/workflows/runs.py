"""Drives, resumes, cancels and changes runs.

`start` drives a new run to its end, `resume` an older one. After an interruption at any moment the run can be resumed from
the home store. The order of writes: `open` in the index, manifest, run log, dispatches (docs/explanation/design.md, part 3).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from federation.app import JobRequest, PreparedJob
from federation.deploy.prepare import isolated
from federation.errors import IndexCorrupt, UsageError
from federation.home import RunKeys
from federation.index import RunRow
from federation.index.rows import CANCELLED, RUN_STATES_CLOSED
from federation.log import default_author
from federation.manifest import Manifest
from federation.run.brain.changes import Rebind, Retry, parse_entry
from federation.run.brain.commands import Tell
from federation.run.brain.events import CancelRequested
from federation.run.lease import Lease
from federation.run.orphans import stop_stale
from federation.workflows.drive import RunOutcome, drive
from federation.workflows.open_run import Opened
from federation.workflows.run_reader import RunReader, replay_of
from jobs.errors import FedmlError

STANDBY_LOOK_S = 10.0
"""Pause between two looks of a standby coordinator whether the run is over."""


class Runs(RunReader):
    """The runs of one federation: drives and changes them."""

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
        replay = replay_of((parse_entry(entry.changes) for entry in entries), won)
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
