"""Which values of results have a place in a chart."""

from __future__ import annotations

import math

import pytest

from federation.charts.scale import number_of, or_nan


@pytest.mark.parametrize(
    ("value", "number"),
    [(3, 3.0), (0.5, 0.5), (float("inf"), float("inf")), (True, None), ("3", None), (None, None)],
)
def test_only_numbers_have_a_place(value: object, number: float | None) -> None:
    assert number_of(value) == number
    assert (or_nan(value) == number) if number is not None else math.isnan(or_nan(value))


def test_a_whole_number_beyond_floats_is_drawn_nowhere() -> None:
    found = number_of(10**400)
    assert found is not None
    assert math.isnan(found)
