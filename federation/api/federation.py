"""Opens a federation for a program: plans, dispatches, the index."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType

from federation.api.arguments import at_least, checked
from federation.api.index import FederatedIndex
from federation.api.plan import PlanPreview
from federation.api.progress import Progress
from federation.api.request import run_request
from federation.api.run import Drive, Run, cancelled
from federation.api.table import RunList
from federation.app import App
from federation.config.load import load
from federation.curves import KeepBest
from federation.errors import UsageError
from federation.manifest import Manifest
from federation.run.user_limits import Patience
from federation.task.command_line import PASSES
from federation.workflows.dispatch import begin
from federation.workflows.plan import preview
from federation.workflows.request import RunRequest
from federation.workflows.run_code import CodeAsk, code_run
from federation.workflows.run_list import STATES, RunFilter, list_runs
from federation.workflows.runs import Runs
from jobs.code_job import DRIVERS
from jobs.params.values import Value
from regions.loopback import keep_loopback_from_proxies

_LOG = logging.getLogger("fedml")


@checked
def open(path: Path | str | None = None) -> Federation:  # noqa: A001 - federation.open reads as it is meant
    """Opens the federation of a fedml.toml or of its folder. Without a path, finds it as the command does. Sends no request
    yet. Raises ConfigError."""
    keep_loopback_from_proxies()
    return Federation(App(load(Path(path) if path is not None else None)))


class Federation:
    """One federation. `close` or the end of `with` closes it. Runs that it dispatched continue."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.name = app.config.name
        self.regions = tuple(app.config.regions)
        self._runs: dict[str, Run] = {}

    def __enter__(self) -> Federation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<federation {self.name}: {', '.join(self.regions)}>"

    def close(self) -> None:
        """Closes connections and the local catalog."""
        self._app.close()

    @cached_property
    def index(self) -> FederatedIndex:
        """The index of all results."""
        return FederatedIndex(self._app)

    @checked
    def plan(
        self,
        slots: int | None = None,
        *,
        version: str | int | None = None,
        regions: Sequence[str] | None = None,
        job: str = "",
        variables: Mapping[str, Value] | None = None,
        meta: Mapping[str, Value] | None = None,
        sweep: Mapping[str, Sequence[object]] | None = None,
        params: Sequence[Mapping[str, object]] | None = None,
        policy: str | None = None,
    ) -> PlanPreview:
        """Plans how a dispatch would spread now, and what would change. Writes nothing. Raises FederationError if no region
        answers, HclError, InvalidSpec and InvalidMeta."""
        request = run_request(slots, version, regions, job, variables, meta, sweep, params, policy)
        made = preview(self._app, request)
        made.require_an_answer()
        return PlanPreview.of(made, self._app.config)

    @checked
    def dispatch(
        self,
        slots: int | None = None,
        *,
        version: str | int | None = None,
        regions: Sequence[str] | None = None,
        job: str = "",
        variables: Mapping[str, Value] | None = None,
        meta: Mapping[str, Value] | None = None,
        sweep: Mapping[str, Sequence[object]] | None = None,
        params: Sequence[Mapping[str, object]] | None = None,
        policy: str | None = None,
        name: str = "",
        skip_unreachable: bool = False,
        slot_timeout_s: float | None = None,
        pending_timeout_s: float | None = None,
        max_attempts: int | None = None,
        max_failures: int | str | None = None,
        stop_when: str | None = None,
        keep_best: KeepBest | None = None,
    ) -> Run:
        """Deploys the job where its file changed, dispatches the slots by free capacity and returns the run. A thread drives
        it to its end. Only `regions` are used, for retries too. `slots` None: one for each combination of `sweep`
        (`{"lr": [0.1, 0.01]}`) and `params` (rows: `[{"depth": 3}, …]`), else as in fedml.toml, else one in each region.
        `name` can stand for the run's ID afterwards.

        An attempt that runs longer than `slot_timeout_s`, or waits longer than `pending_timeout_s`, is stopped; a slot has at
        most `max_attempts`; the run ends when more than `max_failures` slots (5, or "5%") failed. None: as in fedml.toml.
        `stop_when` ("metrics.loss > 10") stops slots by their curves. `keep_best=federation.KeepBest(8, after=5)` lets the 8
        with the least loss go on, of those that reached step 5.

        Logs each step before the first dispatch to the logger `fedml`. Raises, before anything is written, UsageError if a
        region doesn't answer (unless `skip_unreachable`), NoPlace if none has room, and the errors of `plan`.
        """
        at_least("dispatch(): slot_timeout_s", slot_timeout_s, 0, is_exclusive=True)
        at_least("dispatch(): pending_timeout_s", pending_timeout_s, 0, is_exclusive=True)
        at_least("dispatch(): max_attempts", max_attempts, 1)
        failures = None if max_failures is None else str(max_failures)
        limits = (failures, max_attempts, slot_timeout_s, pending_timeout_s)
        patience = Patience(*limits, stop_when=stop_when, keep_best=keep_best)
        request = run_request(slots, version, regions, job, variables, meta, sweep, params, policy)
        request = replace(request, patience=patience, name=name)
        return self._begun(request, skip_unreachable=skip_unreachable)

    @checked
    def run(
        self,
        script: Path | str | None = None,
        args: Sequence[str] = (),
        *,
        code: Path | str | None = None,
        command: Sequence[str] = (),
        slots: int | None = None,
        version: str | int | None = None,
        regions: Sequence[str] | None = None,
        param: Mapping[str, Value] | None = None,
        sweep: Mapping[str, Sequence[object]] | None = None,
        params: Sequence[Mapping[str, object]] | None = None,
        policy: str | None = None,
        name: str = "",
        job: str | None = None,
        cpu: int | None = None,
        memory: int | None = None,
        gpu: int | None = None,
        driver: str | None = None,
        image: str | None = None,
        pass_as: str | None = None,
        retries: int | None = None,
        large: bool = False,
        skip_unreachable: bool = False,
        slot_timeout_s: float | None = None,
        max_failures: int | str | None = None,
        stop_when: str | None = None,
        keep_best: KeepBest | None = None,
    ) -> Run:
        """Runs code of your own in all regions, as `fedml run` does, and returns the run. A thread drives it to its end.

        Either a Python `script` with its `args`, or a folder `code` with the `command` that runs in it
        (`["python", "-m", "trainer"]`). `param` holds parameters of all slots, `sweep` and `params` those in which slots
        differ; `pass_as` is "args" or "env". `job` names the job, under which results are in the index. `cpu` is in MHz and
        `memory` in MB, for each slot. What isn't given comes from `[tool.fedml]` beside the code, then from `[run]` in
        fedml.toml. The rest is as in `dispatch`.

        Raises UsageError, ConfigError and CodeError for code that can't run or can't be packed, and the errors of
        `dispatch`, before anything is dispatched.
        """
        app = self._app
        if (script is None) == (code is None):
            raise UsageError("run() takes a script, or code with a command", hint='write  run("train.py")')
        if (code is not None and args) or (script is not None and command):
            raise UsageError("run(): args belong to a script, and command to code", hint="leave one of them out")
        options = {"cpu": cpu, "memory": memory, "gpu": gpu, "driver": driver, "image": image}
        for setting, least in (("cpu", 1), ("memory", 1), ("gpu", 0)):
            at_least(f"run(): {setting}", options[setting], least)  # type: ignore[arg-type]
        at_least("run(): retries", retries, 0)
        at_least("run(): slot_timeout_s", slot_timeout_s, 0, is_exclusive=True)
        _one_of("driver", driver, DRIVERS)
        _one_of("pass_as", pass_as, PASSES)
        options |= {"passes": pass_as, "retries": retries, "name": job}
        words = (str(script), *args) if script is not None else tuple(command)
        ask = CodeAsk(words, Path(code) if code is not None else None, options, large)
        made = code_run(app, ask, _LOG.info)
        request = run_request(slots, version, regions, "", None, param, sweep, params, policy)
        failures = None if max_failures is None else str(max_failures)
        patience = Patience(failures, None, slot_timeout_s, stop_when=stop_when, keep_best=keep_best)
        request = replace(request, patience=patience, name=name)
        request = made.request(made.packed(app.config.cache_dir, _LOG.info), request)
        return self._begun(request, skip_unreachable=skip_unreachable)

    def _begun(self, request: RunRequest, *, skip_unreachable: bool) -> Run:
        opened, prepared = begin(self._app, request, skip_unreachable=skip_unreachable, tell=_LOG.info)
        manifest = opened.manifest
        progress = Progress(manifest)
        return self._driven(manifest, lambda runs, observe: runs.start(opened, prepared, observe), progress)

    @checked
    def runs(
        self, *, job: str | None = None, state: str | None = None, author: str | None = None, limit: int | None = None
    ) -> RunList:
        """The runs that match all conditions, newest first. `state` is open, undriven (open, and no
        process drives it), done, failed or cancelled, an author `ann@host` or `ann`."""
        at_least("runs(): limit", limit, 0)
        if state not in (None, *STATES):
            states = ", ".join(STATES)
            raise UsageError(f"runs(): a run has no state {state!r}", hint=f"there are: {states}")
        return RunList(
            list_runs(Runs(self._app), self._app.index, RunFilter(job=job, author=author), state=state).rows[:limit]
        )

    @checked
    def resume(self, run: str) -> Run:
        """Continues the run of this ID (or a part of it) or name, or `last`. If this process drives it already, returns
        that. Raises UsageError."""
        found = Runs(self._app).find(run).run
        known = self._runs.get(found)
        if known is not None and known.is_driven:
            return known
        story = Runs(self._app).story(found)
        progress = Progress(story.manifest, story)
        return self._driven(story.manifest, lambda runs, observe: runs.resume(found, observe), progress)

    @checked
    def cancel(self, run: str, reason: str = "cancelled") -> str:
        """Ends the run of this ID or name, whoever drives it, and stops its attempts in all regions that answer.
        Returns its state then: cancelled, or done if it was over already. Raises UsageError."""
        found = Runs(self._app).find(run).run
        known = self._runs.get(found)
        return known.cancel(reason) if known is not None else cancelled(self._app, found, reason)

    @checked
    def retry(self, run: str, slots: Sequence[int] = ()) -> Run:
        """Gives failed slots (default: all) of the run of this ID or name new attempts, and returns the run, which
        a thread drives. Raises UsageError."""
        found = Runs(self._app).find(run).run
        known = self._runs.get(found)
        if known is not None:
            known.retry(slots)
            return known
        Runs(self._app).retry(found, slots)
        return self.resume(found)

    def _driven(self, manifest: Manifest, drive: Drive, progress: Progress) -> Run:
        run = self._runs[manifest.run] = Run(self._app.config, manifest, drive, progress)
        return run


def _one_of(name: str, value: str | None, allowed: Sequence[str]) -> None:
    if value is not None and value not in allowed:
        raise UsageError(f"run(): {name} is {value!r}", hint=f"write one of: {', '.join(allowed)}")
