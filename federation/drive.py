"""A manifest and its job enter, a finished run leaves: the brain with its regions, stores, run log and index around it.

Whatever happens in between, the run can be resumed from the home store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from federation.adopted import AdoptedPlaces
from federation.app import App, PreparedJob
from federation.errors import Interrupted, LogConflict, RunCancelled
from federation.in_the_way import end_isolation
from federation.log import Entry, Log
from federation.places import Places
from federation.run.brain import Brain, Limits
from federation.run.commands import Close, Tell
from federation.run.coordinator import Coordinator, Ports
from federation.run.events import Event
from federation.run.manifest import Manifest
from federation.run.stale import stop_stale


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


def drive(
    app: App,
    manifest: Manifest,
    prepared: PreparedJob,
    log: Log,
    replay: Sequence[Event],
    observe: Callable[[Tell], None],
) -> RunOutcome:
    """Drive the run to its end, from where `replay` brought it. Raises Interrupted at Ctrl-C."""
    config = app.config
    weights = {name: region.weight for name, region in config.regions.items()}
    brain = Brain(manifest, Limits(grace_s=config.grace_s), weights=weights)
    places = (AdoptedPlaces if manifest.results == "adopt" else Places)(app, manifest, prepared)
    ports = Ports(
        clients={name: app.client(name) for name in manifest.regions},
        run_log=_OwnLog(log, manifest.run),
        index=app.index,
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
    app.index.close_run(manifest.run, closed.state, closed.reason)
    # Where a repeated dispatch made a second child (Nomad forgot its token), nobody acknowledged the first.
    clients = [app.client(name) for name in manifest.regions]
    stop_stale(clients, manifest.parent_id, {manifest.run}, known=brain.children)
    end_isolation(app, manifest)
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


def _outcome(manifest: Manifest, brain: Brain, closed: Close) -> RunOutcome:
    failures = {number: slot.reason for number, slot in enumerate(brain.slots) if slot.state == "failed"}
    done = sum(1 for slot in brain.slots if slot.state == "done")
    left = {name: attempts for name, region in brain.regions.items() if (attempts := region.left)}
    return RunOutcome(manifest, closed.state, closed.reason, done, len(failures), failures, left)
