"""Resuming and changing runs: what is driven here, what another process does, and what is over already."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from federation.app import App
from federation.errors import RunIsDriven, UsageError
from federation.workflows import run_control
from federation.workflows.detach import coordinator_config

APP = cast(App, SimpleNamespace(config=SimpleNamespace(regions={"us": None})))


class FakeRuns:
    """Runs of which each has one state."""

    state = "open"
    calls: list[str]

    def find(self, run: str) -> Any:
        return SimpleNamespace(run=f"{run}-whole", state=self.state, job="train", author="bob@elsewhere")

    def manifest(self, run: str) -> str:
        return f"manifest of {run}"

    def retry(self, run: str, slots: object) -> tuple[int, ...]:
        self.calls.append(f"retry {run} {slots}")
        return (1,)

    def change_since(self, run: str) -> str:
        return ""

    def rebind(self, run: str, region: str) -> int:
        self.calls.append(f"rebind {run} {region}")
        return 2

    def is_unstarted(self, run: str) -> bool:
        return self.state == "unstarted"

    def cancel_unstarted(self, run: str, reason: str) -> bool:
        return self.state == "unstarted"

    def parent_of(self, run: str) -> str:
        return ""

    def stop_stale(self, job: str, regions: object, *, parent: str) -> dict[str, list[str]]:
        self.calls.append(f"stop {job} {regions}")
        return {"us": ["train/dispatch-1"]}


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> FakeRuns:
    fake = FakeRuns()
    fake.calls = []
    monkeypatch.setattr(run_control, "Runs", lambda app: fake)
    return fake


def driven(manifest: Any, drive: Callable[..., Any]) -> str:
    assert manifest == "manifest of 01-whole"
    return "done"


def driven_elsewhere(manifest: Any, drive: Callable[..., Any]) -> str:
    raise RunIsDriven("run 01-whole is driven by another process")


def agreed(about: str) -> bool:
    return True


def test_an_open_run_is_resumed(runs: FakeRuns) -> None:
    assert run_control.resume(APP, "01", driven, pytest.fail) == "done"
    assert runs.calls == []


@pytest.mark.parametrize("state", ["done", "cancelled"])
def test_a_run_that_is_over_is_not_driven_and_leftovers_are_stopped(runs: FakeRuns, state: str) -> None:
    runs.state, notes = state, list[str]()
    assert run_control.resume(APP, "01", driven_elsewhere, notes.append) == state
    assert run_control.cancel(APP, "01", "wrong", driven_elsewhere, notes.append, pytest.fail, ask=agreed) == state
    assert runs.calls == ["stop train ('us',)"] * 2
    assert notes[:2] == [
        f"Run 01-whole is {state}: there is nothing to continue",
        "us: stopped 1 attempt left there when the region could not be reached",
    ]


def test_a_run_that_was_never_dispatched_is_cancelled_without_driving_it(runs: FakeRuns) -> None:
    runs.state, ended = "unstarted", list[Any]()
    assert (
        run_control.cancel(APP, "01", "wrong", driven_elsewhere, lambda text: None, ended.append, ask=agreed)
        == "cancelled"
    )
    assert ended == [{"event": "end", "run": "01-whole", "state": "cancelled", "reason": "wrong"}]


def test_a_change_of_a_run_that_another_process_drives_is_recorded_only(runs: FakeRuns) -> None:
    notes: list[str] = []
    assert run_control.retry(APP, "01", (3,), driven_elsewhere, notes.append) == "open"
    assert run_control.rebind(APP, "01", "us", driven, notes.append) == "done"
    assert runs.calls == ["retry 01-whole (3,)", "rebind 01-whole us"]
    assert "that process makes the change" in notes[1]


def test_the_config_of_a_coordinator_s_task() -> None:
    task = {"NOMAD_META_fedml_resume": "01", "NOMAD_TASK_DIR": "/local"}
    assert coordinator_config({"NOMAD_TASK_DIR": "/local"}) is None
    assert str(coordinator_config(task)) == "/local/fedml.toml"
    assert str(coordinator_config(task | {"NOMAD_META_fedml_config": "/p/fedml.toml"})) == "/p/fedml.toml"


@pytest.mark.parametrize("named", ["last", "last-2", "LAST"])
def test_the_last_run_is_not_cancelled_where_somebody_else_dispatched_it(runs: FakeRuns, named: str) -> None:
    with pytest.raises(UsageError, match=f"{named} is run {named}-whole, which bob@elsewhere dispatched"):
        run_control.cancel(APP, named, "", driven, pytest.fail, pytest.fail, ask=agreed)
