"""How a run is told: its name, and who cancelled it and why."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from federation.log import Entry
from federation.run.brain.changes import Bind, Cancel
from federation.ui import run_story_view
from federation.ui.console import ScreenedConsole
from federation.ui.run_story_view import show_story, story_document
from federation.ui.run_view import show_outcome
from federation.workflows.drive import RunOutcome
from federation.workflows.run_reader import RunStory
from tests.federation.run.brain.world import MANIFEST


def entry(number: int, author: str, *changes: Bind | Cancel) -> Entry:
    time = f"2026-12-01T02:0{number}:00Z"
    return Entry(number, time, author, "", "", tuple(change.to_json() for change in changes))


def test_a_cancelled_run_tells_who_cancelled_it_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    entries = (
        entry(1, "coordinator@us", Bind(0, 1, "us")),
        entry(2, "bob@laptop", Cancel("wrong data")),
        entry(3, "ann@host", Cancel("too late")),
    )
    story = RunStory(replace(MANIFEST, name="nightly"), "cancelled", "wrong data", (), entries)
    show_story(story)
    shown = capsys.readouterr().out
    assert shown.startswith(
        f"Run {MANIFEST.run} (nightly): cancelled by bob@laptop at 2026-12-01 02:02Z (wrong data), version "
    )
    document = story_document(story)
    assert document["cancelled"] == {"by": "bob@laptop", "at": "2026-12-01T02:02:00Z"}
    assert (document["name"], document["reason"]) == ("nightly", "wrong data")


def test_a_run_that_nobody_cancelled_says_nothing_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    story = RunStory(MANIFEST, "done", "", (), (entry(1, "ann@host", Bind(0, 1, "us")),))
    show_story(story)
    assert f"Run {MANIFEST.run}: done, version " in capsys.readouterr().out
    assert story_document(story)["cancelled"] is None


@pytest.mark.parametrize("width", [80, 300])
def test_a_narrow_terminal_shows_an_attempts_reason_in_full_below_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr(run_story_view, "out", lambda: ScreenedConsole(sys.stdout, plain_width=width))
    reason = "task train: Exit Code: 1: ValueError: loss is nan at step 3: lr=1.0 is too large for depth=7, try a smaller one"
    columns = ["slot", "parameters", "state", "results", "attempt", "region", "dispatched job", "why it ended"]
    run_story_view._show_attempts(
        columns,
        [
            (22, "lr=1.0, depth=7", "done", "1/1", 1, "us", "tune/dispatch-1796093276-71795628", reason),
            (22, "lr=1.0, depth=7", "done", "1/1", 2, "eu", "tune/dispatch-1796093381-8065cadd", ""),
        ],
    )
    shown = capsys.readouterr().out
    assert shown.count(reason) == 1
    assert ("dispatch-1796093276" in shown) == (width == 300)
    assert ("no room for: dispatched job" in shown) == (width == 80)
    if width == 80:
        assert shown.splitlines()[1:4] == [
            "22    lr=1.0, depth=7  done   1/1      1        us",
            f"      {reason}",
            "22    lr=1.0, depth=7  done   1/1      2        eu",
        ]


def test_a_failed_run_names_the_next_commands(capsys: pytest.CaptureFixture[str]) -> None:
    show_outcome(RunOutcome(MANIFEST, "failed", "", 5, 1, {3: "task train: Exit Code: 1"}, {}))
    shown = capsys.readouterr().err
    assert "slot 3: task train: Exit Code: 1" in shown
    assert f"fedml runs logs {MANIFEST.run} --failed\n" in shown
    assert f"fedml runs retry {MANIFEST.run}\n" in shown
