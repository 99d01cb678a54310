"""The documentation's list of what this suite asks is what it asks.

`python -m tests.conformance.region.test_page` writes it.
"""

from __future__ import annotations

import ast
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "embedded-region-differences.md"
BEGIN, END = "<!-- suite: begin -->\n", "<!-- suite: end -->"


def table() -> str:
    """One row a module: what it is about, and its checks by name."""
    rows = ["| about | checks |", "| --- | --- |"]
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        if path == Path(__file__):
            continue
        about = (ast.get_docstring(module) or "").split("\n\n")[0].replace("\n", " ").rstrip(".")
        names = [
            node.name for node in module.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        ]
        checks = " · ".join(name.removeprefix("test_").replace("_", " ") for name in names)
        rows.append(f"| {about} | {checks} |")
    return "\n".join(rows) + "\n"


def test_the_page_tells_what_the_suite_asks():
    told = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert told == table(), "run: python -m tests.conformance.region.test_page"


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.partition(END)[2], encoding="utf-8")
