"""Plans what a dispatch would do now: asks every region at once for its room. Writes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from federation import capacity
from federation.app import App
from federation.capacity import CapacitySnapshot, GoOn, RegionCapacity
from federation.deploy.prepare import PreparedJob
from federation.errors import FederationError, IndexLost
from federation.index.maintenance.store_listing import RESULTS
from federation.index.rows import OPEN
from federation.index.stores import shown_store
from federation.index.versions import latest_version_in
from federation.log import default_author
from federation.plan import DEFAULT_PRIORITY, Claim, Plan, Reason, Room, Wishes, plan, policy_named, within_shares
from federation.plan.price import price_per_hour
from federation.text import counted
from federation.workflows.expected_durations import expected_durations
from federation.workflows.other_runs import OtherRuns
from federation.workflows.plan_limits import require_costs, require_durations
from federation.workflows.registered import as_registered, not_registering
from federation.workflows.request import CheckedRequest, Placing, RunRequest, check_for_job, check_request
from jobs.errors import FedmlError
from jobs.hcl import newer_fields
from jobs.spec import images_of
from regions.model import Region
from regions.nomad.versions import OLDEST, is_too_old

NO_ANSWER = (Reason.UNREACHABLE, Reason.SLOW, Reason.REFUSED)
"""Problems of regions that did not answer, or refused to."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a dispatch would do now. `version` is the one it would get; nothing is reserved."""

    prepared: PreparedJob
    snapshot: CapacitySnapshot
    plan: Plan
    version: str
    existing_results: int
    """Results that this version has already. The run's results would be added to them."""
    request: CheckedRequest | None = None
    rooms: tuple[Room, ...] = ()
    """What the plan was made from, in the federation's order."""
    asked_s: float = 0.0
    """When the regions had answered, by the monotonic clock."""
    other_specs: tuple[str, ...] = ()
    """Spec hashes of this version's earlier runs, as far as they aren't this job's."""

    @property
    def spec_warning(self) -> str:
        """Says that the version would mix results of different states of the job; empty where it wouldn't."""
        if not self.other_specs:
            return ""
        others = ", ".join(spec[:12] or "unknown" for spec in self.other_specs)
        return (
            f"Version {self.version} was run with another state of the job (spec {others}; now "
            f"{self.prepared.spec_hash[:12]}): it would mix the results of both. Leave out --version for a version of its own"
        )

    @property
    def age_s(self) -> float:
        """Seconds since the regions had answered."""
        return time.monotonic() - self.asked_s

    @property
    def usable(self) -> list[str]:
        """Regions that may get slots, now or later, retries included."""
        return [name for name, one in self.snapshot.regions.items() if one.problem is None]

    @property
    def late(self) -> tuple[str, ...]:
        """Regions that weren't waited for, and may get slots once they answer."""
        return self.snapshot.late

    @property
    def changes(self) -> list[str]:
        """Regions whose registered job would change: none where the job is dispatched as it stands."""
        if self.prepared.is_registered:
            return []
        return [one.region for one in self.snapshot.regions.values() if one.change in ("Added", "Edited")]

    @property
    def unanswered(self) -> list[RegionCapacity]:
        """Regions that did not answer, or refused to (a wrong token, a job that they don't take)."""
        return [one for one in self.snapshot.regions.values() if one.problem in NO_ANSWER]

    def require_an_answer(self) -> None:
        """Raises FederationError when every region was silent or refused: then nothing is known, and nothing to plan."""
        regions = self.unanswered
        asked = [one for one in self.snapshot.regions.values() if one.problem is not Reason.NOT_ALLOWED]
        if regions and len(regions) == len(asked):
            details, hints = ({getattr(one, of): None for one in regions} for of in ("detail", "hint"))
            raise FederationError(
                f"no region can be asked: {'; '.join(details)}",
                hint="\n".join(filter(None, hints)) or "see: fedml doctor",
            )

    def warnings(self) -> Iterator[tuple[str, str]]:
        """Yields (region, how the run there would differ from the jobspec), before anything is sent."""
        for name, one in self.snapshot.regions.items():
            rendered = self.prepared.rendered[name]
            if one.version and not isinstance(rendered, FedmlError):
                for field in newer_fields(rendered, one.version):
                    yield name, f"Nomad {one.version} ignores {field.path} (since {field.since})"
                if is_too_old(one.version):
                    yield name, f"Nomad {one.version} is older than {OLDEST}, the oldest version that fedml supports"
        yield from _image_warnings(self)


def preview(app: App, request: RunRequest, *, goes_on: GoOn | None = None, looks_for: int | None = None) -> Preview:
    """Asks all chosen regions for their room at once, and plans. Writes nothing anywhere. `looks_for`: for how many slots room
    is looked for; None: for those of the request. `goes_on`: as for `preview_checked`.

    Raises, before any region is asked, UsageError and InvalidMeta for a request that no run can have, and what is wrong
    with the job; UsageError for limits that no placement keeps. In a project that registers nothing, the job is taken as it
    stands in the regions; raises JobDrifted where that isn't what the file says.
    """
    checked = check_request(request, app.config)
    prepared = app.prepare(request.job)
    if request.code is None and (why := not_registering(app)) and not prepared.is_registered:
        prepared = as_registered(app, prepared, why, allow_drift=False)
    if request.meta or request.payload or not request.asks.is_empty:
        checked = check_for_job(checked, prepared.shape)
    return preview_checked(app, checked, prepared, goes_on=goes_on, looks_for=looks_for)


def preview_checked(
    app: App,
    request: CheckedRequest,
    prepared: PreparedJob,
    *,
    goes_on: GoOn | None = None,
    looks_for: int | None = None,
) -> Preview:
    """As `preview`, for a request and a job that are checked. `goes_on` decides whether slow regions are waited for (see
    `capacity.snapshot`)."""
    job, placing = prepared.shape.id, request.placing
    policy = str(placing.policy)
    durations = expected_durations(app.index, app.home, job, cache_dir=app.config.cache_dir)
    if looks_for is None:  # else only the regions' room is asked for, and no version is given
        _refuse_forgotten_results(app)
    require_durations(placing, policy, durations)
    regions = [app.config.regions[name] for name in prepared.rendered]
    wanted = len(regions) if request.slots is None else request.slots
    priority = request.patience.priority or DEFAULT_PRIORITY
    claim = Claim("", wanted, frozenset(prepared.rendered), priority, default_author())
    other_runs = OtherRuns(app, claim)
    asked = capacity.snapshot(
        [app.client(region.name) for region in regions],
        prepared.rendered,
        prepared.shape,
        wanted=wanted + other_runs.wanted() if looks_for is None else looks_for,
        allow_preemption=placing.allow_preemption,
        goes_on=goes_on,
    )
    asked_s = time.monotonic()
    snapshot = CapacitySnapshot(
        {region.name: _elastic(region, asked.regions[region.name], prepared) for region in regions}, asked.late
    )
    rank = {region.name: place for place, region in enumerate(sorted(regions, key=lambda region: region.order))}
    rooms = [
        _room(region, rank[region.name], snapshot.regions[region.name], prepared, placing, durations)
        for region in regions
    ]
    rooms, shared = _shared(other_runs, claim, request.slots, rooms)
    wishes = Wishes(placing.deadline_s, placing.max_cost)
    made = plan(request.slots, rooms, policy, place=policy_named(policy), wishes=wishes)
    require_costs(placing, made, rooms)
    return Preview(
        prepared,
        snapshot,
        replace(made, why=(*made.why, *shared)),
        request.version or _next_version(app, job),
        len(app.index.query(job=job, version=request.version)) if request.version else 0,
        request,
        tuple(rooms),
        asked_s,
        _other_specs(app, job, request.version, prepared.spec_hash),
    )


def _other_specs(app: App, job: str, version: str | None, spec_hash: str) -> tuple[str, ...]:
    """The other spec hashes of runs that gave this version results, or may still do so."""
    runs = app.index.runs(job=job) if version else ()
    specs = (run.spec_hash for run in runs if run.version == version and (run.committed or run.state == OPEN))
    return tuple(dict.fromkeys(spec for spec in specs if spec != spec_hash))


def _elastic(region: Region, one: RegionCapacity, prepared: PreparedJob) -> RegionCapacity:
    """Keeps an elastic region in which no node fits now: its autoscaler starts nodes when there is demand."""
    if not region.elastic_slots or one.problem is not Reason.INFEASIBLE:
        return one
    if isinstance(prepared.rendered[region.name], FedmlError):
        return one
    return replace(one, problem=None, detail=f"no node fits now ({one.detail}); its autoscaler may bring some")


def _room(
    region: Region,
    rank: int,
    one: RegionCapacity,
    prepared: PreparedJob,
    placing: Placing,
    durations: Mapping[str, float],
) -> Room:
    rendered = prepared.rendered[region.name]
    price = None if isinstance(rendered, FedmlError) else price_per_hour(region, rendered, one.fitting)
    return Room(
        region.name,
        one.free,
        region.weight,
        rank,
        one.problem,
        one.detail,
        price,
        placing.expected_duration_s or durations.get(region.name),
        placing.minimums.get(region.name, region.minimum),
        placing.caps.get(region.name, region.cap),
        region.elastic_slots,
    )


def _shared(other_runs: OtherRuns, claim: Claim, slots: int | None, rooms: list[Room]) -> tuple[list[Room], list[str]]:
    """The rooms without what other open runs want of them, and a sentence about those runs."""
    free = {room.region: room.free for room in rooms if room.excluded is None}
    wanted = slots if slots is not None else len(free)
    other_runs.claim(replace(claim, unbound=wanted, regions=frozenset(free)))
    parts = within_shares(other_runs.part(free), other_runs.budgets(), {})
    # This run's part is never more than it wants: only what others take of it is less room.
    taken = {name: slots - parts[name] for name, slots in free.items()} if sum(parts.values()) < wanted else {}
    if not any(taken.values()):
        return rooms, []
    waiting = "; ".join(
        f"run {one.run} of {one.owner} waits for {counted(one.unbound, 'slot')}" for one in other_runs.others
    )
    left = ", ".join(f"{name} {free[name] - slots} of {free[name]}" for name, slots in taken.items() if slots)
    return (
        [replace(room, free=room.free - taken.get(room.region, 0)) for room in rooms],
        [f"shared with other runs: {left}" + (f" ({waiting})" if waiting else " ([shares] in fedml.toml)")],
    )


def _refuse_forgotten_results(app: App) -> None:
    """Raises IndexLost where the index is empty, and a store holds results: versions would begin anew. A store that can't be
    listed is passed over."""
    if app.index.ask_again(lambda catalog: catalog.position().number):
        return
    stores = app.result_stores()
    for name in stores.names:
        try:
            is_empty = next(iter(stores.of(name).list(RESULTS)), None) is None
        except FedmlError:
            continue
        if not is_empty:
            raise IndexLost(
                f"the index in {app.home.url} is empty, and the store {shown_store(name)} holds results",
                hint="if fedml.toml names the wrong place, mend `home`\n"
                "else enter them into the index first, so that versions go on after theirs: fedml index rebuild",
            )


def _next_version(app: App, job: str) -> str:
    """The version that the job would get, by what the index held when it was asked last."""
    latest = app.index.ask_again(lambda catalog: latest_version_in(catalog, job))
    return str(int(latest) + 1) if latest and latest.isdecimal() else "1"


def _image_warnings(preview: Preview) -> Iterator[tuple[str, str]]:
    """Regions that run another image under the same tag, by its digest. What a tag without a digest means, no region tells."""
    found: dict[str, dict[str, list[str]]] = {}
    for name in preview.usable:
        rendered = preview.prepared.rendered[name]
        if not isinstance(rendered, FedmlError):
            for tag, digest in images_of(rendered):
                found.setdefault(tag, {}).setdefault(digest, []).append(name)
    for tag, digests in found.items():
        if len(digests) > 1:
            for digest, names in digests.items():
                for name in names:
                    yield name, f"runs {tag} as {digest or 'whatever its tag means there'}; other regions run another"
