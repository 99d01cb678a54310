"""Secrets that can't be read: one error with the key, what was tried and why."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from regions.credentials import SecretRef, SecretUnavailable


def problem_of(**reference: object) -> str:
    with pytest.raises(SecretUnavailable) as caught:
        SecretRef(**reference, key="regions.us.token").read()  # type: ignore[arg-type]
    return caught.value.message


@pytest.mark.parametrize(
    ("data", "problem"),
    [(None, "No such file or directory"), (b"\xff\xfe", "is not UTF-8 text"), (b" \n", "is empty"), (b"", "is empty")],
)
def test_files(tmp_path: Path, data: bytes | None, problem: str) -> None:
    file = tmp_path / "token"
    if data is not None:
        file.write_bytes(data)
    message = problem_of(file=file)
    assert message.startswith("regions.us.token: ")
    assert str(file) in message
    assert message.endswith(problem)


def test_the_remedy_names_the_key_its_file_and_the_whole_path(tmp_path: Path) -> None:
    file, toml = tmp_path / "secrets" / "token", tmp_path / "fedml.toml"
    with pytest.raises(SecretUnavailable) as caught:
        SecretRef(file=file, key="regions.us.token", config_file=toml).read()
    assert caught.value.hint == f"correct regions.us.token in {toml}, or let this user read the file {file}"


def test_a_folder(tmp_path: Path) -> None:
    assert problem_of(file=tmp_path).endswith("Is a directory")


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("raise SystemExit(3)", "ended with exit code 3"),
        ("pass", "is empty"),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", "printed something that is not UTF-8 text"),
    ],
)
def test_commands(script: str, problem: str) -> None:
    assert problem_of(command=(sys.executable, "-c", script)).endswith(problem)


def test_a_command_that_is_not_there() -> None:
    assert problem_of(command=("/nonexistent/vault",)).endswith("can't be run: No such file or directory")


def test_a_byte_order_mark_belongs_to_no_secret(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\ufeffs3cr3t\r\n", encoding="utf-8")
    assert SecretRef(file=tmp_path / "token").read() == "s3cr3t"
