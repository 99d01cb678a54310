"""A command loads its own module only, and none that a module has is left out of its group."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from importlib import import_module
from typing import Any

import pytest
from typer.main import get_command, get_group

import federation.cli.commands
import federation.cli.index
from federation.cli.command_app import CommandApp
from federation.cli.lazy import lazy_group


def loaded_by(*arguments: str) -> list[str]:
    """The modules of commands that a command line loads."""
    script = (
        f"import json, sys\nfrom federation.cli import run\nrun({list(arguments)!r})\n"
        "print(json.dumps(sorted(name for name in sys.modules if name.startswith('federation.cli.'))))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout.splitlines()[-1]))


def registered(package: Any, prefix: str) -> set[str]:
    """The names of all commands and groups that the package's modules have."""
    names: set[str] = set()
    for info in pkgutil.iter_modules(package.__path__, prefix):
        module = import_module(info.name)
        if hasattr(module, "register"):
            holder = CommandApp()
            module.register(holder)
            names |= set(get_group(holder).commands)
        elif hasattr(module, "app") and module is not federation.cli.commands:
            names.add(info.name.rpartition(".")[2])
    return names


def test_a_command_loads_its_own_module_only() -> None:
    assert loaded_by("index", "note", "--help") == [
        *("federation.cli.command_app", "federation.cli.commands", "federation.cli.help_page"),
        *("federation.cli.index", "federation.cli.index.options", "federation.cli.index.tags"),
        *("federation.cli.lazy", "federation.cli.options", "federation.cli.options.common"),
    ]


def test_the_help_of_a_group_knows_all_of_it() -> None:
    found: Any = get_command(federation.cli.commands.app)

    of_index = set(found.commands["index"].commands)
    assert registered(federation.cli, "federation.cli.") - of_index == set(found.commands)
    assert of_index >= registered(federation.cli.index, "federation.cli.index.")


def test_what_a_module_does_not_have_is_no_command() -> None:
    commands = get_group(CommandApp(cls=lazy_group({"list": "federation.cli.index.results"}))).commands

    assert list(commands) == ["list"]
    assert len(commands) == 1
    assert "show" not in commands
    assert commands.get("show") is None
    with pytest.raises(KeyError):
        commands["show"]
