"""What counts as the same metrics."""

from __future__ import annotations

import pytest

from federation.result import MetricValue
from federation.workflows.result_code import MetricPair, compare_metrics

NAN = float("nan")


@pytest.mark.parametrize(
    ("first", "again", "tolerance", "agrees"),
    [
        (0.5, 0.5, 0, True), (0.5, 0.5000001, 0, False), (0.5, 0.5000001, 1e-6, True), (0.5, 0.6, 1e-6, False),
        (1, 1.0, 0, True), (NAN, NAN, 0, True), (NAN, 0.5, 1, False), (float("inf"), float("inf"), 0, True),
        (float("inf"), 1e300, 0.5, False), ("a", "a", 0, True), ("a", "b", 1, False), (True, True, 0, True),
        (-0.5, 0.5, 0.1, False), (0.0, 1e-9, 0.1, False),
    ],
)  # fmt: skip
def test_numbers_agree_within_the_tolerance(
    first: MetricValue, again: MetricValue, tolerance: float, agrees: bool
) -> None:
    assert [pair.agrees for pair in compare_metrics({"m": first}, {"m": again}, tolerance)] == [agrees]


def test_a_metric_that_one_lacks_differs_and_differences_come_first() -> None:
    pairs = compare_metrics({"a": 1, "b": 2}, {"a": 1, "c": 3}, 0)
    assert [(pair.name, pair.agrees) for pair in pairs] == [("b", False), ("c", False), ("a", True)]


def test_only_named_metrics_are_compared() -> None:
    assert compare_metrics({"a": 1, "train_s": 2}, {"a": 1, "train_s": 3}, 0, only=["a"]) == [
        MetricPair("a", 1, 1, agrees=True)
    ]
    assert not compare_metrics({}, {}, 0, only=["auc"])[0].agrees
