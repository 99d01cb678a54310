"""Finds open runs of other people that still dispatch a job which a deployment would change.

A run dispatches one spec. When its parent job is another, it gives up on that region. So whoever deploys learns of such runs
before anything is changed. An isolated run has a parent job of its own, removed when the last run that has it is over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence

from federation.app import App, PreparedJob
from federation.deploy.rollout import purge_isolated
from federation.errors import RunInTheWay
from federation.home import read_manifest
from federation.manifest import Manifest
from jobs.frozen import frozen
from regions.storage.errors import NotFound

WAIT_S = 2.0
"""Pause between two looks whether a run that is waited for is over."""


@frozen
class OpenRun:
    """A run that isn't over."""

    manifest: Manifest
    regions: tuple[str, ...]
    """Where its job would change."""
    missing: int
    """Results that it still waits for."""

    def __str__(self) -> str:
        one = self.manifest
        is_open = one.results == "none"
        results = "it is open" if is_open else f"{self.missing} of {one.expected_keys} results are missing"
        return f"run {one.run} of {one.author} (version {one.version}, {results}) uses it in {', '.join(self.regions)}"


def runs_in_the_way(app: App, prepared: PreparedJob, changing: Collection[str]) -> list[OpenRun]:
    """Finds the open runs whose job would change in these regions, newest first."""
    found = []
    for manifest, missing in _open_runs(app, prepared.shape.id):
        regions = tuple(name for name in manifest.regions if name in changing)
        if regions and manifest.parent_id == prepared.job_id and manifest.spec_hash != prepared.spec_hash:
            found.append(OpenRun(manifest, regions, missing))
    return found


def make_way(
    app: App,
    prepared: PreparedJob,
    changing: Collection[str],
    tell: Callable[[str], None],
    *,
    wait: bool,
    force: bool,
) -> bool:
    """Waits for other runs, or ignores them, before a deployment that changes the job in these regions. True if time
    passed, so that all must be asked anew.

    Raises RunInTheWay for another run's open slots, unless `wait` or `force`.
    """
    found = runs_in_the_way(app, prepared, changing)
    if not found:
        return False
    if force:
        for one in found:
            tell(f"Ignored (--force): {one}. It will dispatch nothing more there")
        return False
    if not wait:
        raise RunInTheWay(
            f"the job {prepared.job_id} would change under another run's open slots: {found[0]}"
            + (f"; and {len(found) - 1} more" if len(found) > 1 else ""),
            hint="wait for it: --wait; give this run a job of its own: --isolate; let it go on without those regions: "
            f"--force; or end it: fedml runs cancel {found[0].manifest.run}",
        )
    announced: set[str] = set()
    while found := runs_in_the_way(app, prepared, changing):
        for one in found:
            if one.manifest.run not in announced:
                tell(f"Waiting: {one}")
                announced.add(one.manifest.run)
        threading.Event().wait(WAIT_S)
    return True


def end_isolation(app: App, manifest: Manifest, regions: Sequence[str]) -> None:
    """Removes an isolated run's own job from these regions at its end, unless another open run has the same one. A region
    that can't be reached keeps the job, which does nothing by itself."""
    if not manifest.parent or manifest.code is not None:
        return
    others = (other for other, _ in _open_runs(app, manifest.job) if other.run != manifest.run)
    if not any(other.parent == manifest.parent for other in others):
        purge_isolated([app.client(name) for name in regions], manifest.parent)


def _open_runs(app: App, job: str) -> Iterator[tuple[Manifest, int]]:
    """Lists the job's open runs, with how many results each still waits for. A run without a manifest has dispatched
    nothing and is left out."""
    for row in app.index.runs(job=job, state="open"):
        try:
            yield read_manifest(app.home, row.run), row.expected_keys - row.committed
        except NotFound:
            continue
