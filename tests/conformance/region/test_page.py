"""The documentation's lists of what this suite asks, and of what versions changed, are those of the code.

`python -m tests.conformance.region.test_page` writes them.
"""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

import pytest

from regions.local import nomad_version

REPOSITORY = Path(__file__).parents[3]
SUITE = REPOSITORY / "docs" / "reference" / "embedded-region-differences.md"
VERSIONS = REPOSITORY / "docs" / "reference" / "nomad-versions.md"
CHANGES = REPOSITORY / "regions" / "local" / "nomad_version.py"


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


def changes() -> str:
    """One row a change of Nomad that the embedded region follows, by version."""
    rows = []
    body = ast.parse(CHANGES.read_text(encoding="utf-8")).body
    for node, text in itertools.pairwise(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(text, ast.Expr):
            value = getattr(nomad_version, node.target.id)
            if isinstance(value, nomad_version.NomadVersion) and isinstance(text.value, ast.Constant):
                is_dated = value is not nomad_version.UNDATED
                rows.append((is_dated, value, str(text.value.value).replace("\n", " ")))
    dated = sorted(row for row in rows if row[0])
    undated = [("taken as 1.11.0", text) for is_dated, _, text in rows if not is_dated]
    lines = [f"| {since} | {text} |" for since, text in [*((version, text) for _, version, text in dated), *undated]]
    return "\n".join(["| since | what |", "| --- | --- |", *lines]) + "\n"


TABLES = {"suite": (SUITE, table), "changes": (VERSIONS, changes)}


def parts(name: str) -> tuple[str, str, str]:
    """The page before a table, the table, and the page after it."""
    text = TABLES[name][0].read_text(encoding="utf-8")
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, _, rest = text.partition(begin)
    old, _, after = rest.partition(end)
    return before + begin, old, end + after


@pytest.mark.parametrize("name", list(TABLES))
def test_the_pages_tell_what_the_code_says(name):
    assert parts(name)[1] == TABLES[name][1](), "run: python -m tests.conformance.region.test_page"


if __name__ == "__main__":
    for name, (page, make) in TABLES.items():
        before, _, after = parts(name)
        page.write_text(before + make() + after, encoding="utf-8")
