"""Every command's help: asked for in each way, in groups, whole at each width."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from federation.cli import run
from federation.cli.commands import app
from federation.cli.help_page import GENERAL, headings

OPTIONS_MAX = 12
"""As many options as one looks through without headings."""


def pages(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, command
    for name, one in getattr(command, "commands", {}).items():
        yield from pages(one, (*words, name))


PAGES = dict(pages(typer.main.get_command(app)))


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(arguments) == 0
    told = capsys.readouterr()
    assert told.err == ""
    return told.out


def joined(page: str) -> str:
    return " ".join(page.split())


@pytest.mark.parametrize("words", PAGES, ids=" ".join)
def test_each_way_to_ask_shows_the_same_page(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    page = shown(capsys, *words, "--help")
    assert shown(capsys, *words, "-h") == page
    assert shown(capsys, "help", *words) == page


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("words", PAGES, ids=" ".join)
def test_no_page_is_cut_or_too_wide(
    words: tuple[str, ...], columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    page, command = shown(capsys, *words, "-h"), PAGES[words]

    foldable = [re.sub(r'"[^"]*"', "QUOTED", line) if "|" not in line else "" for line in page.splitlines()]
    assert [line for line in foldable if len(line) > columns] == []
    assert "...\n" not in page.split("\n", 2)[2]
    texts = [param.help for param in command.params] + [
        one.help.split("\n\n")[0].split(". ")[0] for one in getattr(command, "commands", {}).values()
    ]
    assert [text for text in texts if joined(text) not in joined(page)] == []


@pytest.mark.parametrize("words", PAGES, ids=" ".join)
def test_many_options_stand_in_groups_and_the_general_ones_last(words: tuple[str, ...]) -> None:
    found = headings(PAGES[words])
    assert max(map(len, found.values()), default=0) <= OPTIONS_MAX
    assert GENERAL not in [*found][:-1]


def test_the_groups_of_dispatch_are_those_of_its_page(capsys: pytest.CaptureFixture[str]) -> None:
    page = shown(capsys, "dispatch", "-h")
    expected = ["Slots and inputs", "Placement", "Limits", "Job and regions", "Deployment", "Detached runs"]
    assert re.findall(r"^(\w.*):$", page, re.MULTILINE) == ["Examples", *expected, "Metrics and logs", GENERAL]


def test_an_example_that_is_folded_is_still_one_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    page = shown(capsys, "index", "list", "-h")
    assert "  fedml index list --where \\\n" in page
    unfolded = re.sub(r" \\\n +", " ", page)
    assert """--where "tag is not null or committed > '2026-11-24T10:00:00Z'" --json\n""" in unfolded


@pytest.mark.parametrize("words", [("nosuch",), ("runs", "nosuch"), ("dispatch", "more")])
def test_help_of_what_is_no_command_is_an_error(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["help", *words]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert f"has no command '{words[-1]}'" in told.err


def test_the_commands_of_index_stand_in_groups_of_which_none_is_long(capsys: pytest.CaptureFixture[str]) -> None:
    page = shown(capsys, "index", "-h")
    groups = re.split(r"^(\w.*):$", page.partition(f"{GENERAL}:")[2], flags=re.MULTILINE)[1:]
    names = {
        heading: re.findall(r"^  (\w+) ", text, re.MULTILINE)
        for heading, text in zip(groups[::2], groups[1::2], strict=True)
    }
    assert "Commands" not in names
    assert max(map(len, names.values())) <= 5
    assert sorted(name for group in names.values() for name in group) == sorted(PAGES[("index",)].commands)
