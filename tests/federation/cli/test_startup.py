"""`fedml --help` stays fast by rule: nothing heavy is loaded; every command has help with an example."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from federation.cli import run
from federation.cli.commands import app

ROOT = Path(__file__).parents[3]
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


SDKS = tuple(name for name in HEAVY if name not in ("pydantic", "rich", "sqlite3"))
NOT_FOR_A_FOLDER = (
    *(
        "rich",
        "sqlite3",
        "pydantic",
        "typer",
        "click",
        "argparse",
        "socket",
        "subprocess",
        "tempfile",
        "platform",
        "secrets",
    ),
    *("email", "logging", "difflib", "gzip", "concurrent"),
)
"""What publishing into a folder does without: its import would take longer than the work."""
HOME_IN_A_FOLDER = """
[federation]
name = "small"
home = "file://./home"
[regions.us]
addresses = ["http://127.0.0.1:9"]
store = "file://./us"
[regions.us.datacenters.dc1]
"""


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["publish", "model.bin", "--json"], (*SDKS, *NOT_FOR_A_FOLDER)),
        (["index", "list"], (*SDKS, "rich")),
        (["index", "list", "--json"], (*SDKS, "rich")),
        (["runs", "list"], SDKS),
        (["runs", "list", "--json"], SDKS),
    ],
    ids=" ".join,
)
def test_a_command_loads_only_what_it_needs(arguments: list[str], unwanted: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "fedml.toml").write_text(HOME_IN_A_FOLDER)
    (tmp_path / "model.bin").write_bytes(b"weights")
    task = {
        "NOMAD_ALLOC_ID": "a1",
        "NOMAD_REGION": "us",
        "NOMAD_JOB_ID": "train/dispatch-1-a",
        "NOMAD_DC": "dc1",
        "NOMAD_GROUP_NAME": "g",
        "NOMAD_ALLOC_INDEX": "0",
        "FEDML_STORES": json.dumps({"dc1": f"file://{tmp_path}/us"}),
    }
    script = (
        f"import json, sys\nfrom federation.cli import run\ncode = run({arguments!r})\n"
        f"print(json.dumps([code, sorted({{m.split('.')[0] for m in sys.modules}} & set({unwanted!r}))]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **task},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []], done.stderr


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
    monkeypatch.setattr("federation.config.load.load", lambda path: 1 / 0)
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
