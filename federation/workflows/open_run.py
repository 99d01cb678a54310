"""Opens a run: reserves its version in the index and writes its manifest."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from federation.app import App, PreparedJob
from federation.home import RunKeys
from federation.log import default_author
from federation.manifest import Manifest, new_run_id
from federation.plan import Room
from federation.run.slot_inputs import keep_asks
from federation.text import counted
from federation.workflows.request import CodeRequest, DispatchRequest
from regions.storage.store import Create, Store

if TYPE_CHECKING:
    from federation.run.brain.events import RegionProbed


@dataclass(frozen=True, slots=True)
class Opened:
    """A run that has its version and manifest; nothing is dispatched yet."""

    manifest: Manifest
    existing_results: int
    """How many results this version had before. The run's results are added to them."""
    probed: tuple[RegionProbed, ...] = ()
    """The rooms of regions, where they were asked for just now."""


def open_run(
    app: App,
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
    shape = prepared.shape
    results = "publish" if request.code is not None else app.config.results
    if results == "adopt":
        from federation.workflows.adopt import check_adoption  # few projects adopt

        check_adoption(app.config, prepared, request.first_meta)
    slots = request.slots or len(regions)
    limits = request.patience.limits(slots)
    now = datetime.now(UTC)
    run = new_run_id(int(now.timestamp() * 1000))
    keys = 0 if results == "none" else slots * shape.keys_a_slot
    opened = app.index.open_run(run, shape.id, request.version, prepared.spec_hash, slots, keys, name=request.name)
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
    app.home.put(RunKeys(run).manifest, manifest.to_json(), Create(), content_type="application/json")
    return Opened(manifest, opened.existing_results)


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


def announce(opened: Opened, tell: Callable[[str], None]) -> None:
    """Says which run was opened, and what is special about it."""
    manifest = opened.manifest
    name = f" ({manifest.name})" if manifest.name else ""
    tell(f"Run {manifest.run}{name}: {counted(manifest.slots, 'slot')} of {manifest.job}, version {manifest.version}")
    if manifest.parent and manifest.code is None:
        tell(f"It has a job of its own, {manifest.parent}, which is removed at its end")
    if opened.existing_results:
        tell(
            f"Version {manifest.version} has {counted(opened.existing_results, 'result')} already: these are added to it"
        )
