"""Runs the commands of a page's console blocks and replaces their output.

`python -m tests.docs.session docs/tutorial/first-run.md` records a page anew. The test compares normalised output.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
VARYING = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"[\w.-]+@[\w.-]*\w"), "AUTHOR"),
    (re.compile(r"dispatch-\d+-[0-9a-f]{8}"), "dispatch-ID"),
    (re.compile(r"\b[0-9a-f]{8,64}\b"), "HEX"),
    (re.compile(r"127\.0\.0\.1:\d+"), "ADDRESS"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?Z?"), "TIME"),
    (re.compile(r"/\S+?(?=/sales\b)"), "FOLDER"),
    (re.compile(r"\d+(\.\d+)?%?"), "N"),
    (re.compile(r"[ ─]+"), " "),
)  # fmt: skip


def record(page: str, folder: Path) -> str:
    """Return the page with the output of its commands, run in `folder` one after another. `cd` affects later commands."""
    where = [folder]

    def run(match: re.Match[str]) -> str:
        commands = [line[2:] for line in match[1].splitlines() if line.startswith("$ ")]
        return "```console\n" + "".join(f"$ {command}\n{_output(command, where)}" for command in commands) + "```"

    return BLOCK.sub(run, page)


def _output(command: str, where: list[Path]) -> str:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "NO_COLOR": "1",
        "COLUMNS": "120",
    }
    script = f"{{ {command}\n}} 2>&1; pwd >&3"
    reading, writing = os.pipe()
    with os.fdopen(reading) as output:
        done = subprocess.run(
            ["bash", "-c", script.replace(">&3", f">&{writing}")],
            cwd=where[0],
            env=environment,
            capture_output=True,
            text=True,
            pass_fds=[writing],
            timeout=170,
            check=False,
        )
        os.close(writing)
        where[0] = Path(output.read().strip())
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines() if line.strip())


def normalised(page: str) -> list[list[str]]:
    """Return each console block's lines, sorted (regions answer in any order), without values that differ between runs."""
    blocks = []
    for block in BLOCK.findall(page):
        for pattern, name in VARYING:
            block = pattern.sub(name, block)
        blocks.append(sorted(line.strip() for line in block.splitlines() if line.strip()))
    return blocks


def main(pages: list[str]) -> None:
    """Record the pages anew."""
    for name in pages:
        with tempfile.TemporaryDirectory(prefix="fedml-docs.") as folder:
            path = Path(name)
            path.write_text(record(path.read_text(), Path(folder)))


if __name__ == "__main__":
    main(sys.argv[1:])
