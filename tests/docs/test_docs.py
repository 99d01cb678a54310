"""Recorded sessions, commands, options, links, anchors and named tests of the pages are right."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from federation.cli.commands import app
from tests.docs.session import BLOCK, normalised, record
from tools.command_reference import PAGE, commands, page

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
RECORDED = [ROOT / "docs" / "tutorial" / "first-run.md"]
LINK = re.compile(r"\]\(([^)#\s:]*)#([^)\s]+)\)")
NAMED_TEST = re.compile(r"`(tests/[a-z_/]+\.py)::(\w+)`")
COMMANDS = dict(commands(typer.main.get_command(app), "fedml"))


@pytest.mark.slow
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_session_is_what_the_commands_print(path: Path, tmp_path: Path) -> None:
    shown = path.read_text()
    try:
        assert normalised(record(shown, tmp_path)) == normalised(shown)
    finally:
        for project in tmp_path.glob("*/.fedml"):
            subprocess.run(
                [str(Path(sys.executable).with_name("fedml")), "dev", "down", "--purge", "--yes"],
                cwd=project.parent,
                check=True,
            )


def test_the_command_reference_is_the_programs_own() -> None:
    assert PAGE.read_text() == page(), "run: python tools/command_reference.py"


def fedml_lines(path: Path) -> list[str]:
    return [
        line[2:].split("  #")[0].split(" | ")[0].split(" && ")[0].split(" -- ")[0].strip()
        for block in BLOCK.findall(path.read_text())
        for line in block.splitlines()
        if line.startswith("$ fedml ")
    ]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_the_docs_exist_with_their_options(path: Path) -> None:
    for line in fedml_lines(path):
        words = shlex.split(line.partition(" -- ")[0])  # what follows is another program's
        name = next((" ".join(words[:n]) for n in (4, 3, 2) if " ".join(words[:n]) in COMMANDS), None)
        if name is None:
            assert line in ("fedml --help",), f"{line}: no such command"
            continue
        known = {option for one in COMMANDS[name].params for option in (*one.opts, *one.secondary_opts)} | {"--help"}
        given = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert given <= known, f"{line}: unknown options"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    missing = [target for target in targets if "://" not in target and not (path.parent / target).exists()]
    assert not missing


def test_nobody_is_told_to_install_somebody_elses_package() -> None:
    for path in PAGES:
        assert not re.search(r"pip install fedml(?!-nomad)|install (federation|fedml)\b(?!-)", path.read_text()), path


FROM_AN_INDEX = re.compile(
    r"(?:pip|uv tool|uv|pipx) (?:install|add) (?!'?\.|uv\b)[`']?[\w-]|install [`']?fedml-nomad|fedml-nomad\[",
    re.IGNORECASE,
)
"""An order to install something from PyPI other than uv. One from the checkout names `.` or `.[extra]`."""


@pytest.mark.parametrize("package", ["federation", "regions", "jobs", "docs", "README.md"])
def test_nobody_is_told_to_install_from_pypi(package: str) -> None:
    root = ROOT / package
    files = [root] if root.is_file() else [*root.rglob("*.py"), *root.rglob("*.md")]
    told = {str(path.relative_to(ROOT)): FROM_AN_INDEX.findall(path.read_text()) for path in files}
    assert {name: found for name, found in told.items() if found} == {}


EXPLANATION = ROOT / "docs" / "explanation"


def headings(path: Path) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_anchors_of_links_are_headings(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    links = [(path.parent / target if target else path, anchor) for target, anchor in LINK.findall(text)]
    assert [anchor for page, anchor in links if page.suffix == ".md" and anchor not in headings(page)] == []


def test_every_test_that_the_security_page_names_exists() -> None:
    named = NAMED_TEST.findall((EXPLANATION / "security.md").read_text())
    assert len(named) > 10
    assert [name for path, name in named if f"def {name}(" not in (ROOT / path).read_text()] == []


@pytest.mark.parametrize("path", sorted(EXPLANATION.glob("*.md")), ids=lambda path: path.name)
def test_tests_that_a_page_names_exist(path: Path) -> None:
    text = path.read_text()
    assert [name for page, name in NAMED_TEST.findall(text) if f"def {name}(" not in (ROOT / page).read_text()] == []
    assert [page for page in re.findall(r"`(tests/[\w/.]+)`", text) if not (ROOT / page).exists()] == []
