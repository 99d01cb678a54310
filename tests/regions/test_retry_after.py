"""The header `Retry-After`, of a region's or a store's answer."""

from __future__ import annotations

import pytest

from regions import retry_after
from regions.retry_after import retry_after_s


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, 0), ("", 0), ("7", 7), (" 120 ", 120), ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("-1", 0)],
)
def test_a_wish_is_read_in_seconds(header: str | None, seconds: float) -> None:
    assert retry_after_s(header) == seconds


def test_a_wish_may_be_a_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_after.time, "time", lambda: 1_445_412_470.0)
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 10
