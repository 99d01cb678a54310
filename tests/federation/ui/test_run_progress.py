"""What a run tells: bars on a terminal, one line a change elsewhere, JSON Lines for programs."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import replace

import pytest

from federation.manifest import RunCode
from federation.output.streams import Verbosity, set_verbosity
from federation.run.brain.commands import Tell
from federation.ui.run_progress import event_line, progress_display
from tests.federation.run.brain.world import MANIFEST

TELLS = [
    Tell("bound", "us", count=2),
    Tell("dispatched", "us", 0, 1, "train/dispatch-1"),
    Tell("running", "us", 0, 1, "us-1"),
    Tell("committed", "us", 0, 1, "model[0] added"),
    Tell("retry", "us", 1, 1, "task t: Exit Code: 1"),
    Tell("lost", "eu", detail="after 61 s of silence"),
]


def test_lines() -> None:
    assert event_line(TELLS[0]) == "us         2 slots bound"
    assert event_line(TELLS[1]) == "us         slot 0     dispatched train/dispatch-1"
    assert event_line(Tell("dispatched", "us", 7, 2, "x")).endswith("x (attempt 2)")


def test_no_terminal_one_line_a_change(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_display(MANIFEST, as_json=False) as observe:
        for tell in TELLS:
            observe(tell)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [event_line(tell) for tell in TELLS]


def test_json_lines_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_display(MANIFEST, as_json=True) as observe:
        for tell in TELLS:
            observe(tell)
    captured = capsys.readouterr()
    assert [json.loads(line)["event"] for line in captured.out.splitlines()] == [tell.kind for tell in TELLS]
    assert captured.err == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_bars_for_each_region_and_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress_display(replace(MANIFEST, slots=2), as_json=False) as observe:
        for tell in TELLS:
            observe(tell)
    shown = terminal.getvalue()
    last = shown[shown.rindex("us ") :]
    assert "1/1" in last
    assert "1/2" in last
    assert "1 dispatched, 1 started" in last
    assert "after 61 s of silence" in shown


def drawn(monkeypatch: pytest.MonkeyPatch, tells: list[Tell], *, already: int = 0, no_color: bool = False) -> str:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    with progress_display(replace(MANIFEST, slots=2), as_json=False, already=lambda: already) as observe:
        for tell in tells:
            observe(tell)
    return terminal.getvalue()


RED = "\x1b[31m"
FAILS = [
    Tell("bound", "us", count=2),
    Tell("dispatched", "us", 0, 1, "train/dispatch-1"),
    Tell("failed", "us", 0, 1, "task t: Exit Code: 1"),
]


def test_failed_slots_are_red_above_and_in_the_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = drawn(monkeypatch, FAILS)
    assert re.search(rf"{re.escape(RED)}us +slot 0 +failed +task t: Exit Code: 1", shown)
    last = shown[shown.rindex("us ") :]
    assert f"{RED}1 failed" in last
    assert f"{RED}1 slot failed" in last


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = drawn(monkeypatch, FAILS, no_color=True)
    assert "1 slot failed" in shown
    assert RED not in shown


def test_a_resumed_run_begins_with_what_is_in_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = drawn(monkeypatch, [Tell("committed", "us", 1, 1, "model[0] added")], already=1)
    assert "2/2" in shown[shown.rindex("all ") :]


def test_what_an_earlier_coordinator_reported_is_counted_and_not_printed_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [Tell("failed", "us", slot, 1, f"cause {slot}", is_earlier=slot == 0) for slot in (0, 1)]
    with progress_display(MANIFEST, as_json=False) as show:
        for tell in told:
            show(tell)
    err = capsys.readouterr().err
    assert "cause 1" in err
    assert "cause 0" not in err


@pytest.mark.parametrize("is_verbose", [False, True])
def test_a_run_of_code_names_nomads_job_of_a_slot_only_with_v(
    is_verbose: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    of_code = replace(MANIFEST, code=RunCode("0" * 64, ("python", "train.py"), "none", "job"))
    set_verbosity(Verbosity.VERBOSE if is_verbose else Verbosity.NORMAL)
    try:
        with progress_display(of_code, as_json=False) as observe:
            for tell in (
                *TELLS[1:4],
                Tell("dispatched", "us", 1, 2, "x"),
                Tell("committed", "us", 1, 1, "g[0] superseded"),
            ):
                observe(tell)
    finally:
        set_verbosity(Verbosity.NORMAL)
    lines = capsys.readouterr().err.splitlines()
    if is_verbose:
        assert lines[0] == event_line(TELLS[1])
        return
    assert lines == [
        "us         slot 0     dispatched",
        "us         slot 0     running    us-1",
        "us         slot 0     committed",
        "us         slot 1     dispatched (attempt 2)",
        "us         slot 1     committed  superseded",
    ]
