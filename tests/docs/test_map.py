"""Architecture, contributing guide, glossary and design name existing paths, decisions, rooms and pages."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("ARCHITECTURE.md", "CONTRIBUTING.md", "docs/reference/glossary.md", "docs/explanation/design.md")
_ROOMS = ("federation/", "regions/", "jobs/", "tests/", "docs/", "tools/")


def named_paths(text: str) -> set[str]:
    """Return every path in backticks that begins in one of the rooms, without placeholders."""
    found = re.findall(r"`([\w./*-]+)`", text)
    return {path for path in found if path.startswith(_ROOMS) and "*" not in path}


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_a_page_names_exists(page: str) -> None:
    paths = named_paths((ROOT / page).read_text(encoding="utf-8"))
    assert not sorted(path for path in paths if not (ROOT / path).exists())


def test_paths_are_found() -> None:
    assert named_paths("see `federation/app.py`, `docs/` and `other/log.py`") == {"federation/app.py", "docs/"}


def test_each_decision_has_a_row_with_status_and_date() -> None:
    folder = ROOT / "docs" / "adr"
    rows = re.findall(
        r"^\| \d+ \| \[[^\]]+\]\((\d{4}-[\w-]+\.md)\) \| \w[^|]* \| \d{4}-\d\d-\d\d \|$",
        (folder / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert rows == sorted(path.name for path in folder.glob("[0-9]*.md"))


def test_the_architecture_shows_every_room_of_federation() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in (ROOT / "federation").glob("*/__init__.py")}
    assert not sorted(room for room in rooms if f"`federation/{room}/`" not in text)


def test_the_list_of_pages_has_each_page_once() -> None:
    folder = ROOT / "docs"
    listed = re.findall(r"^- \[[^\]]+\]\(([^)]+)\)", (folder / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    pages = [path.relative_to(folder).as_posix() for path in folder.glob("*/*.md") if path.parent.name != "adr"]
    assert sorted(page for page in listed if not page.startswith("../")) == sorted([*pages, "adr/README.md"])


def test_the_order_of_imports_is_the_contracts() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = (contract["layers"] for contract in contracts if contract.get("containers") == ["federation"])
    order = (
        (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## The order of imports")[2].split("```")[1]
    )
    shown = [line.strip().replace(", ", " : ") for line in order.strip().splitlines()[:-1]]
    assert shown == layers, "write the layers of pyproject.toml into ARCHITECTURE.md, with a comma for each colon"
