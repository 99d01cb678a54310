"""Parameters come back as text and get one type a column."""

from __future__ import annotations

import pytest

from jobs.params.columns import is_numeric, typed_column


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["3", "5", None], [3, 5, None]),
        (["0.1", "1", "1e-3"], [0.1, 1.0, 0.001]),
        (["0.10", "-2"], [0.1, -2.0]),
        (["true", "false"], [True, False]),
        (["true", "1"], ["true", "1"]),
        (["007", "8"], ["007", "8"]),
        (["1", "many"], ["1", "many"]),
        (["18446744073709551616", "1"], ["18446744073709551616", "1"]),
        (["1e999", "1"], ["1e999", "1"]),
        (["nan", "1"], ["nan", "1"]),
        (["٣", "1"], ["٣", "1"]),
        ([None], [None]),
        ([], []),
    ],
)
def test_a_column_has_one_type(texts: list[str | None], values: list[object]) -> None:
    typed = typed_column(texts)
    assert typed == values
    assert [type(value) for value in typed] == [type(value) for value in values]


def test_nothing_is_not_numeric() -> None:
    assert not is_numeric([])
    assert is_numeric(["0.1", "2"])
