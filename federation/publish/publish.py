"""Writes an artifact's files and then its record into the datacenter's store. Runs on the node.

The order is the guarantee. Files come first, under keys with the allocation and the manifest's hash, so that a key always
gets the same bytes. The record comes last, with create-if-absent. So no record exists without its artifact, an interrupted
call can be repeated, and a second call in the same allocation has the same outcome.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from federation.errors import PublishError
from federation.publish.artifact import (
    Artifact,
    fitting_metrics,
    fitting_texts,
    read_artifact,
    read_data,
    read_environment,
    read_metrics,
)
from federation.publish.provenance import found_origin, installed_versions, package_versions, platform_name
from federation.publish.send import send
from federation.publish.task_identity import Allocation, allocation_of
from federation.publish.usage import task_usage
from federation.result import ENVIRONMENT_MAX, LEFT_OUT, MetricValue, ResultRecord
from federation.text import shortened
from jobs.frozen import frozen
from regions.storage import Store, open_store, parse_store_url, store_url
from regions.storage.errors import AlreadyExists, InvalidStoreURL, NotFound, PermissionDenied
from regions.storage.store import Create, Progress, checked_key
from regions.store_config import StoreConfig

DISTRIBUTION = "fedml-nomad"
_LEFT_OUT_CHARS = 1_000
LEFT_RECORD = "fedml/result.json"
"""Path of the record's copy in the allocation's folder, for a coordinator that can read that but not the store."""


@frozen
class PublishOutcome:
    """What is in the store now. `was_there`: an earlier call of this allocation had published the same artifact."""

    record: ResultRecord
    was_there: bool
    store_url: str
    record_url: str
    artifact_url: str
    notes: tuple[str, ...] = ()
    """Warnings: metrics left out, a copy of the record that couldn't be written."""


class _Material(NamedTuple):
    """What is published. `prefix` is None if the files must be sent, else their prefix in `store`."""

    artifact: Artifact
    notes: Path | None
    """The folder with metrics.json and so on, if there is one."""
    store: StoreConfig
    prefix: str | None = None


def publish(
    source: Path | str,
    *,
    environ: Mapping[str, str] | None = None,
    metrics: Mapping[str, MetricValue] | None = None,
    origin: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    progress: Progress | None = None,
    site_packages: Sequence[str] | None = None,
) -> PublishOutcome:
    """Publishes the folder or file at `source` as the result of this allocation. If `source` is a URL, records its objects
    where they are, without copying.

    `environ` is the task's environment (default: this process's). `metrics` overrides `metrics.json`, and `origin` the
    record's environment (`format`, `framework`, `data_url`). `progress` is called with the number of bytes sent.
    `site_packages` are the folders with the training's packages, if another Python than this one trained (empty: unknown).
    Raises PublishError or StoreError, and then no record was written. A second, different artifact of the allocation is
    refused.
    """
    environ = os.environ if environ is None else environ
    allocation = allocation_of(environ, node=os.uname().nodename)
    config = parse_store_url(allocation.store_url)
    with _folder_of_notes(source) as folder:
        material = _material(source, config, Path(folder), ignore)
        in_file, notes = read_metrics(material.notes) if material.notes else ({}, [])
        environment, environment_notes = _environment(environ, material, site_packages)
    environment |= origin or {}
    record, left_out = _record(allocation, material, {**in_file, **(metrics or {})}, environment)
    notes += [*environment_notes, *left_out]
    if notes and len(record.environment) < ENVIRONMENT_MAX:
        from dataclasses import replace  # takes a while to import, and tasks begin with this module

        left_out_text = shortened("; ".join(notes), _LEFT_OUT_CHARS)
        record = replace(record, environment={**record.environment, LEFT_OUT: left_out_text})
    _check_keys(record)
    _check_record(record)
    store = open_store(config)
    store.progress = progress
    kept = _published_before(store, record)
    was_there = kept is not None
    if kept is None:
        if material.prefix is None:
            send(store, record, material.artifact)
        kept, was_there = _write_record(store, record)
    notes += _copy_to_allocation(kept, environ)
    return PublishOutcome(
        record=kept,
        was_there=was_there,
        store_url=kept.store,
        record_url=store.url_of(kept.key.record_key(kept.alloc_id)),
        artifact_url=f"{material.store.url}/{kept.artifact_prefix}".rstrip("/"),
        notes=tuple(notes),
    )


def _folder_of_notes(source: Path | str) -> AbstractContextManager[str]:
    """A temporary folder for what is read of a URL. A path needs none."""
    if not _is_url(source):
        return nullcontext("")
    from tempfile import TemporaryDirectory

    return TemporaryDirectory(prefix="fedml-publish-")


def _is_url(source: Path | str) -> bool:
    return isinstance(source, str) and "://" in source


def _material(source: Path | str, config: StoreConfig, folder: Path, ignore: Sequence[str]) -> _Material:
    if _is_url(source):
        from federation.publish.in_place import read_in_place

        objects = read_in_place(str(source), config, folder, ignore=ignore)
        return _Material(objects.artifact, folder, objects.store, objects.prefix)
    path = Path(source)
    artifact = read_artifact(path, ignore=ignore)
    return _Material(artifact, artifact.root if path.is_dir() else None, config)


def _environment(
    environ: Mapping[str, str], material: _Material, site_packages: Sequence[str] | None
) -> tuple[dict[str, str], list[str]]:
    """The record's environment, with notes on what was left out. The artifact's own files override what the node says."""
    used = task_usage(environ)  # before anything else is started: its children would count as the task's
    environment = {"platform": platform_name()}
    if site_packages is None:
        environment["python"] = sys.version.split()[0]
    if version := installed_versions([DISTRIBUTION], sys.path).get(DISTRIBUTION):
        environment["fedml"] = version
    folders = [Path()] if material.prefix is not None else [material.artifact.root, Path()]
    environment |= package_versions(site_packages) | found_origin(environ, folders) | used
    if material.notes is None:
        return environment, []
    (described, notes), (data, data_notes) = read_environment(material.notes), read_data(material.notes)
    return environment | described | data, notes + data_notes


def _record(
    allocation: Allocation,
    material: _Material,
    metrics: Mapping[str, MetricValue],
    environment: Mapping[str, str],
) -> tuple[ResultRecord, list[str]]:
    """Makes the record, with notes on what it can't hold."""
    measured, notes = fitting_metrics(metrics)
    params, params_notes = fitting_texts(allocation.params, "parameter")
    fitting, environment_notes = fitting_texts(environment, "environment")
    record = ResultRecord(
        key=allocation.key,
        attempt=allocation.attempt,
        job=allocation.job,
        version=allocation.version,
        spec_hash=allocation.spec_hash,
        region=allocation.region,
        datacenter=allocation.datacenter,
        node=allocation.node,
        alloc_id=allocation.id,
        job_id=allocation.job_id,
        store=store_url(material.store),
        manifest_sha256=material.artifact.manifest_sha256,
        files=material.artifact.files,
        created=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        metrics=measured,
        params=params,
        environment=fitting,
        prefix=material.prefix,
    )
    return record, [*notes, *params_notes, *environment_notes]


def _check_keys(record: ResultRecord) -> None:
    """Checks all keys before anything is sent."""
    try:
        checked_key(record.key.record_key(record.alloc_id))
        for file in record.files:
            checked_key(record.artifact_prefix + file.path)
    except InvalidStoreURL as error:
        raise PublishError(f"the artifact can't be published: {error}", hint="shorten the file's path") from None


def _check_record(record: ResultRecord) -> None:
    """Checks before anything is sent that readers will accept the record."""
    try:
        ResultRecord.from_json(record.to_json(), source="the record")
    except (ValueError, TypeError) as error:
        raise PublishError(f"the record can't be written: {error}", hint="check the task's environment") from error


def _published_before(store: Store, record: ResultRecord) -> ResultRecord | None:
    """This allocation's record if it exists with the same artifact. Raises PublishError for another artifact."""
    key = record.key.record_key(record.alloc_id)
    try:
        kept = ResultRecord.from_json(store.get(key), source=store.url_of(key))
    except (NotFound, PermissionDenied):  # a node's role may be allowed to create only
        return None
    if kept.manifest_sha256 != record.manifest_sha256:
        raise PublishError(
            f"allocation {record.alloc_id} has already published another artifact "
            f"({len(kept.files)} files, {kept.size_bytes} bytes, at {kept.created}), which differs from this one",
            hint="a result is never replaced: dispatch again for a new one",
        )
    return kept


def _write_record(store: Store, record: ResultRecord) -> tuple[ResultRecord, bool]:
    key = record.key.record_key(record.alloc_id)
    try:
        store.put(key, record.to_json(), Create(), content_type="application/json")
    except AlreadyExists as error:
        kept = _published_before(store, record)
        if kept is None:
            raise PublishError(
                f"allocation {record.alloc_id} has published already, and its record can't be read from here",
                hint="let the node's role read its own results, or dispatch again",
            ) from error
        return kept, True
    return record, False


def _copy_to_allocation(record: ResultRecord, environ: Mapping[str, str]) -> list[str]:
    """Copies the record into the allocation's folder. A failure is only a note."""
    folder = environ.get("NOMAD_ALLOC_DIR")
    if not folder:
        return []
    copy = Path(folder) / LEFT_RECORD
    partial = copy.with_name(f".{copy.name}.{os.getpid()}")
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(record.to_json())
        partial.replace(copy)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        return [f"the record could not be copied to {copy} ({error.strerror}). It is in the store."]
    return []
