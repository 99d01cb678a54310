"""Limits of a run on the command line: values that are refused, and what an absent option means."""

from __future__ import annotations

import pytest

from federation.cli import run
from federation.cli.options.groups import DetachOptions
from federation.cli.options.limits import LimitOptions
from federation.errors import UsageError


@pytest.mark.parametrize("priority", ["0", "101", "-1", "high"])
def test_a_priority_outside_of_1_to_100_is_refused(priority: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dispatch", "--priority", priority]) == 1
    assert "--priority" in capsys.readouterr().err


def test_absent_limits_leave_the_project_s_own() -> None:
    patience = LimitOptions().patience()
    assert (patience.priority, patience.on_region_lost, patience.max_failures, patience.purge_finished) == (None,) * 4
    assert LimitOptions(priority=1).patience().priority == 1


def test_an_unknown_rule_for_a_lost_region_is_named() -> None:
    with pytest.raises(UsageError, match="--on-region-lost 'later' is not a valid rule") as refused:
        LimitOptions(on_region_lost="later").patience()
    assert refused.value.hint == "write rebind, wait or ask"


def test_regions_of_coordinators() -> None:
    assert DetachOptions(detach=True, on="eu,us").hosts(("us",)) == ("eu", "us")
    assert DetachOptions(detach=True).hosts(("us", "eu")) == ("us",)
    assert DetachOptions(detach=True).hosts(()) == ()
    with pytest.raises(UsageError, match="--on names the regions"):
        DetachOptions(on="eu").hosts(())
