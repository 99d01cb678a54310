"""Looks for damage to what the home store keeps of runs: manifests, parameters and run logs (`fedml index verify`).

Whoever may write to the home store may put anything there, and a whole object can be another run's. So each is also compared
with what the index knows of the run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from federation.app import App
from federation.errors import FormatTooNew, IndexCorrupt
from federation.home import RUNS, RunKeys, read_manifest
from federation.index import Row, RunRow
from federation.index.maintenance.log_reader import Chain, read_log
from federation.index.maintenance.problem import Problem
from federation.index.rows import CANCELLED
from federation.log import CLOCK_SKEW_MAX_S
from federation.manifest import Manifest
from federation.run.brain.changes import Ack, Bind, Cancel, Read, Unusable, parse_entry
from federation.run.slot_inputs import inputs_of
from regions.storage.errors import IntegrityError, NotFound, StoreError

_RESTORE = "restore it from the bucket's version history or a copy; results, and the index, keep what they have"
_KEPT_LOG = re.compile(r"logs/([0-9]{1,18})/([0-9]{1,18})/[^/]+")
_SKEW = timedelta(seconds=2 * CLOCK_SKEW_MAX_S)


def run_problems(app: App) -> list[Problem]:
    """Everything that is wrong with the runs in the home store. Raises the home store's errors, and the index's."""
    held: dict[str, list[str]] = {}
    for info in app.home.list(RUNS):
        run, _, rest = info.key.removeprefix(RUNS).partition("/")
        held.setdefault(run, []).append(rest)
    # After the listing: a run is in the index before it is in the home.
    rows = {row.run: row for row in app.index.runs()}
    problems: list[Problem] = []
    for run in sorted({*held, *rows}):
        if run in rows:
            problems += _Run(app, rows[run], held.get(run, [])).problems()
        else:
            what = f"run {run} lies in the home and isn't in the index"
            mend = (
                "the index lost it (fedml index rebuild, on the machine that used it last), or it is of another index"
            )
            problems.append(Problem("run-unknown", app.home.url_of(RunKeys(run).manifest), what, mend))
    return problems


class _Run:
    """One run compared with what the index knows of it."""

    def __init__(self, app: App, row: RunRow, held: Sequence[str]) -> None:
        self._app = app
        self._home = app.home
        self._row = row
        self._held = held
        self._keys = RunKeys(row.run)
        self._results: list[Row] = app.index.won(row.run)

    def problems(self) -> list[Problem]:
        manifest, problems = self._manifest()
        chain = read_log(self._home, self._keys.log, _RESTORE)
        problems += chain.problems
        if not chain.problems:
            problems += self._log(chain, manifest)
        return problems

    # ── the manifest ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _manifest(self) -> tuple[Manifest | None, list[Problem]]:
        where = self._home.url_of(self._keys.manifest)
        try:
            manifest = read_manifest(self._home, self._row.run)
        except NotFound:
            if not self._was_driven:
                return None, []  # it was interrupted before it had one
            return None, [Problem("manifest-missing", where, f"the manifest of run {self._row.run} is gone", _RESTORE)]
        except (IndexCorrupt, FormatTooNew, IntegrityError) as error:
            return None, [Problem("manifest-torn", where, error.message, _RESTORE)]
        if fields := self._unlike(manifest):
            what = f"the manifest of run {self._row.run} isn't the one that it was opened with: {fields}"
            return None, [Problem("manifest-differs", where, what, _RESTORE)]
        try:
            inputs_of(manifest, self._home)
        except (IndexCorrupt, StoreError) as error:
            where = self._home.url_of(self._keys.params)
            return manifest, [Problem("inputs-torn", where, error.message, _RESTORE)]
        return manifest, []

    def _unlike(self, manifest: Manifest) -> str:
        names = ["run", "job", "version", "spec_hash", "slots"]
        if manifest.results != "none":
            names.append("expected_keys")
        each = ((name, getattr(manifest, name), getattr(self._row, name)) for name in names)
        return "; ".join(f"it says {name} {own!r}, the index {known!r}" for name, own, known in each if own != known)

    @property
    def _was_driven(self) -> bool:
        return bool(self._results) or any(
            f"{self._keys.folder}{rest}".startswith(self._keys.driven) for rest in self._held
        )

    # ── the run log ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _log(self, chain: Chain, manifest: Manifest | None) -> Iterator[Problem]:
        run, where = self._row.run, self._home.url_of(self._keys.log.rstrip("/"))
        changes = [change for entry in chain.entries for change in parse_entry(entry.changes)]
        if not changes:
            kept = any(rest.startswith("logs/") for rest in self._held)
            if self._results or kept or self._row.state == "done":
                yield Problem("run-log-missing", where, f"the log of run {run} is gone", _RESTORE)
            return
        unusable = [change.problem for change in changes if isinstance(change, Unusable)]
        if unusable:
            what = f"the log of run {run} has {len(unusable)} changes that can't be used: {unusable[0]}"
            yield Problem("change-unreadable", where, what, _RESTORE)
        reasons = [*self._of_another(chain, changes, manifest), *self._cut(changes)]
        if reasons:
            what = f"the log of run {run} is of another run, or its end is gone: {reasons[0]}"
            yield Problem("run-log-differs", where, what, _RESTORE)

    def _of_another(self, chain: Chain, changes: Sequence[Read], manifest: Manifest | None) -> Iterator[str]:
        if manifest is None:
            return
        first = datetime.fromisoformat(chain.entries[0].time)
        if first < datetime.fromisoformat(manifest.created) - _SKEW:
            yield f"it begins at {chain.entries[0].time}, and the run was opened at {manifest.created}"
        for change in changes:
            if isinstance(change, Bind) and change.slot >= manifest.slots:
                yield f"it binds slot {change.slot}, and the run has {manifest.slots}"
            elif isinstance(change, Bind) and change.region not in manifest.regions:
                yield f"it binds slot {change.slot} to region {change.region!r}, which isn't one of the run's"

    def _cut(self, changes: Sequence[Read]) -> Iterator[str]:
        bound = {(change.slot, change.attempt) for change in changes if isinstance(change, Bind)}
        children = {(change.slot, change.attempt): change.job_id for change in changes if isinstance(change, Ack)}
        for row in self._results:
            if (row.slot, row.attempt) not in bound:
                yield f"it has no attempt {row.attempt} of slot {row.slot}, whose result is in the index"
        known = next((row for row in self._results if (row.slot, row.attempt) in children), None)
        if known is not None:  # one tells whether the log is this run's
            child, own = children[known.slot, known.attempt], self._app.index.record(known).job_id
            if child != own:
                yield f"it has child {child!r} for slot {known.slot}, and the result in the index is of {own!r}"
        for rest in self._held:
            kept = _KEPT_LOG.fullmatch(rest)
            if kept and (int(kept[1]), int(kept[2])) not in bound:
                yield f"it has no attempt {int(kept[2])} of slot {int(kept[1])}, of which output is kept"
        if self._row.state == CANCELLED and not any(isinstance(change, Cancel) for change in changes):
            yield "it has no cancel, and the index has the run as cancelled"
