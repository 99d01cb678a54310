"""Says how the nodes of a region get the program that runs the tasks of `fedml run` (`python -m federation.task`)."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from federation.errors import UsageError
from jobs.store_task import ARCHIVE, Archive

ARCHIVE_ARGUMENTS = ("-I", f"${{NOMAD_TASK_DIR}}/{ARCHIVE.partition('/')[2]}", "--task")


@dataclass(frozen=True)
class NodeProgram:
    """The command of a task before its action (`fetch` or `run`). With `url`, the task fetches that file by an artifact block
    (mode `file`, destination `jobs.store_task.ARCHIVE`) and Nomad checks its sha256."""

    command: tuple[str, ...]
    url: str = ""
    sha256: str = ""


def node_program(
    region: str, schemes: Collection[str], *, is_dev: bool, archives: Mapping[str, Archive], python: str = "python3"
) -> NodeProgram:
    """Chooses the program for a region. `schemes` are those of its stores, `archives` the setting `publish.archives`,
    `python` the nodes' Python. A region of `fedml dev` runs this installation. Raises UsageError where nothing serves."""
    if is_dev:
        return NodeProgram((sys.executable, "-I", "-m", "federation.task"))
    needed = sorted(set(schemes) - {"file"}) or ["file"]
    if len(needed) > 1:
        raise UsageError(
            f"region {region}: no archive serves {' and '.join(f'{scheme}://' for scheme in needed)} at once",
            hint="choose datacenters with stores of one kind",
        )
    found = archives.get(needed[0]) or (next(iter(archives.values()), None) if needed == ["file"] else None)
    if found is None:
        raise UsageError(
            f"region {region}: nodes can't get the program that runs the code, since no archive for {needed[0]}:// is known",
            hint=f"`make node-bundle` makes it; then name it in fedml.toml:  [publish.archives.{needed[0]}]",
        )
    return NodeProgram((python, *ARCHIVE_ARGUMENTS), found.url, found.sha256)
