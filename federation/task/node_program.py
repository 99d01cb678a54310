"""Says how the nodes of a region get the program that runs the tasks of `fedml run`: the archive for nodes.

1. Regions of `fedml dev` run this installation.
2. `[publish.archives.SCHEME]` of fedml.toml names a URL and its sha256. Nomad fetches it and checks it.
3. Else the archive is made from this installation and put into the store under `code/`. Nomad's own getter fetches it from
   buckets that it knows, with the rights of the node. From a folder, a few lines of Python read it and check its sha256.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from federation.errors import UsageError
from jobs.code_run import program_object
from jobs.store_task import ARCHIVE, Archive
from regions.storage.backend import backend_of
from regions.storage.errors import AlreadyExists, StoreError
from regions.storage.store import Create, Store
from regions.store_config import StoreConfig

if TYPE_CHECKING:
    from federation.publish.bundle.build import Bundle

_ARGUMENTS = ("-I", f"${{NOMAD_TASK_DIR}}/{ARCHIVE.partition('/')[2]}", "--task")
_FROM_FOLDER = """\
import hashlib, json, os, sys, urllib.parse
key, sha256, name, *action = sys.argv[1:]
try:
    url = json.loads(os.environ["FEDML_STORES"])[os.environ["NOMAD_DC"]]
    with open(urllib.parse.unquote(urllib.parse.urlsplit(url).path) + "/" + key, "rb") as file:
        data = file.read()
    if hashlib.sha256(data).hexdigest() != sha256:
        sys.exit("Error: " + key + " in " + url + " has another sha256; it was not run")
    path = os.path.join(os.environ["NOMAD_TASK_DIR"], name)
    with open(path, "wb") as file:
        file.write(data)
except (OSError, KeyError) as error:
    sys.exit("Error: the program of this task can't be read from the store: " + str(error)
        + "\\n  -> mount the store's folder on every node, or set [publish.archives.file] in fedml.toml")
os.execv(sys.executable, [sys.executable, "-I", path, "--task", *action])
"""
"""Runs the archive of the datacenter's folder."""


@dataclass(frozen=True)
class NodeProgram:
    """The command of a task before its action (`run`). With `url`, the task fetches that file by an artifact block
    (mode `file`, destination `jobs.store_task.ARCHIVE`) and Nomad checks its sha256."""

    command: tuple[str, ...]
    url: str = ""
    sha256: str = ""
    archive: Path | None = None
    """A file that must be in the region's stores before the first dispatch, under `key`."""

    @property
    def key(self) -> str:
        """Where the archive lies in each store."""
        return program_object(self.sha256)


def node_program(
    region: str,
    stores: Sequence[StoreConfig],
    *,
    is_dev: bool,
    archives: Mapping[str, Archive],
    cache: Path,
    python: str = "python3",
) -> NodeProgram:
    """Chooses the program for a region. `stores` are those of its datacenters, `archives` the setting `publish.archives`,
    `python` the nodes' Python. An archive that has to be made is written into `cache`. Raises UsageError where nothing
    serves, and FederationError if the archive can't be made."""
    if is_dev:
        return NodeProgram((sys.executable, "-I", "-m", "federation.task"))
    buckets = {backend_of(store.url).scheme: store for store in stores if not backend_of(store.url).is_folder}
    if len(buckets) > 1:
        raise UsageError(
            f"region {region}: no archive serves {' and '.join(f'{scheme}://' for scheme in sorted(buckets))} at once",
            hint="choose datacenters with stores of one kind",
        )
    scheme = next(iter(buckets), "file")
    found = archives.get(scheme) or (next(iter(archives.values()), None) if not buckets else None)
    if found is not None:
        return NodeProgram((python, *_ARGUMENTS), found.url, found.sha256)
    return _from_store(region, buckets.get(scheme), scheme, cache, python)


def put_program(program: NodeProgram, stores: Iterable[Store]) -> None:
    """Puts the program's archive into the region's stores, where it isn't there already. Nodes check its sha256, so what is
    there is not compared. Raises StoreError."""
    if program.archive is None:
        return
    data = program.archive.read_bytes()
    for store in {store.url: store for store in stores}.values():
        with suppress(StoreError):  # whether it may be written, the store says then
            store.stat(program.key)
            continue
        with suppress(AlreadyExists):
            store.put(program.key, data, Create(), content_type="application/zip")


@cache
def _archive(folder: Path, scheme: str) -> Bundle:
    """The archive for one kind of store, made once in a process: each takes half a second."""
    from federation.publish.bundle.build import build

    return build(folder, scheme)


def _from_store(region: str, bucket: StoreConfig | None, scheme: str, folder: Path, python: str) -> NodeProgram:
    artifact_url = backend_of(scheme).artifact_url
    if bucket is not None and not (artifact_url and artifact_url(bucket, "key")):
        raise UsageError(
            f"region {region}: Nomad can't fetch the program that runs the code from {bucket.url}",
            hint=f"`make node-bundle` makes it; then name it in fedml.toml:  [publish.archives.{scheme}]",
        )
    archive = _archive(folder, scheme)
    if bucket is None or artifact_url is None:
        name = ARCHIVE.partition("/")[2]
        command = (python, "-I", "-c", _FROM_FOLDER, program_object(archive.sha256), archive.sha256, name)
        return NodeProgram(command, sha256=archive.sha256, archive=archive.path)
    url = artifact_url(bucket, program_object(archive.sha256))
    return NodeProgram((python, *_ARGUMENTS), url, archive.sha256, archive.path)
