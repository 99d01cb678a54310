"""Drives a run to its end: connects the brain with regions, stores, run log and index.

After an interruption at any moment the run can be resumed from the home store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field

from federation.app import App, PreparedJob
from federation.claims import sites_of
from federation.deploy.outcome import standing_now
from federation.deploy.rollout import revert
from federation.errors import Interrupted, LogConflict, RunIsDriven
from federation.log import Entry as LogEntry
from federation.log import Log
from federation.manifest import Manifest
from federation.plan import Room
from federation.run.brain.brain import Brain
from federation.run.brain.changes import Change, Entry, parse_entry
from federation.run.brain.commands import Close, Revert, Tell
from federation.run.brain.events import Event, Joined, RegionProbed
from federation.run.brain.timing import Limits
from federation.run.coordinator import Coordinator
from federation.run.curve_reader import CurveReader
from federation.run.lease import Lease
from federation.run.log_keeper import LogKeeper
from federation.run.orphans import stop_stale
from federation.run.ports import Ports
from federation.run.redaction import Redactor
from federation.run.sampling import Sampler, passing_on
from federation.run.slot_inputs import inputs_of, naming, parameters_of
from federation.run.stop_when import stop_when
from federation.text import counted
from federation.workflows.adopt import AdoptedPlaces
from federation.workflows.deploy_conflicts import end_isolation, runs_in_the_way
from federation.workflows.run_access import Places
from jobs.errors import FedmlError
from jobs.nomad_json.drift import spec_of
from jobs.params.values import Value
from regions.credentials import SecretUnavailable
from regions.errors import NotFound, RegionUnreachable, Throttled, UnexpectedAnswer
from regions.storage.errors import Unavailable

FAILURES_SHOWN = 3
"""So many failed slots stand in the text of an outcome."""


@dataclass(frozen=True, slots=True, repr=False)
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
    params: Mapping[int, Mapping[str, Value]] = field(default_factory=dict)
    """The parameters of each failed or stopped slot."""
    stopped: Mapping[int, str] = field(default_factory=dict)
    """Why a rule of the run stopped each of these slots."""

    def __repr__(self) -> str:
        lines = [f"<run {self.manifest.run}: {self.state}, {self.done} of {counted(self.manifest.slots, 'slot')} done>"]
        for number, reason in list(self.failures.items())[:FAILURES_SHOWN]:
            given = ", ".join(f"{name}={value}" for name, value in self.params.get(number, {}).items())
            lines.append(f"  slot {number}{f' ({given})' if given else ''}: {reason}")
        if len(self.failures) > FAILURES_SHOWN:
            lines.append(f"  … and {len(self.failures) - FAILURES_SHOWN} more in .failures")
        lines += [f"  {region}: {counted(left, 'attempt')} may still run" for region, left in self.left.items()]
        return "\n".join(lines)


def drive(
    app: App,
    manifest: Manifest,
    prepared: PreparedJob,
    log: Log,
    replay: Sequence[Event],
    observe: Callable[[Tell], None],
    lease: Lease | None = None,
    *,
    probed: Sequence[RegionProbed] = (),
) -> RunOutcome:
    """Drives the run to its end, from where `replay` brought it. The rooms that were `probed` already aren't asked for first.
    Raises Interrupted at Ctrl-C, RunIsDriven when another
    coordinator takes the lease over."""
    config = app.config
    known = [config.regions[name] for name in manifest.regions]
    parameters = parameters_of(manifest, app.home)
    brain = Brain(
        manifest,
        Limits(grace_s=config.grace_s),
        rooms={room.region: room for room in manifest.rooms}
        or {one.name: Room(one.name, 0, one.weight, one.order, price_per_hour=one.price_per_hour) for one in known},
        pending_timeouts_s={one.name: one.pending_timeout_s for one in known if one.pending_timeout_s is not None},
        max_outstanding={one.name: one.max_outstanding for one in known if one.max_outstanding is not None},
        stop_when=stop_when(manifest.stop_when, parameters) if manifest.stop_when else None,
    )
    redact = _redactor(app)
    places = (AdoptedPlaces if manifest.results == "adopt" else Places)(app, manifest, prepared)
    sampler = Sampler({name: app.client(name) for name in manifest.regions})
    keeper = LogKeeper(places.routes, app.home, manifest.run, of=config.keep_logs, redact=redact, used=sampler.taken)
    places.ended = keeper.ended
    curves = CurveReader(places.routes, keep=manifest.keep_best, slots=manifest.slots, observe=observe)
    has_rules = bool(manifest.stop_when or manifest.keep_best)
    ports = Ports(
        clients=places.routes,
        run_log=SharedLog(log),
        index=app.index,
        probe=places.probe,
        ping=places.routes.ping,
        list_allocations=places.routes.list_allocations,
        read=places.read,
        search=places.search,
        watch=sampler.watching(passing_on(places.watch, curves.changed) if has_rules else places.watch),
        observe=naming(observe, parameters),
        inputs=inputs_of(manifest, app.home),
        budgets=places.budgets,
        sites=sites_of(config.regions),
        node=places.node,
        redact=redact,
        join=_joiner(app, manifest, prepared, places),
        keep_logs=keeper.keep,
        revert=_reverter(app, manifest, observe),
    )
    coordinator = Coordinator(brain, ports)
    if lease is not None:
        lease.on_lost = lambda: coordinator.abandon(RunIsDriven(f"another coordinator took over run {manifest.run}"))
    try:
        with keeper:
            with sampler, curves.reading(coordinator.measured) if has_rules else nullcontext():
                closed = coordinator.run(replay, probed)
                keeper.wait_for_failed()
            app.index.close_run(manifest.run, closed.state, closed.reason)
            keeper.finish(lambda text: observe(Tell("run", detail=text)))
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; run {manifest.run} keeps all that it did, and what was dispatched goes on in its regions",
            hint=f"go on with it:  fedml runs resume {manifest.run}",
        ) from None
    finally:
        places.routes.close()
    # Where a repeated dispatch made a second child (Nomad forgot its token), nobody acknowledged the first.
    # A lost region isn't waited for: whichever later command reaches it stops what it has.
    there = [name for name in manifest.regions if not brain.regions[name].is_lost]
    stop_stale([places.routes[name] for name in there], manifest.parent_id, {manifest.run}, known=brain.children)
    end_isolation(app, manifest, there)
    return _outcome(manifest, brain, closed, parameters)


class SharedLog:
    """A run's log that another coordinator or a command (a cancel) may write too. For one thread."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._own: set[int] = set()

    def append(self, changes: Sequence[Change], *, after: int) -> tuple[bool, Sequence[Entry]]:
        """See `federation.run.ports.RunLog`. Raises Unavailable when it is unknown whether the entry stands: then it
        is read later, as somebody else's."""
        stands = False
        if self._log.head == after:
            with suppress(LogConflict):
                written = [change.to_json() for change in changes]
                self._own.add(self._log.append(written, reason="run", rebase=lambda _: None).number)
                stands = True
        return stands, self._theirs(self._log.take())

    def news(self) -> Sequence[Entry]:
        """Entries that others wrote since."""
        return self._theirs(self._log.refresh())

    def _theirs(self, entries: Sequence[LogEntry]) -> list[Entry]:
        return [parse_entry(entry.changes) for entry in entries if entry.number not in self._own]


def _joiner(app: App, manifest: Manifest, prepared: PreparedJob, places: Places) -> Callable[[str], Joined]:
    """Makes the function that brings the run's job to a region that hadn't answered when the run was opened. The rules are
    those of a deployment: it changes no job of another run, and nothing that somebody else changed."""

    def join(region: str) -> Joined:
        try:
            try:
                there = spec_of(places.routes[region].job(manifest.parent_id))
            except NotFound:
                there = ""
            if there == manifest.spec_hash:
                return Joined(region)
            in_the_way = runs_in_the_way(app, prepared, {region})
            if in_the_way:
                return Joined(
                    region, f"the job would change under another run's open slots: {in_the_way[0]}", is_fatal=True
                )
            if prepared.needs_program:  # perhaps another fedml's than that of the run's beginning
                from federation.workflows.code_stores import put_into_stores

                put_into_stores(app, prepared, [region], None, lambda _: None)
            for done in app.deploy(prepared, [region]).failed:
                raise done.error or RegionUnreachable(f"{region} did not get the job", region=region)
        except (RegionUnreachable, Throttled, UnexpectedAnswer, Unavailable) as error:
            return Joined(region, error.message)
        except FedmlError as error:
            return Joined(region, error.message, is_fatal=True)
        return Joined(region)

    return join


def _reverter(app: App, manifest: Manifest, observe: Callable[[Tell], None]) -> Callable[[Revert], None]:
    """Makes the function that puts back the job that stood in a region before this run's deployment, and says which job
    stands there now. A second call (after a crash) changes nothing: a job that isn't this deployment's is left as it is."""

    put_back_in: set[str] = set()

    def put_back(command: Revert) -> None:
        if command.region not in manifest.deployed_over or command.region in put_back_in:
            return
        put_back_in.add(command.region)
        done = revert(
            app.client(command.region),
            manifest.parent_id,
            manifest.spec_hash,
            to_version=manifest.deployed_over[command.region],
        )
        observe(Tell("region", command.region, detail=standing_now(done, manifest.parent_id)))

    return put_back


def _redactor(app: App) -> Redactor:
    """Makes what takes the credentials that this process knows out of kept output."""
    secrets = []
    for _, reference in app.config.secret_references():
        with suppress(SecretUnavailable):
            secrets.append(reference.read())
    return Redactor(secrets)


def _outcome(
    manifest: Manifest, brain: Brain, closed: Close, parameters: Callable[[int], Mapping[str, Value]]
) -> RunOutcome:
    failures = {number: slot.reason for number, slot in enumerate(brain.slots) if slot.state == "failed"}
    stopped = {number: slot.reason for number, slot in enumerate(brain.slots) if slot.state == "stopped"}
    done = sum(1 for slot in brain.slots if slot.state == "done")
    left = {name: attempts for name, region in brain.regions.items() if (attempts := region.left)}
    params = {number: parameters(number) for number in (*failures, *stopped)}
    return RunOutcome(manifest, closed.state, closed.reason, done, len(failures), failures, left, params, stopped)
