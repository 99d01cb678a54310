"""What a person writes: durations, deadlines, numbers by region."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from federation.errors import UsageError
from federation.workflows.request import by_region, deadline_s

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def test_a_deadline_is_a_duration_or_a_time() -> None:
    assert deadline_s("1h30m", NOW) == 5400


def test_a_time_counts_with_its_zone_or_this_machines() -> None:
    assert deadline_s("2026-11-25T13:00Z", NOW) == 3600
    assert deadline_s("2026-11-25T13:00+01:00", NOW + timedelta(hours=-1)) == 3600
    local = (NOW + timedelta(hours=1)).astimezone().replace(tzinfo=None)
    assert deadline_s(local.isoformat(), NOW.astimezone(timezone(timedelta(hours=5)))) == 3600


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-11-25T11:59Z", "--deadline 2026-11-25T11:59Z is past: it is 2026-11-25T12:00:00"),
        ("2026-11-25", "is past"),
        ("tomorrow", "is neither a duration nor a time"),
        ("-8h", "is neither a duration nor a time"),
    ],
)
def test_what_is_no_deadline(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        deadline_s(text, NOW)


def test_numbers_by_region() -> None:
    assert by_region(["us=10", " eu = 5 "], "--cap") == {"us": 10, "eu": 5}
    assert by_region(["us=0"], "--minimum") == {"us": 0}
    for item, told in (("us", "not of the form"), ("us=-1", "not of the form"), ("us=x", "not of"), ("us=0", "leaves")):
        with pytest.raises(UsageError, match=told):
            by_region([item], "--cap")
    with pytest.raises(UsageError, match="--cap us is given twice"):
        by_region(["us=1", "us=2"], "--cap")
