from __future__ import annotations

import pytest

from jobs.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (-1_000_000_000, "-1s"),
        (602_478_764, "602.478764ms"),
        (4_157_813_639, "4.157813639s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (1_500_000, "1.5ms"),
        (90_000_000_000, "1m30s"),
        (86_400 * 10**9, "24h0m0s"),
    ],
)
def test_durations_are_written_as_go_writes_them(nanoseconds: int, text: str) -> None:
    assert parse_duration(text) == nanoseconds
    assert format_duration(nanoseconds) == text
