"""Reads objects that are in a store already: files with sizes, etags and sha256. Copies nothing.

`s3://bucket/models/model.json` is one object. `s3://bucket/models/run-7/` (with a slash at its end) means all objects
below. Objects that fedml wrote have their sha256 in their metadata. Any other object is read once for it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import unquote

from federation.errors import PublishError
from federation.publish.artifact import NOTE_FILES, Artifact
from federation.result import ResultFile
from jobs.frozen import frozen
from regions.storage import Store, open_store, parse_store_url
from regions.storage.backend import backend_of
from regions.storage.source import CHUNK_BYTES
from regions.storage.store import ObjectInfo
from regions.store_config import StoreConfig


@frozen
class InPlace:
    """Objects of `store` whose keys start with `prefix`. `artifact.root` is a folder with copies of metrics.json and the
    other files for the record, and nothing else."""

    store: StoreConfig
    prefix: str
    artifact: Artifact


def read_in_place(url: str, own: StoreConfig, notes: Path, *, ignore: Sequence[str] = ()) -> InPlace:
    """Reads the objects at `url`. `own` is the datacenter's store. A URL below it uses that store. Another URL with the
    same scheme uses its endpoint, unless the URL names one. `notes` is an empty folder for copies of metrics.json and so on.

    Raises PublishError when nothing is there, StoreError when it can't be read.
    """
    parse_store_url(url)  # its error does not repeat a secret
    bare, _, query = url.partition("?")
    is_folder = bare.endswith("/")
    parent, _, name = bare.rstrip("/").rpartition("/")
    if not name or parent.endswith("/"):
        raise PublishError(
            f"{bare} is not the URL of an object", hint="write s3://bucket/models/model.json, or s3://bucket/models/"
        )
    if backend_of(bare).is_folder:
        name = unquote(name)
    config, prefix = _located(parent, query, own)
    store = open_store(config)
    if not is_folder:
        return InPlace(config, prefix, read_objects(store, prefix, [store.stat(prefix + name)], notes))
    prefix += f"{name}/"
    objects = [
        info
        for info in store.list(prefix)
        if not any(
            fnmatchcase(part, pattern) or fnmatchcase(info.key.removeprefix(prefix), pattern)
            for pattern in ignore
            for part in info.key.removeprefix(prefix).split("/")
        )
    ]
    if not objects:
        raise PublishError(f"there is no object below {bare}", hint="check the URL, and its slash at the end")
    return InPlace(config, prefix, read_objects(store, prefix, objects, notes))


def read_objects(store: Store, prefix: str, objects: Sequence[ObjectInfo], notes: Path) -> Artifact:
    """Reads these objects as an artifact, with copies of metrics.json and so on in `notes`. Raises StoreError."""
    files = tuple(_file(store, info, prefix) for info in objects)
    for file in files:
        if file.path in NOTE_FILES:
            (notes / file.path).write_bytes(store.get(prefix + file.path))
    return Artifact(notes, files)


def _located(parent: str, query: str, own: StoreConfig) -> tuple[StoreConfig, str]:
    """The store, and the key prefix of `parent` in it."""
    base = own.url.rstrip("/")
    if not query and f"{parent}/".startswith(f"{base}/"):
        below = parent[len(base) :].strip("/")
        if backend_of(base).is_folder:
            below = unquote(below)
        return own, f"{below}/" if below else ""
    config = parse_store_url(f"{parent}?{query}" if query else parent)
    scheme = own.url.partition("://")[0]
    if not query and config.url.partition("://")[0] == scheme:
        config = StoreConfig(
            url=config.url,
            endpoint=own.endpoint,
            location=own.location,
            profile=own.profile,
            anonymous=own.anonymous,
        )
    return config, ""


def _file(store: Store, info: ObjectInfo, prefix: str) -> ResultFile:
    if info.sha256 is None:
        info = store.stat(info.key)
    sha256 = info.sha256 or _sha256(store, info.key)
    return ResultFile(info.key.removeprefix(prefix), info.size_bytes, sha256, info.etag)


def _sha256(store: Store, key: str) -> str:
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory(prefix="fedml-publish-") as folder:
        path = Path(folder) / "object"
        store.get_file(key, path)
        with path.open("rb") as data:
            while chunk := data.read(CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()
