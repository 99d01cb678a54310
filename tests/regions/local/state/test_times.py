from __future__ import annotations

from regions.local.state.times import format_time, parse_time


def test_times_have_no_trailing_zeros_and_can_be_read_back() -> None:
    assert format_time(1_795_554_208_763_871_000) == "2026-11-24T21:03:28.763871Z"
    assert format_time(1_795_554_208_000_000_000) == "2026-11-24T21:03:28Z"
    assert parse_time(format_time(1_795_554_208_763_871_957)) == 1_795_554_208_763_871_957
