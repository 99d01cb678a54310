"""Lines of metrics.jsonl: whatever a task writes there, what is kept of it is limited and right."""

from __future__ import annotations

import itertools
import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.curves import (
    LINE_BYTES_MAX,
    METRICS_MAX,
    NAME_CHARS_MAX,
    POINTS_MAX,
    Curves,
    KeepBest,
    Line,
    LineReader,
    Newest,
    thinned,
)


def lines_of(*pieces: bytes, is_end: bool = False) -> tuple[list[Line], int]:
    reader = LineReader()
    found = [
        line
        for number, piece in enumerate(pieces)
        for line in reader.feed(piece, is_end=is_end and number == len(pieces) - 1)
    ]
    return found, reader.skipped


def test_a_line_is_a_step_and_its_numbers() -> None:
    found, skipped = lines_of(
        b'{"step": 10, "loss": 0.3, "note": "x", "ok": true, "more": {"a": 1}, "none": null}\r\n\n'
    )
    assert (found, skipped) == ([Line(10, {"loss": 0.3})], 0)


def test_nan_and_infinity_are_values() -> None:
    ((line,), skipped) = lines_of(b'{"step": 1, "a": NaN, "b": Infinity, "c": -Infinity, "d": 1e999}\n')
    assert math.isnan(line.values["a"])
    assert [line.values[name] for name in "bcd"] == [math.inf, -math.inf, math.inf]
    assert skipped == 0


def test_lines_without_a_step_are_counted() -> None:
    found, _ = lines_of(b'{"loss": 3}\n{"loss": 2}\n{"step": 10, "loss": 1}\n{"loss": 0}\n')
    assert [line.step for line in found] == [1, 2, 10, 11]


@pytest.mark.parametrize(
    "bad",
    [
        b"loss=0.3", b"[1, 2]", b"3", b'{"step": 1,', b'{"step": "1", "loss": 1}', b'{"step": true, "loss": 1}',
        b"\xff\xfe\x00", b'{"step": NaN, "loss": 1}', b'{"step": 1e300, "loss": 1}', b'{"loss": 1, "loss": 2}',
        b'{"step": [1]}',
        b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", b'{"loss": 1' + b"0" * 400 + b"}",
        b'{"x": "' + b"y" * LINE_BYTES_MAX + b'"}', b'{"x": "\\ud800"' + b"}" * 2,
    ],
)  # fmt: skip
def test_a_line_that_can_t_be_used_is_skipped_and_counted(bad: bytes) -> None:
    found, skipped = lines_of(b'{"step": 1, "loss": 1}\n' + bad + b'\n{"step": 2, "loss": 2}\n')
    assert ([line.step for line in found], skipped) == ([1, 2], 1)


@given(st.lists(st.integers(1, 40), max_size=12))
def test_a_line_that_a_read_cuts_is_whole_with_the_next_read(sizes: list[int]) -> None:
    text = b"".join(b'{"step": %d, "loss": %d}\n' % (step, step * step) for step in range(9))
    pieces, start = [], 0
    for size in [*sizes, len(text)]:
        pieces.append(text[start : start + size])
        start += size
    assert lines_of(*pieces) == lines_of(text)


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_no_bytes_are_an_error(pieces: list[bytes]) -> None:
    curves, newest = Curves(), Newest("loss", (0,))
    found, skipped = lines_of(*pieces, is_end=True)
    curves.take(found)
    newest.take(found)
    assert len(found) + skipped <= b"".join(pieces).count(b"\n") + 1


def test_the_last_line_counts_without_a_line_feed_only_at_the_end() -> None:
    assert lines_of(b'{"step": 1, "loss": 1}')[0] == []
    assert lines_of(b'{"step": 1, "loss": 1}', is_end=True)[0] == [Line(1, {"loss": 1})]


def test_an_endless_line_is_one_skipped_line_and_takes_no_memory() -> None:
    reader = LineReader()
    for _ in range(50):
        assert list(reader.feed(b"x" * LINE_BYTES_MAX)) == []
        assert len(reader._rest) <= LINE_BYTES_MAX
    assert [line.step for line in reader.feed(b'\n{"step": 4, "a": 1}\n')] == [4]
    assert reader.skipped == 1


def test_names_have_limits() -> None:
    many = {f"m{number}": number for number in range(3 * METRICS_MAX)}
    curves, newest = Curves(), Newest()
    for first in (0, 1):
        named = {f"{name}-{first}": value for name, value in many.items()}
        text = json.dumps({"step": first, **named}).encode() + b"\n"
        curves.take(lines_of(text)[0])
        newest.take(lines_of(text)[0])
    assert len(curves.by_metric) == len(newest.values) == METRICS_MAX
    found, _ = lines_of(json.dumps({"x" * (NAME_CHARS_MAX + 1): 1, "": 1, "a\x1b[2J": 1, "loss": 1}).encode() + b"\n")
    assert found[0].values == {"loss": 1}


def test_a_step_that_goes_back_replaces_what_the_metric_has_from_there() -> None:
    curves = Curves()
    curves.take([Line(step, {"loss": step, "acc": step}) for step in range(10)])
    curves.take([Line(step, {"loss": 100 + step}) for step in (5, 6)])
    kept = curves.kept()
    assert kept["loss"] == ((0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 105), (6, 106))
    assert len(kept["acc"]) == 10


def test_a_million_points_become_a_few_that_have_the_extremes() -> None:
    rng = random.Random(1)
    values = [rng.random() for _ in range(50_000)]
    values[31_234], values[777] = 99.0, -99.0
    values[40_000] = math.nan
    curves = Curves()
    curves.take(Line(step, {"loss": value}) for step, value in enumerate(values))
    kept = curves.kept()["loss"]
    assert len(kept) <= POINTS_MAX
    assert (31_234, 99.0) in kept
    assert (777, -99.0) in kept
    assert any(math.isnan(value) for _, value in kept)
    assert kept[0] == (0, values[0])
    assert kept[-1] == (49_999, values[-1])
    assert [step for step, _ in kept] == sorted({step for step, _ in kept})


@given(st.lists(st.tuples(st.floats(-1e15, 1e15), st.floats()), min_size=1, max_size=2000))
def test_whatever_the_steps_are_the_points_stay_few_and_in_order(points: list[tuple[float, float]]) -> None:
    curves = Curves()
    curves.take(Line(step, {"loss": value}) for step, value in points)
    kept = list(curves.kept()["loss"])
    assert len(kept) <= POINTS_MAX
    steps = [step for step, _ in kept]
    assert all(before < after for before, after in itertools.pairwise(steps))
    assert thinned(kept) == kept


def test_the_value_at_the_step_is_the_first_one_from_there_on() -> None:
    newest = Newest("loss", (5, 7, 10))
    newest.take([Line(4, {"loss": 9}), Line(6, {"acc": 1})])
    assert newest.reached == []
    newest.take([Line(7, {"loss": 0.7}), Line(8, {"loss": 0.1})])
    assert (newest.reached, newest.step, newest.values) == ([0.7, 0.7], 8, {"loss": 0.1, "acc": 1})
    assert newest.take([]) is False


def test_the_order_of_the_best() -> None:
    values = [math.nan, 3.0, -math.inf, math.inf]
    assert str(sorted(values, key=KeepBest(1, 5).order)) == "[-inf, 3.0, inf, nan]"
    assert str(sorted(values, key=KeepBest(1, 5, "auc", "max").order)) == "[inf, 3.0, -inf, nan]"


def test_where_a_run_is_halved() -> None:
    assert KeepBest(8, 5).rungs(24) == ((5, 12), (10, 8))
    assert KeepBest(1, 5).rungs(9) == ((5, 5), (10, 3), (20, 2), (40, 1))
    assert KeepBest(3, 0).rungs(24) == ((0, 3),), "step 0 can't be doubled"
    assert KeepBest(8, 5).rungs(8) == ()


def raced(keep: KeepBest, curves: list[list[float]], order: list[int]) -> tuple[dict[int, int], int]:
    """(slot → the rung that stopped it, the fewest slots that went on at any moment). Each turn a slot reaches a rung."""
    rungs = len(keep.rungs(len(curves)))
    reached: dict[int, dict[int, float]] = {}
    stopped: dict[int, int] = {}
    fewest = len(curves)
    turns = [slot for number in order for slot in (number % len(curves),)] + list(range(len(curves))) * rungs
    for slot in turns:
        place = len(reached.get(slot, ()))
        if slot in stopped or place == rungs:
            continue
        reached.setdefault(slot, {})[place] = curves[slot][place]
        stopped |= keep.stopped({one: values for one, values in reached.items() if one not in stopped}, len(curves))
        fewest = min(fewest, len(curves) - len(stopped))
    return stopped, fewest


@given(
    st.lists(st.floats(0, 10) | st.just(math.nan), min_size=1, max_size=20),
    st.integers(1, 6),
    st.sampled_from(["min", "max"]),
    st.lists(st.integers(0, 99), max_size=60),
)
def test_of_curves_that_do_not_cross_the_best_are_left_whatever_the_order(
    levels: list[float], count: int, mode: str, order: list[int]
) -> None:
    keep = KeepBest(count, 5, mode=mode)
    curves = [[level / (rung + 1) if level else level for rung in range(9)] for level in levels]
    stopped, fewest = raced(keep, curves, order)
    best = sorted(range(len(levels)), key=lambda slot: (keep.order(levels[slot]), slot))[:count]
    assert sorted(set(range(len(levels))) - stopped.keys()) == sorted(best)
    assert fewest >= min(count, len(levels))


@given(
    st.lists(st.lists(st.floats(allow_nan=True), min_size=6, max_size=6), min_size=1, max_size=16),
    st.integers(1, 5),
    st.lists(st.integers(0, 99), max_size=60),
)
def test_of_any_curves_at_least_the_count_is_left(curves: list[list[float]], count: int, order: list[int]) -> None:
    keep = KeepBest(count, 5)
    stopped, fewest = raced(keep, curves, order)
    assert fewest >= min(count, len(curves))
    assert len(curves) - len(stopped) == min(count, len(curves))
