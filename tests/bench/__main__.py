"""`make bench`: every figure to the terminal and to build/bench.json. Exit code 1 when one isn't reached.

`python -m tests.bench main_job …` measures only these suites, and leaves the file alone.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.bench import (
    code_run,
    curves,
    dispatch,
    engine,
    index,
    index_page,
    main_job,
    packing,
    pages,
    plan,
    run,
    startup,
    stores,
)

SUITES = (main_job, startup, code_run, packing, index, index_page, engine, plan, stores, run, dispatch, curves, pages)


def main(names: list[str]) -> int:
    """Run the suites of these names, or all."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a user's Python keeps what it compiled
    known = {suite.__name__.rpartition(".")[2]: suite for suite in SUITES}
    if unknown := set(names) - set(known):
        sys.exit(f"no suite {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    found = []
    for suite in [known[name] for name in names] or SUITES:
        with tempfile.TemporaryDirectory(prefix="fedml-bench.") as folder:
            for figure in suite.figures(Path(folder)):
                found.append(figure)
                mark = {True: "holds", False: "MISSED", None: ""}[figure.holds]
                print(
                    f"{figure.name}: {figure.value} {figure.unit}, {figure.ratio} × {figure.against}"
                    f" (goal {figure.goal}) {mark}",
                    flush=True,
                )
    if names:
        return 0
    build = Path(__file__).parents[2] / "build"
    build.mkdir(exist_ok=True)
    (build / "bench.json").write_text(json.dumps([asdict(figure) for figure in found], indent=1, ensure_ascii=False))
    return 0 if all(figure.holds is not False for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
