"""Compares records that lie in stores with all that is known of them, for `sync` and `rebuild`.

Known are manifests, run logs, fedml.toml, the index and what Nomad tells. A record of a fedml run must agree with the run's
manifest and log. For a run without a manifest and for a run of plain Nomad the strictest rules hold that remain: their place
by fedml.toml, the names that a child gives, and no way into another run's version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

from federation.app import App
from federation.claims import (
    Bound,
    Expected,
    OpenedRun,
    difference,
    known,
    of_allocation,
    of_attempt,
    of_child_name,
    of_opened,
    of_params,
    of_place,
    of_plain_child,
    of_refused,
    of_run,
    refusal,
    sites_of,
)
from federation.errors import IndexCorrupt
from federation.home import manifest_keys, read_manifest, run_log
from federation.log import Entry
from federation.manifest import Manifest
from federation.result import AD_HOC, UNVERSIONED, ResultRecord
from federation.run.brain.causes import refused_by
from federation.run.brain.changes import Ack, Bind, Fail, parse_entry
from federation.run.slot_inputs import inputs_of
from jobs.errors import FedmlError
from jobs.params.sweep import Inputs
from jobs.spec import SPEC_KEY
from regions.errors import NotFound as NotFoundInRegion
from regions.errors import RegionUnreachable
from regions.model import Allocation
from regions.storage.errors import NotFound

ASK_S = 5.0
"""How long one region may take to answer about a child."""

Child = tuple[Mapping[str, Any], list[Allocation]]


class Evidence:
    """Compares records with all that is known. `runs` are those that the index knows. None: there is no index, and all runs
    with a manifest count."""

    def __init__(self, app: App, runs: Iterable[OpenedRun] | None = None) -> None:
        self._app = app
        self._sites = sites_of(app.config.regions)
        self._given = runs
        self._manifests: dict[str, Manifest | None] = {}
        self._bound: dict[str, dict[int, list[Bound]]] = {}
        self._inputs: dict[str, Inputs] = {}
        self._children: dict[tuple[str, str], Child | None] = {}
        self._silent: set[str] = set()

    def refusal(self, record: ResultRecord, found_in: str) -> str:
        """Why a record that was found in the store of that name is refused; empty for one that agrees with all. Raises the
        home store's errors."""
        place = of_place(self._sites, record, found_in)
        run = record.key.run
        if run.startswith(AD_HOC):
            reason = refusal(record, place, of_plain_child(record), *self._of_plain_nomad(record))
            return reason or self._intrusion(record)
        manifest = self._manifest(run)
        if manifest is not None:
            return refusal(record, place, of_run(manifest, record), *self._of_manifest(manifest, record))
        if run in self._runs:
            return refusal(record, place, of_opened(self._runs[run], record), of_child_name(record))
        if self._given is not None:
            return f"its record says run {run!r}, which neither the index nor a manifest knows"
        return refusal(record, place, of_child_name(record)) or self._intrusion(record)

    # ── runs of fedml ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _of_manifest(self, manifest: Manifest, record: ResultRecord) -> Iterable[Expected]:
        names = [name for region in manifest.regions if region in self._sites for name in self._sites[region].names]
        yield {"region": known("its run's manifest has", *names)}
        if manifest.run not in self._inputs:
            self._inputs[manifest.run] = inputs_of(manifest, self._app.home)
        yield of_params(self._inputs[manifest.run](record.key.slot)[0])
        slots = self._bindings(manifest.run)
        if not slots:  # the run's log is lost with its bindings
            return
        bound = slots.get(record.key.slot, [])
        expected = of_attempt(bound, record, self._sites)
        one = next((one for one in bound if one.number == record.attempt), None)
        if one is not None and one.job_id != record.job_id:
            child = self._child(one.region, record.job_id)
            if child is not None and manifest.child_of(child[0]) == (record.key.slot, record.attempt):
                expected["child"] = known("Nomad has", record.job_id)
                yield from self._of_allocations(child, record)
        yield expected
        yield of_refused(bound, record)

    def _manifest(self, run: str) -> Manifest | None:
        if run not in self._manifests:
            try:
                self._manifests[run] = read_manifest(self._app.home, run)
            except (NotFound, IndexCorrupt):  # lost, or torn: the strictest reading
                self._manifests[run] = None
        return self._manifests[run]

    def _bindings(self, run: str) -> dict[int, list[Bound]]:
        """The attempts of each slot, as the run's log has them: the first binding of a number counts."""
        if run not in self._bound:
            said: dict[str, dict[tuple[int, int], str]] = {"bind": {}, "ack": {}, "fail": {}}
            entries: list[Entry] = []
            with suppress(IndexCorrupt):  # a torn log counts as lost
                entries = run_log(self._app.home, run).refresh()
            for change in (change for entry in entries for change in parse_entry(entry.changes)):
                match change:
                    case Bind():
                        said["bind"].setdefault((change.slot, change.attempt), change.region)
                    case Ack():
                        said["ack"].setdefault((change.slot, change.attempt), change.job_id)
                    case Fail():
                        said["fail"].setdefault((change.slot, change.attempt), refused_by(change.cause, change.reason))
            slots = self._bound[run] = {}
            for pair, region in said["bind"].items():
                one = Bound(pair[1], region, said["ack"].get(pair, ""), said["fail"].get(pair, ""))
                slots.setdefault(pair[0], []).append(one)
        return self._bound[run]

    @cached_property
    def _runs(self) -> dict[str, OpenedRun]:
        if self._given is not None:
            return {run.run: run for run in self._given}
        names = {run for run, _ in manifest_keys(self._app.home)}
        found = {}
        for name in names:
            try:
                manifest = self._manifest(name)
            except FedmlError:  # `rebuild` reports it
                continue
            if manifest is not None:
                found[name] = manifest
        return dict(found)

    def _intrusion(self, record: ResultRecord) -> str:
        """Why a record without a known run may not enter its job's version: the version belongs to runs of another jobspec."""
        own = {one.spec_hash for one in self._runs.values() if (one.job, one.version) == (record.job, record.version)}
        if not own or record.spec_hash in own:
            return ""
        has = f"the runs of {record.job} version {record.version} have"
        return difference(record, {"spec hash": known(has, *sorted(own))})

    # ── plain Nomad ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _of_plain_nomad(self, record: ResultRecord) -> Iterable[Expected]:
        """What the region's Nomad knows of the child, while it knows it."""
        region = next((name for name, site in self._sites.items() if record.region in site.names), "")
        child = self._child(region, record.job_id) if region else None
        if child is None:
            return
        job, _ = child
        meta = {str(name): str(value) for name, value in (job.get("Meta") or {}).items()}
        yield {
            "job": known("Nomad has", str(job.get("ParentID") or record.job_id)),
            "version": known("the child's meta has", *sorted({UNVERSIONED, *meta.values()})),
            "spec hash": known("Nomad has", meta.get(SPEC_KEY, "")),
            **of_params(meta),
        }
        yield from self._of_allocations(child, record)

    def _of_allocations(self, child: Child, record: ResultRecord) -> Iterable[Expected]:
        allocations = child[1]
        one = next((one for one in allocations if one.id == record.alloc_id), None)
        if one is not None:
            yield of_allocation(one, None, names_node=bool(record.spec_hash))
        elif allocations:
            yield {"allocation": known("Nomad has", *(one.id for one in allocations))}

    def _child(self, region: str, job_id: str) -> Child | None:
        """A child and its allocations. None where Nomad doesn't know it or can't be asked. A region that doesn't answer is
        asked once."""
        if (region, job_id) not in self._children:
            self._children[region, job_id] = None if region in self._silent else self._asked(region, job_id)
        return self._children[region, job_id]

    def _asked(self, region: str, job_id: str) -> Child | None:
        if region not in self._app.config.regions:
            return None
        from regions.nomad.client import NomadRegion

        client = NomadRegion(self._app.config.regions[region], timeout_s=ASK_S, deadline_s=ASK_S)
        try:
            return client.job(job_id), client.allocations(job_id=job_id)[0]
        except NotFoundInRegion:
            return None
        except RegionUnreachable:
            self._silent.add(region)
            return None
        except FedmlError:
            return None
        finally:
            client.close()
