"""Turns the failed slots of a run into the request of a new one, with the job's file as it is now."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from federation.app import App, JobRequest
from federation.errors import IndexCorrupt, UsageError
from federation.index.rows import RUN_STATES_CLOSED
from federation.manifest import Manifest
from federation.run.brain.transitions import SlotState
from federation.run.slot_inputs import inputs_of, payloads_of
from federation.task.command_line import parse_command
from federation.text import counted
from federation.workflows.request import CodeRequest, FailedSlots, RunRequest
from federation.workflows.run_reader import RunReader, RunStory
from jobs.code_run import CODE_KEY, COMMAND_KEY, with_params
from jobs.errors import ForeignTextError
from jobs.params.sweep import Asks, Rows, Sweep
from jobs.spec import FALLBACK_VERSION_KEY, VERSION_KEYS


def request_of_failed(app: App, run: str, request: RunRequest) -> tuple[RunRequest, str]:
    """A request for the slots of a run that failed (of a run that is over: all that aren't done), with their parameters,
    and a sentence about it. What `request` says about version, job, variables, regions and meta has priority.

    Raises UsageError for a run without such slots, and for a request that says itself how many slots there are.
    """
    if request.slots is not None or request.payload or not request.asks.is_empty:
        raise UsageError(
            "--failed-of already says which slots there are and what each gets",
            hint="leave out -n, --sweep, --params, --payload-dir and --payload",
        )
    story = RunReader(app).story(run)
    manifest, failed = story.manifest, _failed(story)
    if not failed:
        raise UsageError(f"no slot of run {manifest.run} has failed", hint=f"see: fedml runs show {manifest.run}")
    made = request_of_slots(app, manifest, failed, request)
    name = Path(made.job.job).name
    what = f"{name} as it is now" if made.code is request.code else "the code that they had"
    said = f"{len(failed)} of {len(story.slots)} slots of run {manifest.run}, with {what}"
    return replace(made, failed_of=FailedSlots(manifest.run, failed)), said


def request_of_slots(app: App, manifest: Manifest, slots: tuple[int, ...], request: RunRequest) -> RunRequest:
    """A request for these slots of a run, with their parameters, and their code where `request` has no code or job of its
    own. What it says about version, variables, regions and meta has priority. Raises IndexCorrupt."""
    job = request.job
    code = request.code if request.code is not None or job.job else _code_of(manifest)
    return replace(
        request,
        job=JobRequest(
            job.job or _job_of(app, manifest),
            job.variables or manifest.variables,
            job.var_files or tuple(app.config.root / path for path in manifest.var_files),
            job.regions or tuple(name for name in manifest.regions if name in app.config.regions),
            code.kept.jobspec if code is not None else "",
        ),
        code=code,
        slots=len(slots),
        meta={**_meta_of(app, manifest), **(request.meta or {})},
        payload=manifest.payload,
        asks=_asks_of(app, manifest, slots),
    )


def change_of_failed(app: App, was: FailedSlots) -> str:
    """Says that other slots of the run have failed by now; empty where they are the same."""
    now = _failed(RunReader(app).story(was.run))
    if now == was.slots:
        return ""
    return f"run {was.run} had {counted(len(was.slots), 'failed slot')}, and has {'others' if now else 'none'} now"


def _failed(story: RunStory) -> tuple[int, ...]:
    wanted = {SlotState.FAILED}
    if story.state in RUN_STATES_CLOSED:
        wanted |= {SlotState.CANCELLED, SlotState.OPEN}
    return tuple(number for number, slot in enumerate(story.slots) if slot.state in wanted)


def _job_of(app: App, manifest: Manifest) -> str:
    """The run's job file, or the ID of a job that was dispatched as it was registered."""
    return str(app.config.root / manifest.job_file) if manifest.job_file else manifest.job


def _code_of(manifest: Manifest) -> CodeRequest | None:
    """The code that the run had, which is in the stores. Raises IndexCorrupt where the manifest contradicts itself: what is
    shown of a run must be what its slots run."""
    code, meta = manifest.code, manifest.meta
    if code is None:
        return None
    try:
        command = parse_command(meta.get(COMMAND_KEY, ""))
    except ForeignTextError as error:
        raise IndexCorrupt(f"the manifest of run {manifest.run} can't be used: {error.message}") from error
    if (meta.get(CODE_KEY), command.argv) != (code.sha256, code.command):
        raise IndexCorrupt(
            f"the manifest of run {manifest.run} says another code or command than what its slots get",
            hint="somebody changed it: restore it from the bucket's version history",
        )
    return CodeRequest(code, {key: meta[key] for key in (CODE_KEY, COMMAND_KEY)})


def _meta_of(app: App, manifest: Manifest) -> dict[str, str]:
    """The meta that all slots had, without the version."""
    names = (app.config.version_meta, *VERSION_KEYS, FALLBACK_VERSION_KEY)
    version_key = next((name for name in names if name and manifest.meta.get(name) == manifest.version), None)
    return {name: value for name, value in with_params(manifest.meta).items() if name != version_key}


def _asks_of(app: App, manifest: Manifest, slots: tuple[int, ...]) -> Asks:
    """The parameters and the payload of each slot. Empty where slots are alike. Raises IndexCorrupt."""
    sweep = manifest.sweep
    if sweep == Sweep():
        return Asks()
    inputs, kept = inputs_of(manifest, app.home), payloads_of(manifest, app.home)
    payloads = tuple(kept[inputs.payload_of(slot)] for slot in slots) if kept else ()
    if not (sweep.axes or sweep.params):
        return Asks(payloads=payloads)
    rows = [inputs.parameters(slot) for slot in slots]
    lines = tuple(json.dumps(row, ensure_ascii=False).encode() for row in rows)
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    return Asks((), Rows(f"run {manifest.run}, slot", lines, slots, names), payloads, is_paired=bool(payloads))
