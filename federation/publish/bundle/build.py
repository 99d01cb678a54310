"""Builds `fedml-publish-VERSION-STORE.pyz` from this installation: one file for each store SDK. It is `fedml publish` for
nodes, and with `--task fetch` and `--task run` the two tasks of `fedml run`.

    python -m federation.publish.bundle.build [--out FOLDER] [--store file --store s3]

A node needs only a Python that the SDK allows (3.9 for `file`). Each archive serves `file://` too. It holds the modules that
publishing and these tasks import, found by reading their imports, and the installed SDK with its dependencies (`vendored`).
The same installation gives the same bytes. The printed sha256 goes into the job's `artifact` block.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import io
import os
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from federation.errors import FederationError
from federation.publish.bundle.vendored import files_of, python_needed, with_requirements
from federation.publish.publish import DISTRIBUTION
from jobs.errors import FedmlError
from regions.storage.backend import backend_of, backends, own_backends

ENTRIES = ("federation.publish.bundle.command", "federation.task.actions", "fedml_task")
"""What the archive runs, and the module that it puts beside a person's code."""
OWN_PACKAGES = ("federation", "jobs", "regions")
SDKS = {backend.scheme: backend.node_packages for backend in backends() if backend.node_packages is not None}
"""The distributions of each flavour: an SDK, and the backend itself where it is a third party's."""

_TIME = (1980, 1, 1, 0, 0, 0)

_MAIN = """\
import sys

if sys.version_info < {python!r}:
    found = "%d.%d (%s)" % (sys.version_info[0], sys.version_info[1], sys.executable)
    sys.exit("Error: this fedml-publish needs Python {needed} or newer, this is " + found)

{prepare}
from federation.publish.bundle.older_python import fill_in

fill_in()
if sys.argv[1:2] == ["--task"]:
    from federation.task.actions import main

    sys.exit(main(sys.argv[2:]))
from federation.publish.bundle.command import main

sys.exit(main(sys.argv[1:], stores={stores!r}))
"""
_UNPACK = """\
# An SDK reads its data as files, so the archive is unpacked beside the task or in a temporary folder, and removed at exit.
import atexit
import os
import shutil
import tempfile
import zipfile

beside = os.environ.get("NOMAD_TASK_DIR", "")
folder = tempfile.mkdtemp(prefix=".fedml-publish-", dir=beside if os.access(beside, os.W_OK) else None)
atexit.register(shutil.rmtree, folder, ignore_errors=True)
with zipfile.ZipFile(sys.path[0]) as archive:
    archive.extractall(folder)
sys.path[0] = folder
"""
_NO_CRYPTOGRAPHY = """\
from federation.publish.bundle.no_cryptography import stand_in

stand_in()
"""
_AT_START = ("federation.publish.bundle.older_python", "federation.publish.bundle.no_cryptography")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A written archive."""

    path: Path
    store: str
    sha256: str
    size_bytes: int


def build(out: Path, store: str) -> Bundle:
    """Writes the archive for one store SDK into the folder `out`. Raises FederationError if something that it needs isn't
    installed or isn't pure Python."""
    version = metadata.version(DISTRIBUTION)
    files = {**_own_files(store), **_own_metadata(version)}
    distributions = with_requirements(SDKS[store])
    for distribution in distributions:
        files |= files_of(distribution)
    python = python_needed(distributions)
    prepare = _UNPACK if SDKS[store] else ""
    if backend_of(store).needs_cryptography:
        prepare += _NO_CRYPTOGRAPHY
    main = _MAIN.format(
        prepare=prepare, stores=sorted({"file", store}), python=python, needed=".".join(map(str, python))
    )
    data = _zipped({**files, "__main__.py": main.encode()})
    path = out / f"fedml-publish-{version}-{store}.pyz"
    try:
        out.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.write_bytes(data)
        partial.chmod(0o755)
        partial.replace(path)
    except OSError as error:
        raise FederationError(f"can't write {path}: {error.strerror}") from error
    return Bundle(path, store, hashlib.sha256(data).hexdigest(), len(data))


def _own_files(store: str) -> dict[str, bytes]:
    """The modules of fedml that the entries import, directly or indirectly, at any level."""
    own = own_backends()
    served = (own[scheme].module for scheme in {"file", store} & own.keys())
    described = (f"{backend.module.rpartition('.')[0]}.backend" for backend in own.values())
    wanted = [*ENTRIES, *_AT_START, *served, *described]
    files = {f"{package}/__init__.py": b"" for package in OWN_PACKAGES}  # their own names for users are not needed
    seen = set(OWN_PACKAGES)
    while wanted:
        name = wanted.pop()
        parent = name.rpartition(".")[0]
        if name in seen:
            continue
        seen.add(name)
        if parent:
            wanted.append(parent)
        path = _source(name)
        if path is None:  # a name in a module, not a module
            continue
        relative = name.replace(".", "/") + ("/__init__.py" if path.name == "__init__.py" else ".py")
        files[relative] = path.read_bytes()
        wanted += _imported(ast.parse(files[relative]))
    return files


def _source(name: str) -> Path | None:
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] in OWN_PACKAGES)


def _own_metadata(version: str) -> dict[str, bytes]:
    """The version, which a record names, and the licence."""
    folder = f"{DISTRIBUTION.replace('-', '_')}-{version}.dist-info"
    text = f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: {version}\n"
    licences = [file for file in metadata.files(DISTRIBUTION) or () if file.name in ("LICENSE", "NOTICE")]
    return {
        f"{folder}/METADATA": text.encode(),
        **{f"{folder}/{file.name}": Path(str(file.locate())).read_bytes() for file in licences},
    }


def _zipped(files: dict[str, bytes]) -> bytes:
    """A runnable archive without traces of this machine or time."""
    buffer = io.BytesIO()
    buffer.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            archive.writestr(entry, files[name])
    return buffer.getvalue()


def main(arguments: Sequence[str]) -> int:
    """Builds archives and prints the sha256 and path of each, as `sha256sum` does."""
    parser = argparse.ArgumentParser(
        prog="python -m federation.publish.bundle.build", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--out", type=Path, default=Path("build"), metavar="FOLDER")
    parser.add_argument(
        "--store",
        action="append",
        choices=sorted(SDKS),
        help="build only this store's archive (repeatable, default: all)",
    )
    given = parser.parse_args(arguments)
    try:
        for store in given.store or SDKS:
            bundle = build(given.out, store)
            print(f"{bundle.sha256}  {bundle.path}")  # noqa: T201
    except FedmlError as error:
        print(f"Error: {error.message}", *filter(None, [error.hint]), sep="\n  → ", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
