"""Brings the code of a result here (`fedml index code`), and makes a run of it again (`fedml index reproduce`)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from federation.app import App, JobRequest
from federation.code.unpack import fetch_code
from federation.code.upload import fetch_packed
from federation.errors import IndexCorrupt, UsageError
from federation.home import read_manifest
from federation.index import Row
from federation.manifest import Manifest
from federation.result import MetricValue
from federation.workflows.code_stores import from_a_store
from federation.workflows.failed_slots import request_of_slots
from federation.workflows.index_copy import folder_name
from federation.workflows.request import RunRequest
from jobs.code_run import code_object, code_of
from jobs.frozen import frozen
from regions.storage.errors import NotFound
from regions.storage.store import Store

_T = TypeVar("_T")


@frozen
class ResultCode:
    """The code of a result, as it was unpacked. `store` is the URL that it came from."""

    path: Path
    sha256: str
    files: int
    store: str
    is_of_manifest: bool
    """The manifest of the run names it. Else only the result's record does."""


@frozen
class MetricPair:
    """One metric of a result and of its repetition; None where one lacks it."""

    name: str
    first: MetricValue | None
    again: MetricValue | None
    agrees: bool


def bring_code(app: App, row: Row, to: Path | None, allow: Sequence[str] = ()) -> ResultCode:
    """Unpacks the code that made a result into the folder `to` (None: one of the working folder, named by the result), which
    mustn't hold anything. Its hash is that of the run's manifest, where that has one. Raises UsageError, NotFound, CodeError,
    StoreError."""
    sha256, manifest = _code_of(app, row)
    is_known = manifest is not None and bool(manifest.code_sha256)
    target = Path(os.path.realpath(to or f"{folder_name(row)}-code"))
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UsageError(f"{target} holds something already", hint="name another folder with --to")

    def fetch(store: Store) -> ResultCode:
        return ResultCode(target, sha256, fetch_code(store, sha256, target), store.url, is_known)

    return _from_a_store(app, row, allow, fetch)


def request_of_result(app: App, row: Row, request: RunRequest) -> RunRequest:
    """A request that makes a result again: its code, command, environment, parameters and jobspec. The version is the next
    one. Raises UsageError for a result that `fedml run` didn't make, NotFound where its code is gone, StoreError."""
    sha256, manifest = _code_of(app, row)
    if manifest is None or manifest.code is None:
        raise UsageError(
            f"result {row.alloc_id} has no manifest of fedml run, so its command isn't known",
            hint=f"its code is there: fedml index code {row.alloc_id[:8]}",
        )
    packed = _from_a_store(app, row, (), lambda store: fetch_packed(store, sha256, app.config.cache_dir))
    made = request_of_slots(app, manifest, (row.slot,), replace(request, job=JobRequest(regions=request.job.regions)))
    assert made.code is not None
    return replace(made, code=replace(made.code, packed=packed))


def compare_metrics(
    first: Mapping[str, MetricValue],
    again: Mapping[str, MetricValue],
    tolerance: float,
    only: Collection[str] | None = None,
) -> list[MetricPair]:
    """All metrics, or those of `only`, those that differ first. Numbers agree within `tolerance`, relative to the larger
    one; 0: exactly. A metric that neither has differs."""
    pairs = [
        MetricPair(name, first.get(name), again.get(name), _agree(first.get(name), again.get(name), tolerance))
        for name in sorted(only or {*first, *again})
    ]
    return sorted(pairs, key=lambda pair: pair.agrees)


def _agree(first: MetricValue | None, again: MetricValue | None, tolerance: float) -> bool:
    if first is None or again is None:
        return False
    if isinstance(first, float | int) and isinstance(again, float | int):
        both_nan = math.isnan(first) and math.isnan(again)
        return both_nan or first == again or math.isclose(first, again, rel_tol=tolerance)
    return first == again


def _code_of(app: App, row: Row) -> tuple[str, Manifest | None]:
    """The name of the code: the manifest's; where the run has none, what the record says. Raises UsageError, IndexCorrupt."""
    try:
        manifest = read_manifest(app.home, row.run)
    except NotFound:
        manifest = None
    sha256 = (manifest.code_sha256 if manifest is not None else "") or row.code
    if not sha256:
        raise UsageError(
            f"result {row.alloc_id} wasn't made by fedml run, so its code isn't in a store",
            hint=f"what is known of it: fedml index lineage {row.alloc_id[:8]}",
        )
    if row.code not in ("", sha256) or not code_of(code_object(sha256)):
        raise IndexCorrupt(f"result {row.alloc_id} says code {row.code[:80]!r}, and its run's manifest {sha256[:80]!r}")
    return sha256, manifest


def _from_a_store(app: App, row: Row, allow: Sequence[str], use: Callable[[Store], _T]) -> _T:
    """What `use` makes of the first store that has the code: that of the result, else any other."""
    stores = app.result_stores(allow)
    others = (partial(stores.of, name) for name in stores.names)
    return from_a_store([partial(stores.of, row.store, row), *others], use)
