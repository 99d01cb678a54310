"""Turns the failed slots of a run into the request of a new one, with the job's file as it is now."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from federation.app import App, JobRequest
from federation.errors import UsageError
from federation.index.rows import RUN_STATES_CLOSED
from federation.manifest import Manifest
from federation.run.brain.transitions import SlotState
from federation.run.slot_inputs import inputs_of
from federation.workflows.request import RunRequest
from federation.workflows.runs import Runs
from jobs.params.sweep import Asks, Rows
from jobs.params.values import with_params
from jobs.spec import FALLBACK_VERSION_KEY, VERSION_KEYS


def request_of_failed(app: App, run: str, request: RunRequest) -> tuple[RunRequest, str]:
    """A request for the slots of a run that failed (of a run that is over: all that aren't done), with their parameters,
    and a sentence about it. What `request` says about version, job, variables, regions and meta has priority.

    Raises UsageError for a run without such slots, for one whose slots differ in their payloads, and for a request that
    says itself how many slots there are.
    """
    if request.slots is not None or request.payload or not request.asks.is_empty:
        raise UsageError(
            "--failed-of already says which slots there are and what each gets",
            hint="leave out -n, --sweep, --params, --payload-dir and --payload",
        )
    runs = Runs(app)
    story = runs.story(run)
    manifest = story.manifest
    wanted = {SlotState.FAILED}
    if story.state in RUN_STATES_CLOSED:
        wanted |= {SlotState.CANCELLED, SlotState.OPEN}
    failed = [number for number, slot in enumerate(story.slots) if slot.state in wanted]
    if not failed:
        raise UsageError(f"no slot of run {manifest.run} has failed", hint=f"see: fedml runs show {manifest.run}")
    if manifest.sweep.payloads is not None:
        raise UsageError(
            f"the slots of run {manifest.run} differ in their payloads, which --failed-of can't repeat",
            hint=f"fedml runs retry {manifest.run}, or --payload-dir with a folder of the payloads that failed",
        )
    job = request.job
    made = replace(
        request,
        job=JobRequest(
            job.job or _job_of(app, manifest),
            job.variables or manifest.variables,
            job.var_files or tuple(app.config.root / path for path in manifest.var_files),
            job.regions or tuple(name for name in manifest.regions if name in app.config.regions),
        ),
        slots=len(failed),
        meta={**_meta_of(app, manifest), **(request.meta or {})},
        payload=manifest.payload,
        asks=_asks_of(app, manifest, failed),
    )
    name = Path(made.job.job).name
    return made, f"{len(failed)} of {len(story.slots)} slots of run {manifest.run}, with {name} as it is now"


def _job_of(app: App, manifest: Manifest) -> str:
    """The run's job file, or the ID of a job that was dispatched as it was registered."""
    return str(app.config.root / manifest.job_file) if manifest.job_file else manifest.job


def _meta_of(app: App, manifest: Manifest) -> dict[str, str]:
    """The meta that all slots had, without the version."""
    names = (app.config.version_meta, *VERSION_KEYS, FALLBACK_VERSION_KEY)
    version_key = next((name for name in names if name and manifest.meta.get(name) == manifest.version), None)
    return {name: value for name, value in with_params(manifest.meta).items() if name != version_key}


def _asks_of(app: App, manifest: Manifest, slots: list[int]) -> Asks:
    """One row of parameters for each slot. Empty where slots are alike. Raises IndexCorrupt."""
    if not (manifest.sweep.axes or manifest.sweep.params):
        return Asks()
    inputs = inputs_of(manifest, app.home)
    rows = [inputs.parameters(slot) for slot in slots]
    lines = tuple(json.dumps(row, ensure_ascii=False, sort_keys=True).encode() for row in rows)
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    return Asks(rows=Rows(f"run {manifest.run}, slot", lines, tuple(slots), names))
