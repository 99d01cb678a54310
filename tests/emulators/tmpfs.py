"""A small file system of its own in memory, to be filled to the brim: a context manager gives its folder."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.emulators.requirements import missing


@contextmanager
def tmpfs(folder: Path, size_kb: int) -> Iterator[Path]:
    """The folder as a tmpfs of that size; skips (FEDML_REQUIRE=tmpfs: fails) where mounting isn't allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        missing("tmpfs", "there is no mount command")
    if done.returncode != 0:
        missing("tmpfs", f"a tmpfs can't be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
