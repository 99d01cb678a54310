"""Chooses which files of a folder are its code."""

from __future__ import annotations

import os
from pathlib import Path


def select(root: Path) -> list[str]:
    """Paths of the code's files, relative to `root`."""
    found: list[str] = []
    for folder, folders, files in os.walk(root):
        folders[:] = [
            name for name in folders if name not in (".git", ".venv", "__pycache__", ".fedml", "node_modules")
        ]
        found += [(Path(folder) / name).relative_to(root).as_posix() for name in files]
    return found
