"""docs/reference/index.md and the how-to of its maintenance tell of every command, option, field, column and kind of fault."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from federation.cli.index import app
from federation.index import RESULT_STATES, Row
from federation.index.maintenance.problem import KINDS
from federation.log import Log

DOCS = Path(__file__).parents[4] / "docs"
PAGES = ("reference/index.md", "how-to/keep-an-index-healthy.md")
TEXT = "\n".join((DOCS / page).read_text(encoding="utf-8") for page in PAGES)
COMMON = {"--help", "--config", "--verbose", "--quiet"}


@pytest.mark.parametrize("command", sorted(typer.main.get_command(app).commands))
def test_every_command_and_option_is_told(command: str) -> None:
    assert f"## {command}" in TEXT
    found = typer.main.get_command(app).commands[command]
    for parameter in found.params:
        for option in parameter.opts:
            if option.startswith("--") and option not in COMMON:
                assert re.search(rf"{option}\b", TEXT), option


def test_every_option_that_is_told_exists() -> None:
    known = {
        option
        for command in typer.main.get_command(app).commands.values()
        for parameter in command.params
        for option in parameter.opts
    }

    assert set(re.findall(r"--[a-z][a-z-]*", TEXT)) <= known


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Row)])
def test_every_field_of_a_row_is_told(name: str) -> None:
    assert f"`{name}`" in TEXT


@pytest.mark.parametrize("state", RESULT_STATES)
def test_every_state_is_told(state: str) -> None:
    assert f"`{state}`" in TEXT


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_fault_is_told(kind: str) -> None:
    assert f"| `{kind}` | {KINDS[kind]} |" in TEXT


def test_every_field_of_an_entry_is_told(memory_store: Any) -> None:
    Log(memory_store, "index/log/", author="a").append([{"type": "note"}])
    [data] = memory_store.objects.values()

    assert [name for name in json.loads(data) if f"| `{name}` |" not in TEXT] == []
