"""`make bench`: every figure to the terminal and to build/bench.json. Exit code 1 when one isn't reached."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.bench import main_job

SUITES = (main_job,)


def main() -> int:
    """Run all suites."""
    found = []
    for suite in SUITES:
        with tempfile.TemporaryDirectory(prefix="fedml-bench.") as folder:
            for figure in suite.figures(Path(folder)):
                found.append(figure)
                mark = {True: "holds", False: "MISSED", None: ""}[figure.holds]
                print(
                    f"{figure.name}: {figure.value} {figure.unit}, {figure.ratio} × {figure.against}"
                    f" (goal {figure.goal}) {mark}",
                    flush=True,
                )
    build = Path(__file__).parents[2] / "build"
    build.mkdir(exist_ok=True)
    (build / "bench.json").write_text(json.dumps([asdict(figure) for figure in found], indent=1, ensure_ascii=False))
    return 0 if all(figure.holds is not False for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main())
