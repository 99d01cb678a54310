"""`fedml --help` stays fast by rule: nothing heavy is loaded; every command has help with an example."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from federation.cli import app, run

HEAVY = (
    "boto3",
    "botocore",
    "google",
    "azure",
    "nomad",
    "requests",
    "pydantic",
    "rich",
    "sklearn",
    "matplotlib",
    "moto",
    "sqlite3",
)


def test_help_loads_no_sdk() -> None:
    script = (
        "import json, sys\nfrom federation.cli import run\ncode = run(['--help'])\n"
        f"print(json.dumps([code, sorted(m for m in sys.modules if m.split('.')[0] in {HEAVY!r})]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]


def commands(group: Any, path: str = "fedml") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_an_example_of_itself(path: str) -> None:
    help_text = COMMANDS[path].help or ""
    examples = re.findall(r"^ *(fedml .*|cd .*)$", help_text, re.MULTILINE)
    assert any(path in example for example in examples), help_text
    assert all(parameter.help for parameter in COMMANDS[path].params if parameter.name != "help")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-command"], "no-such-command"),
        (["plan", "--no-such-option"], "--no-such-option"),
        (["dispatch", "-n", "many"], "valid integer"),
        (["index", "get"], "Missing argument"),
    ],
)
def test_wrong_usage_is_one_error_and_never_clicks_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == (255 if arguments[0] == "plan" else 1)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("Error: ")
    assert words in told.err
    assert "Traceback" not in told.err


def test_a_bug_is_one_line_for_a_user(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("FEDML_TRACEBACK", raising=False)
    monkeypatch.setattr("federation.config.model.load", lambda path: 1 / 0)
    assert run(["runs", "list"]) == 1
    assert "unexpected ZeroDivisionError" in capsys.readouterr().err


def test_a_request_that_nobody_waits_for_does_not_hold_the_exit_up() -> None:
    script = """
import concurrent.futures, threading, federation.cli
begun = threading.Event()
def request() -> None:
    begun.set()
    threading.Event().wait()
def run(arguments) -> int:
    concurrent.futures.ThreadPoolExecutor().submit(request)
    begun.wait()
    print("done")
    return 2
federation.cli.run = run
federation.cli.main(["index", "list"])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "done\n")
