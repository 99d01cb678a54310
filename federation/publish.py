"""An artifact on a node enters, its files and then its record leave for the datacenter's store.

Order is the guarantee: files first, under keys that hold the allocation and the manifest's hash (the same key always gets
the same bytes), the record last, with create-if-absent. So there is no record without its artifact; whatever interrupts,
running it again goes on; and run twice by the same allocation it gives the same outcome.
"""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from federation.allocation import Allocation, allocation_of
from federation.artifact import Artifact, read_artifact, read_environment, read_metrics
from federation.errors import PublishError
from federation.result import MetricValue, ResultRecord
from regions.storage import Store, open_store, parse_store_url, store_url
from regions.storage.errors import AlreadyExists, IntegrityError, InvalidStoreURL, NotFound, PermissionDenied
from regions.storage.store import Create, checked_key

DISTRIBUTION = "fedml-nomad"
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


def publish(
    path: Path,
    *,
    environ: Mapping[str, str] | None = None,
    metrics: Mapping[str, MetricValue] | None = None,
    ignore: Sequence[str] = (),
) -> PublishOutcome:
    """Publish the folder or file at `path` as the result of this allocation.

    `environ` is the task's environment (default: the process's own); `metrics` add to those of `metrics.json` and win
    over them. Raises PublishError or StoreError, and then no record was written. It is refused when this allocation has
    published another artifact: one allocation, one result.
    """
    environ = os.environ if environ is None else environ
    allocation = allocation_of(environ, node=socket.gethostname())
    config = parse_store_url(allocation.store_url)
    artifact = read_artifact(path, ignore=ignore)
    in_file, notes = read_metrics(artifact.root) if path.is_dir() else ({}, [])
    record = _record(allocation, artifact, store_url(config), {**in_file, **(metrics or {})}, path.is_dir())
    _check_keys(record)
    store = open_store(config)
    kept = _published_before(store, record)
    was_there = kept is not None
    if kept is None:
        _send(store, record, artifact)
        kept, was_there = _write_record(store, record)
    notes += _leave(kept, environ)
    return PublishOutcome(
        record=kept,
        was_there=was_there,
        store_url=kept.store,
        record_url=store.url_of(kept.key.record_key(kept.alloc_id)),
        artifact_url=store.url_of(kept.artifact_prefix.rstrip("/")),
        notes=tuple(notes),
    )


def _record(
    allocation: Allocation, artifact: Artifact, store: str, metrics: Mapping[str, MetricValue], is_folder: bool
) -> ResultRecord:
    environment = {"python": platform.python_version(), "platform": platform.platform(terse=True)}
    with suppress(metadata.PackageNotFoundError):
        environment["fedml"] = metadata.version(DISTRIBUTION)
    if is_folder:
        environment |= read_environment(artifact.root)
    return ResultRecord(
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
        store=store,
        manifest_sha256=artifact.manifest_sha256,
        files=artifact.files,
        created=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        metrics=metrics,
        params=allocation.params,
        environment=environment,
    )


def _check_keys(record: ResultRecord) -> None:
    """Before anything is sent: every key that will be written is one."""
    try:
        checked_key(record.key.record_key(record.alloc_id))
        for file in record.files:
            checked_key(record.artifact_prefix + file.path)
    except InvalidStoreURL as error:
        raise PublishError(f"the artifact can't be published: {error}", hint="shorten the file's path") from None


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
    for file in record.files:
        sent = store.put_file(record.artifact_prefix + file.path, artifact.root / file.path)
        if sent.sha256 != file.sha256:
            raise IntegrityError(
                f"{file.path} changed while it was published",
                store=store.url,
                operation="publish",
                key=file.path,
                hint="publish when nothing writes to the artifact any more",
            )


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
