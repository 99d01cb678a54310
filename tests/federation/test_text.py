"""Texts that people read and write."""

from __future__ import annotations

import pytest

from federation.errors import UsageError
from federation.text import counted, duration_s, in_words, is_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("45s", 45), ("90m", 5400), ("1h30m", 5400), ("1.5h", 5400), ("2d", 172_800), (" 8h ", 28_800)),
        *(("8w", 4_838_400), ("1w1d", 691_200)),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert is_duration(text)
    assert duration_s(text, "--x") == seconds


@pytest.mark.parametrize(
    "text", ["", "8", "h", "-8h", "8 h", "8h30", "0s", "8hours", "1e3s", "1y", "٣h", "9" * 400 + "s", "99999w"]
)
def test_what_is_not_a_duration(text: str) -> None:
    with pytest.raises(UsageError, match="--x"):
        duration_s(text, "--x")


def test_no_time_at_all_is_right_where_it_may_be() -> None:
    assert duration_s("0h", "--grace", least_s=0) == 0


def test_counts_and_times_in_words() -> None:
    assert [counted(1, "slot"), counted(1000, "slot")] == ["1 slot", "1,000 slots"]
    assert [in_words(45), in_words(12_000), in_words(187_200)] == ["45 s", "3 h 20 min", "2 d 4 h"]
