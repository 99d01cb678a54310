"""A run over time as lines for the terminal and as a picture."""

from __future__ import annotations

from federation.run.timeline import RegionTime, Span, Timeline
from federation.ui.run_chart import ROWS_MAX, WIDTH, chart, gantt, picture, waves


def _timeline(*spans: Span) -> Timeline:
    names = dict.fromkeys(span.region for span in spans)
    return Timeline(spans, tuple(RegionTime(name, 1, 1, 0, 1, 1, 1, None) for name in names), 60.0, 30.0)


FEW = _timeline(
    Span(0, 1, "us", 0, 1, 10, 60, "done"),
    Span(1, 1, "eu", 0, 1, None, 30, "failed", "no node"),
    Span(1, 2, "us", 30, 31, 31, None),
)
MANY = _timeline(*(Span(slot, 1, "us", 0, 0, slot % 3 * 20, slot % 3 * 20 + 20, "done") for slot in range(60)))


def test_few_attempts_are_a_line_each_that_waits_computes_and_ends() -> None:
    done, failed, going = gantt(FEW)
    assert done == f"    0.1 us         {'░' * 10}{'█' * 50} ✓"
    assert failed == f"    1.1 eu         {'░' * 30}█{' ' * 30}✗"
    assert going == f"    1.2 us         {' ' * 30}░{'█' * 29} …"


def test_many_attempts_are_waves_of_their_region() -> None:
    assert len(MANY.spans) > ROWS_MAX
    (line,) = waves(MANY)
    assert line == f"us         {'█' * WIDTH} 20 at once"
    assert chart(MANY) == [line, f"{'':<11}0{'60 s':>{WIDTH - 1}}"]


def test_the_scale_stands_below_and_nothing_gives_nothing() -> None:
    assert chart(FEW)[-1] == f"{'':<19}0{'60 s':>{WIDTH - 1}}"
    assert chart(_timeline()) == []


def test_the_picture_has_each_attempt_in_the_lane_of_its_region() -> None:
    drawn = picture(FEW, label="run 0193", href=lambda span: f"/runs/0193/{span.slot}.{span.attempt}")
    assert (drawn.drawn, drawn.of) == (3, 3)
    assert '<a href="/runs/0193/1.1">' in drawn.svg
    assert "slot 1, attempt 1: waited 30 s, failed: no node" in drawn.svg
    assert 'class="r-0 f"' in drawn.svg
    assert 'class="r-1 f pale"' in drawn.svg
    assert ">✕</text>" in drawn.svg
