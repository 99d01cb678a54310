"""How a run is told: its name, and who cancelled it and why."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from federation.log import Entry
from federation.manifest import RunCode
from federation.run.brain.changes import Bind, Cancel, Read, parse_entry
from federation.run.brain.state import Attempt, Slot
from federation.run.brain.transitions import Phase, SlotState
from federation.run.time_spent import PHASES, TimeSpent
from federation.run.timeline import TaskFit, Timeline
from federation.ui import run_story_view
from federation.ui.console import ScreenedConsole
from federation.ui.run_story_view import show_fit, show_story, show_times, story_document
from federation.ui.run_view import show_outcome
from federation.workflows.drive import RunOutcome
from federation.workflows.run_reader import RunStory
from tests.federation.run.brain.world import MANIFEST


def entry(number: int, author: str, *changes: Bind | Cancel) -> Entry:
    time = f"2026-12-01T02:0{number}:00Z"
    return Entry(number, time, author, "", "", tuple(change.to_json() for change in changes))


def read(entries: tuple[Entry, ...]) -> list[tuple[Read, ...]]:
    return [parse_entry(each.changes) for each in entries]


def test_a_cancelled_run_tells_who_cancelled_it_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    entries = (
        entry(1, "coordinator@us", Bind(0, 1, "us")),
        entry(2, "bob@laptop", Cancel("wrong data")),
        entry(3, "ann@host", Cancel("too late")),
    )
    story = RunStory(replace(MANIFEST, name="nightly"), "cancelled", "wrong data", (), entries, read(entries))
    show_story(story)
    shown = capsys.readouterr().out
    assert shown.startswith(
        f"Run {MANIFEST.run} (nightly): cancelled by bob@laptop at 2026-12-01 02:02Z (wrong data), version "
    )
    document = story_document(story)
    assert document["cancelled"] == {"by": "bob@laptop", "at": "2026-12-01T02:02:00Z"}
    assert (document["name"], document["reason"]) == ("nightly", "wrong data")


def test_a_run_that_nobody_cancelled_says_nothing_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    entries = (entry(1, "ann@host", Bind(0, 1, "us")),)
    story = RunStory(MANIFEST, "done", "", (), entries, read(entries))
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
    show_outcome(RunOutcome(MANIFEST, "cancelled", "", 5, 1, {3: "task train: Exit Code: 1"}, {}))
    shown = capsys.readouterr().err
    assert "runs retry" not in shown
    assert f"fedml dispatch --failed-of {MANIFEST.run}\n" in shown
    assert "With other code" not in shown
    of_code = replace(MANIFEST, code=RunCode("0" * 64, ("python", "train.py"), "none", "job"))
    show_outcome(RunOutcome(of_code, "failed", "", 5, 1, {3: "task train: Exit Code: 1"}, {}))
    assert f"With other code:  fedml run … --failed-of {MANIFEST.run}\n" in capsys.readouterr().err


def test_an_open_run_tells_what_fails_now_by_reason_with_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    crash = "task t: Exit Code: 1; Nomad restarts it"
    slots = (
        Slot([Attempt(1, "us", Phase.RUNNING, failing=crash)]),
        Slot([Attempt(1, "us", Phase.RUNNING, failing=crash)]),
        Slot([Attempt(1, "us", Phase.ENDED, reason="node n was lost"), Attempt(2, "eu", Phase.SENT)]),
        Slot([Attempt(1, "us", Phase.RUNNING)]),
        Slot([Attempt(1, "us", Phase.ENDED, reason="bad lr")], state=SlotState.FAILED, reason="bad lr"),
    )
    story = RunStory(MANIFEST, "open", "", slots, parameters=lambda slot: {"depth": slot, "lr": 0.1})
    show_story(story)
    shown = capsys.readouterr().out
    assert (
        "  slot 4 (depth=4, lr=0.1): bad lr\n"
        "Failing now, and not given up:\n"
        f"  2 slots, all with lr=0.1: {crash}\n"
        "    slot 0 (depth=0, lr=0.1)\n"
        "    slot 1 (depth=1, lr=0.1)\n"
        "  slot 2 (depth=2, lr=0.1): an earlier attempt ended: node n was lost\n"
    ) in shown
    document = story_document(story)
    assert document["failing"][0] == {
        "reason": crash,
        "slots": [{"slot": slot, "params": {"depth": slot, "lr": 0.1}} for slot in (0, 1)],
    }
    assert [group["reason"] for group in document["failures"]] == ["bad lr"]
    assert story_document(replace(story, state="cancelled"))["failing"] == []


@pytest.mark.parametrize(("sampled", "is_said"), [(4, False), (5, True)])
def test_what_would_fit_is_said_by_enough_attempts_only(
    capsys: pytest.CaptureFixture[str], sampled: int, is_said: bool
) -> None:
    fit = TaskFit("train", sampled, 500, 1024, 100.0, 80.0)
    show_fit(Timeline((), (), 10.0, 5.0, (fit,)))
    shown = capsys.readouterr().out
    hint = f"by the most of {sampled} sampled attempts and a quarter more:  resources {{ cpu = 150, memory = 128 }}"
    assert (f"task train, {hint}" in shown) is is_said
    assert "most used" in shown


def test_where_the_time_went_is_told_with_who_should_look(capsys: pytest.CaptureFixture[str]) -> None:
    phases = {"room": 30.0, "dispatch": 0.1, "place": 0.0, "fetch": 0.0, "compute": 70.0, "publish": 0.0, "commit": 0.0}
    show_times(TimeSpent(phases, {"eu": phases}, attempts=3, exact=2))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[0] == "region"
    assert "Where the time went: waiting for room 30%, dispatched <1%, computing 70%." in lines
    assert any(
        line.startswith("The longest besides computing: eu, waiting for room (30 s of all slots") for line in lines
    )
    assert "of 1 of 3 attempts aren't kept" in lines[-1]


def test_little_waiting_sends_nobody_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    phases = {"room": 0.4, "dispatch": 0.1, "place": 0.0, "fetch": 0.0, "compute": 11.0, "publish": 0.0, "commit": 0.0}
    show_times(TimeSpent(phases, {"eu": phases}, attempts=2, exact=2))
    shown = capsys.readouterr().out
    assert "Where the time went: waiting for room 3%" in shown
    assert "The longest besides computing" not in shown


def test_a_run_that_took_no_time_yet_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    show_times(TimeSpent(dict.fromkeys(PHASES, 0.0), {}))
    assert capsys.readouterr().out == "No slot has taken any time yet.\n"
