"""Commands that pages start."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from federation.app import App
from federation.errors import UsageError
from federation.web.deeds import Deeds, command_text


@pytest.fixture
def deeds(app: App) -> Deeds:
    return Deeds(app.config)


def test_a_form_that_is_sent_twice_starts_one_command(deeds: Deeds) -> None:
    first = deeds.start("ab" * 8, ["index", "list"], "ann@home")
    assert deeds.start("ab" * 8, ["index", "untag", "x"], "eve@elsewhere") is first
    assert first.process.wait() == 0
    assert first.command == "fedml index list"


def test_its_output_and_exit_code_are_kept(deeds: Deeds) -> None:
    deed = deeds.start("cd" * 8, ["index", "show", "nothing-of-this-name"], "ann@home")
    deed.process.wait()
    assert deed.code == 1
    assert "the index has no result, version or tag 'nothing-of-this-name'" in deed.output()
    assert stat.S_IMODE(deed.output_file.stat().st_mode) & 0o077 == 0


def test_a_command_of_another_fedml_ui_is_unknown(deeds: Deeds) -> None:
    with pytest.raises(UsageError, match="started no such command"):
        deeds.get("00" * 8)


def test_the_command_line_can_be_pasted(deeds: Deeds) -> None:
    assert command_text(["index", "note", "--", "8f14e45f", "it's; $(id)"]) == (
        """fedml index note -- 8f14e45f 'it'"'"'s; $(id)'"""
    )


def test_a_module_of_the_project_is_not_taken_for_one_of_fedml(deeds: Deeds, tmp_path: Path) -> None:
    for name in ("jobs", "regions", "shlex", "federation"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the module of the project was run')")
    deed = deeds.start("ef" * 8, ["index", "list"], "ann@home")
    assert deed.process.wait() == 0, deed.output()


def test_a_value_that_no_command_can_have_is_an_error_and_can_be_corrected(deeds: Deeds) -> None:
    for value in ("y" * 140_000, "a\0b"):
        with pytest.raises(UsageError, match="can't be started"):
            deeds.start("ab" * 8, ["index", "note", "--", "x", value], "ann@home")
    assert deeds.start("ab" * 8, ["index", "list"], "ann@home").process.wait() == 0


def test_a_form_from_before_a_restart_starts_nothing(deeds: Deeds, app: App) -> None:
    deeds.start("ab" * 8, ["index", "list"], "ann@home").process.wait()
    with pytest.raises(UsageError, match="was sent before"):
        Deeds(app.config).start("ab" * 8, ["index", "list"], "ann@home")


def test_output_that_was_deleted_is_said_to_be(deeds: Deeds) -> None:
    deed = deeds.start("ab" * 8, ["index", "list"], "ann@home")
    deed.process.wait()
    deed.output_file.unlink()
    assert deed.output() == "Its output can't be read: No such file or directory."
