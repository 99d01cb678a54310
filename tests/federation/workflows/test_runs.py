"""Runs are named by their id or a prefix of it that no other run has."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from federation.errors import UsageError
from federation.workflows.runs import Runs

IDS = ("01a21030-aaaa", "01a21030-bbbb", "01a21031-cccc")


def found(prefix: str) -> str:
    rows = [SimpleNamespace(run=run) for run in (*IDS, "01a21031")]
    app: Any = SimpleNamespace(index=SimpleNamespace(runs=lambda: rows))
    return Runs(app).find(prefix).run


def test_a_prefix_is_enough_and_a_whole_id_is_itself_even_where_others_begin_with_it() -> None:
    assert found("01a21030-a") == IDS[0]
    assert found(IDS[1]) == IDS[1]
    assert found("01a21031") == "01a21031"


def test_an_unknown_run_and_a_prefix_of_several() -> None:
    with pytest.raises(UsageError, match="the index knows no run 'ffff'") as unknown:
        found("ffff")
    assert "fedml runs list" in unknown.value.hint
    with pytest.raises(UsageError, match=f"2 runs begin with '01a21030': {IDS[0]}, {IDS[1]}") as several:
        found("01a21030")
    assert "more of the id" in several.value.hint
