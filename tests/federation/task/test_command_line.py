"""The command's JSON at its door, and parameters in arguments and variables."""

from __future__ import annotations

import json
from typing import Any

import pytest

from federation.errors import UsageError
from federation.task.command_line import Command, UvDownload, arguments, parse_command, variables
from jobs.errors import ForeignTextError

WHOLE = Command(
    ("python", "train.py", "--note", "${attr.cpu} ü"),
    environment="project",
    file="sub/uv.lock",
    passes="env",
    uv=UvDownload("https://example.org/uv.tar.gz", "a" * 64),
    git_commit="b" * 40,
)


def test_what_is_written_is_read_again() -> None:
    for command in (WHOLE, Command(("node", "train.js"))):
        assert parse_command(command.to_json()) == command
    assert "${" not in WHOLE.to_json()
    assert list(json.loads(Command(("node",)).to_json())) == ["argv", "environment", "pass"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"argv": []}, "argv names no command"),
        ({"argv": "python"}, "argv is a text, not a list"),
        ({"argv": ["a\0b"]}, "argv holds a NUL character"),
        ({"pass": "stdin"}, "pass is 'stdin', not one of args, env"),
        ({"pass": ...}, "pass is missing"),
        ({"environment": {"kind": "conda", "file": "x"}}, "environment.kind is 'conda', not one of"),
        (
            {"environment": {"kind": "script", "file": "../x"}},
            "environment.file is '../x', not a file of the code folder",
        ),
        ({"environment": {"kind": "script", "file": "/etc/x"}}, "not a file of the code folder"),
        ({"environment": {"kind": "script"}}, "environment.file is '', not a file"),
        ({"environment": {"kind": "none", "file": "x"}}, "environment.file is 'x', not a file"),
        ({"uv": {"url": "https://x", "sha256": "A" * 64}}, "uv.sha256 is "),
        ({"uv": {"url": "ftp://x", "sha256": "a" * 64}}, "uv.url is 'ftp://x', not a https, http or file URL"),
        ({"git_commit": "main"}, "git_commit is 'main'"),
    ],
)
def test_anything_else_is_refused(change: dict[str, Any], told: str) -> None:
    text = {name: value for name, value in (json.loads(WHOLE.to_json()) | change).items() if value is not ...}
    with pytest.raises(ForeignTextError, match="fedml_command can't be used") as caught:
        parse_command(json.dumps(text))
    assert told in caught.value.message
    for broken in ("", "[]", "{"):
        with pytest.raises(ForeignTextError):
            parse_command(broken)


@pytest.mark.parametrize(
    ("argv", "given"),
    [
        (("train",), ["train", "--lr", "0.1", "--depth", "3"]),
        (("train", "--rate={lr}"), ["train", "--rate=0.1", "--depth", "3"]),
        (("{depth}-{lr}-{lr}",), ["3-0.1-0.1"]),
        (("train", "{{lr}}"), ["train", "{lr}", "--lr", "0.1", "--depth", "3"]),
        (("train", '{"a": {"b": {}}} {other} {}', "{lr}{depth}"), ["train", '{"a": {"b": {}}} {other} {}', "0.13"]),
    ],
)
def test_parameters_as_arguments(argv: tuple[str, ...], given: list[str]) -> None:
    params = {"lr": "0.1", "depth": "3"}
    assert arguments(Command(argv), params) == given
    assert variables(Command(argv), params) == {}


def test_parameters_as_variables() -> None:
    command = Command(("train", "{lr}"), passes="env")
    assert arguments(command, {"lr": "0.1", "batch-size": "8"}) == ["train", "0.1"]
    assert variables(command, {"lr": "0.1", "batch-size": "8"}) == {
        "FEDML_PARAM_LR": "0.1",
        "FEDML_PARAM_BATCH_SIZE": "8",
    }
    with pytest.raises(UsageError, match="two parameters have the same environment variable"):
        variables(command, {"lr": "0.1", "LR": "8"})
