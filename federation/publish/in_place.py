"""The URL of what lies in a store already enters, its files with sizes, etags and sha256 leave: nothing is copied.

`s3://bucket/models/model.json` is one object, `s3://bucket/models/run-7/` (with a slash at its end) all objects below. An
object that fedml wrote tells its sha256; any other is read once for it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import unquote

from federation.errors import PublishError
from federation.publish.artifact import TOLD_FILES, Artifact
from federation.result import ResultFile
from regions.model import StoreConfig
from regions.storage import Store, open_store, parse_store_url
from regions.storage.backend import backend_of
from regions.storage.source import CHUNK_BYTES
from regions.storage.store import ObjectInfo


@dataclass(frozen=True, slots=True)
class InPlace:
    """Objects of `store` whose keys start with `prefix`. `artifact.root` is a folder with copies of what the objects tell
    of themselves (metrics.json and so on), and nothing else."""

    store: StoreConfig
    prefix: str
    artifact: Artifact


def is_url(source: str) -> bool:
    """Whether that names something in a store, not a path."""
    return "://" in source


def read_in_place(url: str, own: StoreConfig, told: Path, *, ignore: Sequence[str] = ()) -> InPlace:
    """What lies at `url`. `own` is the datacenter's store: below it, it is that store; elsewhere with the same scheme, a
    store with its endpoint unless the URL names one. `told` is an empty folder for what the objects tell.

    Raises PublishError when nothing is there, StoreError when it can't be read.
    """
    parse_store_url(url)  # says what is wrong with it, without repeating a secret
    bare, _, query = url.partition("?")
    is_folder = bare.endswith("/")
    parent, _, name = bare.rstrip("/").rpartition("/")
    if not name or parent.endswith("/"):
        raise PublishError(
            f"{bare} names no object", hint="write s3://bucket/models/model.json, or s3://bucket/models/"
        )
    if backend_of(bare).is_folder:
        name = unquote(name)
    config, prefix = _located(parent, query, own)
    store = open_store(config)
    if not is_folder:
        return InPlace(config, prefix, read_objects(store, prefix, [store.stat(prefix + name)], told))
    prefix += f"{name}/"
    found = [
        info
        for info in store.list(prefix)
        if not any(
            fnmatchcase(part, pattern) or fnmatchcase(info.key.removeprefix(prefix), pattern)
            for pattern in ignore
            for part in info.key.removeprefix(prefix).split("/")
        )
    ]
    if not found:
        raise PublishError(f"there is no object below {bare}", hint="check the URL, and that the slash is meant")
    return InPlace(config, prefix, read_objects(store, prefix, found, told))


def read_objects(store: Store, prefix: str, found: Sequence[ObjectInfo], told: Path) -> Artifact:
    """These objects as an artifact's files, with copies in `told` of what they tell. Raises StoreError."""
    files = tuple(_file(store, info, prefix) for info in found)
    for file in files:
        if file.path in TOLD_FILES:
            (told / file.path).write_bytes(store.get(prefix + file.path))
    return Artifact(told, files)


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
