"""Expressions with the values that real Nomad computes, in `values.tsv`: a test compares them with ours.

Each line holds an expression and its value as JSON; `refused` stands for an error. A third column is there only where
Nomad 2.0 differs from 1.6. To add expressions, write each on a line of its own and record the file anew:

    NOMAD_BIN=/path/to/nomad-1.6.3:/path/to/nomad-2.0.5 .venv/bin/python -m tests.jobs.hcl.recorded_values
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

PATH = Path(__file__).parent / "values.tsv"
REFUSED = "refused"


def rows() -> list[tuple[str, str, str]]:
    """Each expression with its values in both versions."""
    lines = [line.split("\t") for line in PATH.read_text(encoding="utf-8").split("\n") if line]
    return [(line[0], line[1] if line[1:] else "", line[-1] if line[1:] else "") for line in lines]


def computed_by(binary: str, expressions: list[str]) -> list[str]:
    """What `nomad job run -output` computes. Takes out, as refused, what ends the whole command."""
    values = dict.fromkeys(range(len(expressions)), REFUSED)
    left = list(enumerate(expressions))
    with tempfile.TemporaryDirectory() as folder:
        jobspec = Path(folder) / "job.hcl"
        while True:
            lines = [f'e{number} = try(jsonencode({expression}), "{REFUSED}")' for number, expression in left]
            jobspec.write_text('job "j" {\nmeta {\n' + "\n".join([*lines, "}", "}", ""]), encoding="utf-8")
            command = [binary, "job", "run", "-output", jobspec.name]
            done = subprocess.run(command, capture_output=True, cwd=folder, check=False)
            if done.returncode == 0:
                meta = json.loads(done.stdout)["Job"]["Meta"]
                return list((values | {number: meta[f"e{number}"] for number, _ in left}).values())
            told = done.stderr.decode(errors="replace")
            wrong = {int(line) - 3 for line in re.findall(r"job\.hcl:(\d+),", told)}
            if not wrong:
                raise RuntimeError(told)
            left = [item for place, item in enumerate(left) if place not in wrong]


def record(older: str, newer: str) -> None:
    expressions = list(dict.fromkeys(row[0] for row in rows()))
    recorded = zip(expressions, computed_by(older, expressions), computed_by(newer, expressions), strict=True)
    lines = ["\t".join(row if row[1] != row[2] else row[:2]) for row in recorded]
    PATH.write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    record(*os.environ["NOMAD_BIN"].split(os.pathsep))
