"""The door to standard output and standard error: what comes through it, and that there is no other."""

from __future__ import annotations

import ast
import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from rich.progress import Progress, TextColumn

import federation
from federation import cli
from federation.cli import commands, session
from federation.output.streams import screened_streams, write_line, write_notes, write_task_output
from federation.ui.console import ScreenedConsole, table
from jobs.errors import FedmlError
from tests.attack.hostile import ESCAPES, MARKUP, TEXTS, forbidden
from tests.attack.scene import Terminal

ROOT = Path(federation.__file__).parent
DOOR = ("output/streams.py", "ui/console.py")
"""The only modules that touch the streams or make a console."""
PROGRAMS = ("publish/bundle/build.py",)
"""Programs of their own, for whoever builds fedml."""
STREAMS = ("stdout", "stderr", "__stdout__", "__stderr__")
HARMLESS = ("isatty", "fileno", "flush")


def ways_out(path: Path) -> Iterator[str]:
    """Each place where a module could write to a stream by itself."""
    tree = ast.parse(path.read_text())
    harmless = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in HARMLESS and isinstance(node.value, ast.Attribute)
    }
    for node in ast.walk(tree):
        place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        match node:
            case ast.Call(func=ast.Name(id="print" | "pprint" | "input")):
                yield f"{place}: {node.func.id}()"
            case ast.Attribute(value=ast.Name(id="sys"), attr=attr) if attr in STREAMS and id(node) not in harmless:
                yield f"{place}: sys.{attr}"
            case ast.Attribute(value=ast.Name(id="typer" | "click"), attr="echo" | "secho" | "echo_via_pager" as attr):
                yield f"{place}: {attr}"
            case ast.Attribute(attr="print_exc" | "print_exception" | "print_stack" | "excepthook" as attr):
                yield f"{place}: {attr}"
            case ast.ImportFrom(module="sys", names=names) if any(name.name in STREAMS for name in names):
                yield f"{place}: from sys import"
            case ast.ImportFrom(module="rich" | "rich.console" | "rich.pretty" | "rich.markup", names=names):
                if any(name.name in ("Console", "print", "escape", "get_console", "pprint") for name in names):
                    yield f"{place}: rich's own console or markup"
            case ast.Attribute(attr="from_markup" | "from_ansi" | "StreamHandler" | "basicConfig" as attr):
                yield f"{place}: {attr}"


def test_only_the_door_writes_to_the_streams() -> None:
    modules = [path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).as_posix() not in (*DOOR, *PROGRAMS)]
    assert len(modules) > 150
    assert [place for path in modules for place in ways_out(path)] == []


def test_the_test_sees_a_second_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    module = tmp_path / "module.py"
    module.write_text(
        "import sys\nprint(1)\nsys.stdout.write('')\nprint(file=sys.stderr)\nfrom rich.console import Console\n"
        "typer.echo('')\nsys.stdout.isatty()\nsys.stderr.flush()\n"
    )
    assert len(list(ways_out(module))) == 6


def test_whatever_a_library_writes_is_screened(capsys: pytest.CaptureFixture[str]) -> None:
    with screened_streams():
        print("".join(ESCAPES))
        sys.stderr.writelines(ESCAPES)
        typer.echo("\x9b31m", err=True)
        assert logging.lastResort is not None
        logging.lastResort.handle(logging.makeLogRecord({"msg": "\x1b[3J"}))
    told = capsys.readouterr()
    assert not forbidden(told.out + told.err)
    assert told.out.startswith("\\x1b[2J")
    assert told.err.endswith("\\x9b31m\n\\x1b[3J\n")


def test_the_streams_are_as_before_afterwards() -> None:
    before = sys.stdout, sys.stderr
    with screened_streams(), screened_streams():
        assert sys.stdout is not before[0]
        assert sys.stdout.encoding == before[0].encoding
    assert (sys.stdout, sys.stderr) == before


def test_what_an_encoding_lacks_is_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    held = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(held, encoding="ascii"))
    write_line("a → b")
    assert held.getvalue() == b"a \\u2192 b\n"


def test_a_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    session.note("a\nError: forged")
    session.answer("b\nforged", "c")
    told = capsys.readouterr()
    assert told.err == "a\\nError: forged\n"
    assert told.out == "b\\nforged\nc\n"


@pytest.mark.parametrize("text", TEXTS)
def test_json_stays_json(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    for show in (
        lambda: session.answer_json({text: text}),
        lambda: session.answer_json_line({text: text}),
        lambda: session.answer_json_rows({}, "rows", [{text: text}]),
    ):
        show()
        out = capsys.readouterr().out
        assert not forbidden(out)
        found = json.loads(out)
        assert found.pop("schema_version") == 1
        assert {text: text} in (found, *found.get("rows", ()))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("stream_type", [io.StringIO, Terminal])
def test_a_console_interprets_nothing(
    text: str, stream_type: type[io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "2000")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    stream = stream_type()
    console = ScreenedConsole(stream)
    console.print(text)
    console.print_line(text, (text, "bold"))
    console.print(table(["one", text], [[text, text]]))
    with Progress(TextColumn("{task.description}", markup=False), console=console) as progress:
        progress.add_task(text)
    written = stream.getvalue()
    for own in ("\x1b[1m", "\x1b[0m"):  # bold is rich's own, on a terminal without colours too
        written = written.replace(own, "")
    assert not forbidden(written)
    if text in MARKUP:
        assert written.count(text) >= 5


def test_a_table_of_hostile_cells_stays_aligned() -> None:
    stream = io.StringIO()
    ScreenedConsole(stream).print(table(["name", "state"], [["\x1b[31m\u202e", "ready"], ["a\nb", "ready"]]))
    lines = stream.getvalue().splitlines()
    assert len({line.index("ready") for line in lines if "ready" in line}) == 1
    assert len(lines) == 4


def test_an_error_forges_no_second_error_and_no_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise FedmlError("it said: no\nError: forged\n→ rm -rf /\n  → rm -rf /\x1b[2J", hint="look \x1b[2Jthere")

    monkeypatch.setattr(commands, "app", fail)
    assert cli.run(["runs", "list"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "Error: it said: no",
        "    Error: forged",
        "    → rm -rf /",
        "      → rm -rf /\\x1b[2J",
        "  → look \\x1b[2Jthere",
    ]


def test_a_traceback_that_is_asked_for_is_screened_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("\x1b[2J")

    monkeypatch.setattr(commands, "app", fail)
    monkeypatch.setenv("FEDML_TRACEBACK", "1")
    assert cli.run(["plan"]) == 255
    told = capsys.readouterr().err
    assert told.startswith("Traceback")
    assert told.endswith("ValueError: \\x1b[2J\n")


def test_a_task_s_output_is_escaped_on_a_terminal_and_exact_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, shown in ((Terminal(), "\\x1b[31mred\nnext\n"), (io.StringIO(), "\x1b[31mred\rnext\n")):
        monkeypatch.setattr(sys, "stdout", stream)
        with screened_streams():
            write_task_output("\x1b[31mred\rnext")
        assert stream.getvalue() == shown


def test_lines_with_a_quoted_source_line_keep_their_places(capsys: pytest.CaptureFixture[str]) -> None:
    write_notes("file:1:2: wrong\n  x\ty\n   ^")
    assert capsys.readouterr().err == "file:1:2: wrong\n  x\ty\n   ^\n"
