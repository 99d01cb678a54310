"""How long a run goes on: what is said later or nearer wins, shares become numbers."""

from __future__ import annotations

import pytest

from federation.curves import KeepBest
from federation.errors import UsageError
from federation.run.user_limits import Patience, failures, keep_best_rule


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


def test_the_options_of_keep_best_make_a_rule_or_one_clear_error() -> None:
    assert keep_best_rule(None, None, "", "") is None
    assert keep_best_rule(8, 5, "", "") == KeepBest(8, 5, "loss", "min")
    assert keep_best_rule(8, 5, "auc", "max") == KeepBest(8, 5, "auc", "max")
    for given, said in (
        ((None, 5, "", ""), "belong to --keep-best"),
        ((None, None, "auc", ""), "belong to --keep-best"),
        ((8, None, "", ""), "--keep-best needs the step"),
        ((8, 5, "auc", ""), "is a low value the better one"),
        ((8, 5, "auc", "best"), "neither min nor max"),
        ((0, 5, "", ""), "keeps no slot"),
        ((8, -1, "", ""), "is not a step"),
        ((8, float("nan"), "", ""), "is not a step"),
    ):
        with pytest.raises(UsageError, match=said):
            keep_best_rule(*given)


def test_rules_are_limits_of_a_manifest() -> None:
    limits = Patience(stop_when="metrics.loss > 3", keep_best=KeepBest(2, 1)).limits(5)
    assert (limits["stop_when"], limits["keep_best"]) == ("metrics.loss > 3", KeepBest(2, 1))
    assert (Patience().limits(5)["stop_when"], Patience().limits(5)["keep_best"]) == ("", None)
