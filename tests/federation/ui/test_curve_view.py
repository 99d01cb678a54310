"""Curves on a terminal: one scale for all slots of a metric, 80 columns, and marks that any terminal can show."""

from __future__ import annotations

import io
import math
import sys

import pytest

from federation.curves import POINTS_MAX
from federation.ui.curve_view import METRICS_MAX, ROWS_MAX, curves_document, show_curves
from federation.workflows.run_curves import RunCurves, TaskCurves


def task(slot: int, *, state: str = "running", skipped: int = 0, **metrics: list[float]) -> TaskCurves:
    points = {name: tuple((step, value) for step, value in enumerate(values, 1)) for name, values in metrics.items()}
    return TaskCurves(slot, 1, "us", f"a-{slot}", state, {"lr": 0.1 * slot}, points, 5, skipped)


def shown(capsys: pytest.CaptureFixture[str], *tasks: TaskCurves) -> list[str]:
    show_curves(RunCurves(tasks))
    return capsys.readouterr().out.splitlines()


def test_all_slots_of_a_metric_share_one_scale(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, task(0, loss=[8, 4, 2, 1]), task(1, loss=[8, 8, 8, 8], state="done"), task(2, acc=[0.5]))
    assert lines[0] == "acc: 0.5 to 0.5, steps 1 to 1"
    assert lines[4] == "loss: 1 to 8, steps 1 to 4"
    assert [line.split()[-1] for line in lines[6:8]] == ["█▄▂▁", "████"]
    assert lines[7].split()[:5] == ["1", "lr=0.1", "done", "4", "8"]


def test_values_of_many_sizes_are_drawn_on_a_logarithmic_scale(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, task(0, loss=[1, 10, 100, 1e9]))
    assert lines[0].endswith(", logarithmic scale")
    assert lines[2].split()[-1] == "▁▁▂█"


def test_what_is_not_finite_is_marked_and_does_not_change_the_scale(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, task(0, loss=[1, math.inf, 2, math.nan]), task(1, bad=[math.nan, math.nan]))
    assert lines[0] == "bad: no finite value, steps 1 to 2"
    assert lines[2].split()[-2:] == ["nan", "xx"]
    assert lines[4] == "loss: 1 to 2, steps 1 to 4"
    assert lines[6].split()[-1] == "▁x█x"


def test_a_slot_that_began_later_or_has_fewer_points_is_drawn_where_its_steps_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    late = TaskCurves(1, 1, "us", "a", "running", {}, {"loss": ((3.0, 1.0), (4.0, 2.0))})
    lines = shown(capsys, task(0, loss=[1, 2, 1, 2]), late)
    assert lines[3].endswith("  1█".replace("1", "▁"))


def test_a_terminal_without_blocks_gets_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    show_curves(RunCurves([task(0, loss=[1, 2, 3, 4, 5, 6, 7, 8])]))
    stream.flush()
    assert stream.buffer.getvalue().decode().splitlines()[2].endswith(".:-=+*#@")  # type: ignore[attr-defined]


def test_no_line_is_wider_than_80_and_no_list_longer_than_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    wide = {f"parameter-{number}": "x" * 30 for number in range(5)}
    long = [float(value) for value in range(POINTS_MAX)]
    tasks = [
        TaskCurves(
            slot, 1, "us", "a", "cancelled", wide, {f"m{number:02}": tuple(enumerate(long)) for number in range(12)}
        )
        for slot in range(1000, 1000 + ROWS_MAX + 3)
    ]
    lines = shown(capsys, *tasks)
    assert max(map(len, lines)) <= 80
    assert len(lines) <= METRICS_MAX * (ROWS_MAX + 4) + 2
    assert "… and 3 other slots (all: --json)" in lines
    assert lines[-1] == "… and 4 other metrics (all: --json)"


def test_what_was_left_out_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys) == [
        "No slot has written a metrics.jsonl that can be read.",
        'Each point of a curve is a line there, as {"step": 1, "loss": 0.5}.',
    ]
    assert shown(capsys, task(0, loss=[1], skipped=1))[-1] == "1 line of 1 slot can't be used and is left out."


def test_the_document_has_lists_of_steps_and_values() -> None:
    document = curves_document(RunCurves([task(0, loss=[1, math.nan])], ["eu: no answer"]))
    assert document["curve_problems"] == ["eu: no answer"]
    assert document["curves"][0]["metrics"] == {"loss": {"steps": [1, 2], "values": [1, {"$float": "nan"}]}}
