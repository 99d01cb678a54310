"""How long a run goes on: what is said later or nearer wins, shares become numbers."""

from __future__ import annotations

import pytest

from federation.errors import UsageError
from federation.run.user_limits import Patience, failures


@pytest.mark.parametrize(
    ("text", "slots", "allowed"), [(None, 100, None), ("5", 100, 5), ("5%", 100, 5), ("5%", 19, 0), ("12.5%", 80, 10)]
)
def test_failures_are_a_number_or_a_share(text: str | None, slots: int, allowed: int | None) -> None:
    assert failures(text, slots) == allowed


@pytest.mark.parametrize("text", ["", "five", "-1", "101%", "5 %", "5%%"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="is not a number or a share") as error:
        failures(text, 100)
    assert "5%" in error.value.hint


def test_a_command_line_wins_over_the_file_where_it_says_something() -> None:
    file = Patience("5%", 7, 60.0, None, "ask", True)
    line = Patience(slot_timeout_s=30.0, on_region_lost="wait")
    limits = line.over(file).limits(40)
    assert (limits["max_failures"], limits["max_attempts"], limits["slot_timeout_s"]) == (2, 7, 30.0)
    assert (limits["on_region_lost"], limits["purge_finished"], limits["priority"]) == ("wait", True, 50)
