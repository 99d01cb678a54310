"""The figure of packing code: `federation.code.pack` against `git ls-files | tar | gzip` over the same 10,000 files."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measure import Figure, at_most, process_s, ratio_of

FILES, TURNS = 10_000, 5
_PACK = """
import sys
from pathlib import Path
from federation.code.pack import pack
pack(Path("."), Path(sys.argv[1]), large=True)
"""
_GIT = "git ls-files -co --exclude-standard -z | tar --null -T - -cf - | gzip > {}"


def figures(folder: Path) -> Iterator[Figure]:
    """The ratio of whole processes, Python's start included."""
    root = folder / "repository"
    words = [f"{random.Random(number).getrandbits(40):x}" for number in range(3000)]
    chosen = random.Random(1)
    for number in range(FILES):
        place = root / f"package{number % 50}" / f"part{number % 7}" / f"module_{number}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        lines = (" ".join(chosen.choices(words, k=9)) for _ in range(chosen.randint(5, 60)))
        place.write_text("\n".join(lines))
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    ours = [sys.executable, "-c", _PACK, str(folder / "cache")]
    theirs = ["sh", "-c", _GIT.format(folder / "theirs.tar.gz")]
    seconds, ratio = ratio_of(lambda: process_s(ours, root), lambda: process_s(theirs, root), runs=TURNS)
    yield at_most("packing 10,000 files of code", seconds, "git ls-files | tar | gzip", ratio, 1.5)
