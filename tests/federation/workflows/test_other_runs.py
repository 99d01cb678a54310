"""`[shares]` between runs that bind at the same moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from federation.home import read_manifest
from federation.log import Log
from federation.plan import Budget
from federation.workflows.other_runs import OtherRuns, claim_of
from tests.federation.plan.planning import FakeApp
from tests.federation.workflows.test_plan import open_run

OLDER = "01a21000-0000-7000-8000-00000000000a"
YOUNGER = "01a21000-0000-7000-8000-00000000000b"


@pytest.fixture
def app(tmp_path: Path) -> FakeApp:
    return FakeApp(tmp_path, more='[shares.owners]\n"ann@*" = 2')


def bind(app: FakeApp, run: str, *slots: int) -> None:
    changes = [{"type": "bind", "slot": slot, "attempt": 1, "region": "us"} for slot in slots]
    Log(app.home, f"runs/{run}/log/").append(changes)


def others(app: FakeApp, run: str, *, when_waiting: object = None) -> OtherRuns:
    def pause(_: float) -> None:
        assert callable(when_waiting), f"{run} waits, and gives way instead"
        when_waiting()

    return OtherRuns(app.app, claim_of(read_manifest(app.home, run)), pause=pause)


def most(budgets: tuple[Budget, ...]) -> int:
    (budget,) = budgets
    return budget.most


def test_of_two_runs_that_bind_at_once_the_younger_gives_way_and_the_older_waits_for_it(app: FakeApp) -> None:
    for run in (OLDER, YOUNGER):
        open_run(app, run, 4, {})
    assert [most(others(app, run).budgets()) for run in (OLDER, YOUNGER)] == [2, 2]
    for run in (OLDER, YOUNGER):
        bind(app, run, 0, 1)
    assert most(others(app, YOUNGER).budgets_after_binding("us")) == 0

    def gives_way() -> None:
        failed = [{"type": "fail", "slot": slot, "attempt": 1, "cause": "share", "reason": ""} for slot in (0, 1)]
        Log(app.home, f"runs/{YOUNGER}/log/").append(failed)

    assert most(others(app, OLDER, when_waiting=gives_way).budgets_after_binding("us")) == 2
    assert most(others(app, YOUNGER).budgets_after_binding("us")) == 0


def test_an_older_run_gives_way_to_what_a_younger_one_dispatched_before(app: FakeApp) -> None:
    for run in (OLDER, YOUNGER):
        open_run(app, run, 4, {})
    bind(app, YOUNGER, 0, 1)
    assert most(others(app, YOUNGER).budgets_after_binding("us")) == 2
    bind(app, OLDER, 0)
    waited: list[int] = []
    assert most(others(app, OLDER, when_waiting=lambda: waited.append(1)).budgets_after_binding("us")) == 0
    assert len(waited) > 1


def test_the_slots_of_a_run_without_results_are_over_when_they_are_done(app: FakeApp) -> None:
    open_run(app, OLDER, 4, {})
    open_run(app, YOUNGER, 4, {0: "us", 1: "us"})
    assert most(others(app, OLDER).budgets()) == 0
    done = {"type": "done", "slot": 0, "attempt": 1, "group": "model", "index": 0}
    Log(app.home, f"runs/{YOUNGER}/log/").append([done])
    assert most(others(app, OLDER).budgets()) == 1
