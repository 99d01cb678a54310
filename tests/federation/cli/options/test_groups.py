"""Groups of options: each is declared once, and a command gets it as one value."""

import ast
from pathlib import Path
from typing import Annotated

import typer
from typer.testing import CliRunner

import federation.cli
from federation.cli.command_app import CommandApp
from jobs.frozen import frozen

PARAMETERS_MAX = 12


@frozen
class Size:
    """A group."""

    width: Annotated[int, typer.Option("--width", help="How wide.")] = 3
    names: Annotated[list[str] | None, typer.Option("--name", help="What it is called.")] = None


def command(size: Size, where: Annotated[str, typer.Argument()] = "here", loud: bool = False) -> None:
    """Say it."""
    print(size.width, size.names, where, loud)


def run(*arguments: str) -> tuple[int, str]:
    app = CommandApp()
    app.command()(command)
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


def test_each_field_is_an_option_and_the_command_gets_the_group() -> None:
    assert run("--width", "5", "--name", "a", "--name", "b", "there", "--loud") == (0, "5 ['a', 'b'] there True\n")


def test_fields_keep_their_defaults() -> None:
    assert run() == (0, "3 None here False\n")


def test_a_wrong_value_is_refused_as_for_any_option() -> None:
    code, output = run("--width", "wide")
    assert code == 2
    assert "--width" in output


def test_no_command_has_more_parameters_than_one_can_read() -> None:
    too_many = [
        f"{path.name}: {node.name}"
        for path in sorted(Path(str(federation.cli.__file__)).parent.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and len(node.args.args) + len(node.args.kwonlyargs) > PARAMETERS_MAX
    ]
    assert not too_many
