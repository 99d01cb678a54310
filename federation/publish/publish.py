"""An artifact on a node enters, its files and then its record leave for the datacenter's store.

Order is the guarantee: files first, under keys that hold the allocation and the manifest's hash (the same key always gets
the same bytes), the record last, with create-if-absent. So there is no record without its artifact; whatever interrupts,
running it again goes on; and run twice by the same allocation it gives the same outcome.
"""

from __future__ import annotations

import os
import platform
import socket
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

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
from federation.publish.in_place import is_url, read_in_place
from federation.publish.provenance import found_origin, package_versions
from federation.publish.task_identity import Allocation, allocation_of
from federation.publish.usage import task_usage
from federation.result import MetricValue, ResultFile, ResultRecord
from regions.model import StoreConfig
from regions.storage import Store, open_store, parse_store_url, store_url
from regions.storage.errors import AlreadyExists, InvalidStoreURL, NotFound, PermissionDenied
from regions.storage.store import Create, Progress, checked_key

DISTRIBUTION = "fedml-nomad"
SMALL_FILES_AT_ONCE = 16
SMALL_FILE_BYTES_MAX = 4 << 20
"""So that at most 64 MiB are in memory at once, as with a large file's parts."""
LEFT_RECORD = "fedml/result.json"
"""Where the record is left in the allocation's folder, for a coordinator that can read that but not the store."""


@dataclass(frozen=True, slots=True)
class PublishOutcome:
    """What is now in the store. `was_there`: an earlier run of this allocation had published the same already."""

    record: ResultRecord
    was_there: bool
    store_url: str
    record_url: str
    artifact_url: str
    notes: tuple[str, ...] = ()
    """What a person should know although it worked: metrics left out, a record that couldn't be left in the folder."""


@dataclass(frozen=True, slots=True)
class _Material:
    """What is published: `prefix` None, if its files are still to be sent; else where they lie in `store` already."""

    artifact: Artifact
    told: Path | None
    """The folder where metrics.json and its like are, if there is one."""
    store: StoreConfig
    prefix: str | None = None


def publish(
    source: Path | str,
    *,
    environ: Mapping[str, str] | None = None,
    metrics: Mapping[str, MetricValue] | None = None,
    told: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    progress: Progress | None = None,
) -> PublishOutcome:
    """Publish the folder or file at `source` as the result of this allocation; or, when it is the URL of something in a
    store, record it where it lies, without copying.

    `environ` is the task's environment (default: the process's own); `metrics` add to those of `metrics.json` and win
    over them, `told` likewise to what the record's environment holds (`format`, `framework`, `data_url`). `progress` is
    told of the bytes that went over. Raises
    PublishError or StoreError, and then no record was written. It is refused when this allocation has published another
    artifact: one allocation, one result.
    """
    environ = os.environ if environ is None else environ
    allocation = allocation_of(environ, node=socket.gethostname())
    config = parse_store_url(allocation.store_url)
    with tempfile.TemporaryDirectory(prefix="fedml-publish-") as folder:
        material = _material(source, config, Path(folder), ignore)
        in_file, notes = read_metrics(material.told) if material.told else ({}, [])
        environment = _environment(environ, material) | dict(told or {})
    record, left_out = _record(allocation, material, {**in_file, **(metrics or {})}, environment)
    notes += left_out
    _check_keys(record)
    _check_record(record)
    store = open_store(config)
    store.progress = progress
    kept = _published_before(store, record)
    was_there = kept is not None
    if kept is None:
        if material.prefix is None:
            _send(store, record, material.artifact)
        kept, was_there = _write_record(store, record)
    notes += _leave(kept, environ)
    return PublishOutcome(
        record=kept,
        was_there=was_there,
        store_url=kept.store,
        record_url=store.url_of(kept.key.record_key(kept.alloc_id)),
        artifact_url=f"{material.store.url}/{kept.artifact_prefix}".rstrip("/"),
        notes=tuple(notes),
    )


def _material(source: Path | str, config: StoreConfig, folder: Path, ignore: Sequence[str]) -> _Material:
    if isinstance(source, str) and is_url(source):
        found = read_in_place(source, config, folder, ignore=ignore)
        return _Material(found.artifact, folder, found.store, found.prefix)
    path = Path(source)
    artifact = read_artifact(path, ignore=ignore)
    return _Material(artifact, artifact.root if path.is_dir() else None, config)


def _environment(environ: Mapping[str, str], material: _Material) -> dict[str, str]:
    """What the artifact tells of its origin wins over what is found here, at the place of publishing."""
    environment = {"python": platform.python_version(), "platform": platform.platform(terse=True)}
    with suppress(metadata.PackageNotFoundError):
        environment["fedml"] = metadata.version(DISTRIBUTION)
    places = [Path()] if material.prefix is not None else [material.artifact.root, Path()]
    environment |= package_versions() | found_origin(environ, places) | task_usage(environ)
    if material.told is not None:
        environment |= read_environment(material.told) | read_data(material.told)
    return environment


def _record(
    allocation: Allocation,
    material: _Material,
    metrics: Mapping[str, MetricValue],
    environment: Mapping[str, str],
) -> tuple[ResultRecord, list[str]]:
    """The record, and notes on what it can't hold."""
    measured, notes = fitting_metrics(metrics)
    params, params_notes = fitting_texts(allocation.params, "parameter")
    told, told_notes = fitting_texts(environment, "environment")
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
        environment=told,
        prefix=material.prefix,
    )
    return record, [*notes, *params_notes, *told_notes]


def _check_keys(record: ResultRecord) -> None:
    """Before anything is sent: every key that will be written is one."""
    try:
        checked_key(record.key.record_key(record.alloc_id))
        for file in record.files:
            checked_key(record.artifact_prefix + file.path)
    except InvalidStoreURL as error:
        raise PublishError(f"the artifact can't be published: {error}", hint="shorten the file's path") from None


def _check_record(record: ResultRecord) -> None:
    """Before anything is sent: the record can be read again, as its readers will read it."""
    try:
        ResultRecord.from_json(record.to_json(), source="the record")
    except (ValueError, TypeError) as error:
        raise PublishError(f"the record can't be written: {error}", hint="look at the task's environment") from error


def _published_before(store: Store, record: ResultRecord) -> ResultRecord | None:
    """This allocation's record if it is there already and tells of the same artifact. Raises PublishError if of another."""
    key = record.key.record_key(record.alloc_id)
    try:
        kept = ResultRecord.from_json(store.get(key), source=store.url_of(key))
    except (NotFound, PermissionDenied):  # a node's role may be allowed to create only
        return None
    if kept.manifest_sha256 != record.manifest_sha256:
        raise PublishError(
            f"allocation {record.alloc_id} has already published another artifact "
            f"({len(kept.files)} files, {kept.size_bytes} bytes, at {kept.created}); this one differs from it",
            hint="a result is never replaced: dispatch again for a new one",
        )
    return kept


def _send(store: Store, record: ResultRecord, artifact: Artifact) -> None:
    """The smallest file goes first and alone: where it is already, an earlier try of this allocation was interrupted, and
    what that one sent is not sent again. Small files go side by side, large ones one by one, each by parts."""
    first, *others = sorted(record.files, key=lambda file: file.size_bytes)
    is_another_try = _is_sent(store, record, first)
    if not is_another_try:
        _send_file(store, record, artifact, first)

    def send(file: ResultFile) -> None:
        if not (is_another_try and _is_sent(store, record, file)):
            _send_file(store, record, artifact, file)

    small = [file for file in others if file.size_bytes <= SMALL_FILE_BYTES_MAX]
    with ThreadPoolExecutor(SMALL_FILES_AT_ONCE) as pool:
        sent = [pool.submit(send, file) for file in small]
        try:
            for one in sent:
                one.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for file in others[len(small) :]:
        send(file)


def _is_sent(store: Store, record: ResultRecord, file: ResultFile) -> bool:
    """Whether the same bytes lie there. A node's role may be allowed to create only; then they are sent again."""
    try:
        found = store.stat(record.artifact_prefix + file.path)
    except (NotFound, PermissionDenied):
        return False
    return (found.size_bytes, found.sha256) == (file.size_bytes, file.sha256)


def _send_file(store: Store, record: ResultRecord, artifact: Artifact, file: ResultFile) -> None:
    store.put_file(record.artifact_prefix + file.path, artifact.root / file.path, sha256=file.sha256)


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


def _leave(record: ResultRecord, environ: Mapping[str, str]) -> list[str]:
    """Leaves the record in the allocation's folder too; what is published stays published when that fails."""
    folder = environ.get("NOMAD_ALLOC_DIR")
    if not folder:
        return []
    left = Path(folder) / LEFT_RECORD
    partial = left.with_name(f".{left.name}.{os.getpid()}")
    try:
        left.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(record.to_json())
        partial.replace(left)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        return [f"the record could not be left at {left} ({error.strerror}); it is in the store"]
    return []
