"""A region that dies in the middle of a run, and comes back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from federation.text import counted
from tests.scenarios.conftest import federation
from tests.scenarios.project import Project, expected_keys, gate, run_id, told

pytestmark = pytest.mark.slow

SLOTS = 6


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A federation of its own, whose regions may be lost for three seconds."""
    with federation(tmp_path_factory.mktemp("hurt") / "fragile", grace_s=3.0) as up:
        yield up


@pytest.fixture(autouse=True)
def all_up(fragile: Project) -> Iterator[None]:
    """Every test begins with all regions, and leaves no command running."""
    fragile.ran("dev", "up")
    yield
    fragile.end_processes()


def kill(project: Project, region: str) -> None:
    """SIGKILL for the region's process; its tasks live on."""
    os.kill(project.pid(region), signal.SIGKILL)


def waits_in_us(waiting: object) -> str:
    """A task that hangs in us, and is quick elsewhere."""
    return f'test "$FEDML_REGION" != us || cat {waiting}; echo x > model && exec fedml publish model'


@pytest.mark.parametrize("command", ["resume", "dispatch"])
def test_slots_of_a_lost_region_are_done_elsewhere_and_what_it_still_runs_is_stopped_later(
    fragile: Project, command: str
) -> None:
    name = f"lost-{command}"
    with gate(fragile.root / f"gate-{name}") as waiting:
        job = fragile.job(name, waits_in_us(waiting))
        dispatch = fragile.started("dispatch", "--job", job, "-n", str(SLOTS))
        said = told(dispatch, "running    us-1", 1)
        kill(fragile, "us")
        said += dispatch.communicate(timeout=300)[1]
        assert dispatch.returncode == 0, said
        run = run_id(said)
        assert "us          lost" in said
        assert "us did not answer: up to" in said
        assert fragile.committed(run) == expected_keys(SLOTS)
        assert {row["region"] for row in fragile.rows("--run", run)} <= {"eu", "onprem"}

        fragile.ran("dev", "up")
        left = fragile.still_open("us", name)
        assert left, "the tasks of a killed region live on"
        if command == "resume":
            resumed = fragile.fedml("runs", "resume", run)
            assert resumed.code == 0, resumed.err
            assert f"us: stopped {counted(len(left), 'attempt')}" in resumed.err
        else:
            following = fragile.started("dispatch", "--job", job, "--regions", "us")
            said = told(following, " running ", 1)
            assert f"{counted(len(left), 'attempt')} of runs that are over stopped" in said
        assert set(fragile.still_open("us", name)).isdisjoint(left)
    assert fragile.rows("--run", run, "--state", "superseded") == []


def test_a_region_that_is_back_in_time_keeps_its_slots(fragile: Project) -> None:
    """Within the grace nothing is bound anew; the tasks that lived on give their results."""
    config = fragile.variant("patient", ("grace_s = 3.0", "grace_s = 60.0"))
    with gate(fragile.root / "gate-back") as waiting:
        job = fragile.job("back", waits_in_us(waiting))
        dispatch = fragile.started("dispatch", "--config", config, "--job", job, "-n", str(SLOTS))
        said = told(dispatch, "running    us-1", 3)
        kill(fragile, "us")
        fragile.ran("dev", "up")
    said += dispatch.communicate(timeout=300)[1]
    assert dispatch.returncode == 0, said
    run = run_id(said)
    assert fragile.committed(run) == expected_keys(SLOTS)
    assert {row["attempt"] for row in fragile.rows("--run", run)} == {1}
    assert "us" in {row["region"] for row in fragile.rows("--run", run)}


def test_a_region_that_comes_back_during_the_run_has_its_stale_attempts_stopped_by_it(fragile: Project) -> None:
    with gate(fragile.root / "gate-again") as waiting, gate(fragile.root / "gate-eu") as elsewhere:
        script = (
            f'test "$FEDML_REGION" = us && cat {waiting}; test "$FEDML_REGION" = us || cat {elsewhere}; '
            "echo x > model && exec fedml publish model"
        )
        job = fragile.job("again", script)
        dispatch = fragile.started("dispatch", "--job", job, "-n", "3", "--regions", "us,eu")
        said = told(dispatch, "running    us-1", 2)
        kill(fragile, "us")
        said += told(dispatch, "us          lost", 1)
        fragile.ran("dev", "up")
        said += told(dispatch, "us          back", 1)
    said += dispatch.communicate(timeout=300)[1]
    assert dispatch.returncode == 0, said
    assert fragile.committed(run_id(said)) == expected_keys(3)
    assert fragile.still_open("us", "again") == []
