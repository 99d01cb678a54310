"""A run goes on while `fedml dev` hurts what it runs on: each slot gives one result, whatever is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.scenarios.conftest import federation
from tests.scenarios.project import Project, expected_keys, gate, run_id, told

pytestmark = pytest.mark.slow

SLOTS = 4


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A federation of its own, whose regions may be lost for two seconds."""
    with federation(tmp_path_factory.mktemp("hurt") / "fragile", grace_s=2.0) as up:
        yield up


@pytest.fixture(autouse=True)
def all_up(fragile: Project) -> Iterator[None]:
    """Every test begins with everything as declared, and leaves no command running."""
    fragile.ran("dev", "up")
    yield
    fragile.end_processes()


@pytest.mark.parametrize("order", ["cut", "pause", "kill"])
def test_a_region_that_is_hurt_loses_its_slots_to_the_others(fragile: Project, order: str) -> None:
    name = f"region-{order}"
    with gate(fragile.root / f"gate-{name}") as waiting:
        job = fragile.job(name, f'test "$FEDML_REGION" != us || cat {waiting}; echo x > model && fedml publish model')
        dispatch = fragile.started("dispatch", "--job", job, "--regions", "us,eu", "-n", str(SLOTS))
        said = told(dispatch, "running    us-1", 1)
        fragile.ran("dev", "region", order, "us")
        said += dispatch.communicate(timeout=300)[1]
        assert dispatch.returncode == 0, said
        run = run_id(said)
        assert fragile.committed(run) == expected_keys(SLOTS)
        assert {row["region"] for row in fragile.rows("--run", run)} == {"eu"}
        fragile.ran("dev", "region", "restore", "us")
        left = fragile.still_open("us", name)
        assert left, "its tasks went on"
        fragile.ran("runs", "resume", run)
        assert set(fragile.still_open("us", name)).isdisjoint(left)


def test_a_dispatch_begins_without_a_region_that_hangs_which_joins_when_it_answers(fragile: Project) -> None:
    with gate(fragile.root / "gate-late") as waiting:
        job = fragile.job("late", f"cat {waiting}; echo x > model && exec fedml publish model")
        fragile.ran("dev", "region", "pause", "us")
        dispatch = fragile.started("dispatch", "--job", job, "--regions", "us,eu", "-n", "40")
        said = told(dispatch, "running    eu-1", 1)
        assert "us         no answer yet: starting with eu; it joins when it answers" in said
        assert fragile.jobs("eu")
        fragile.ran("dev", "region", "restore", "us")
        said += told(dispatch, "running    us-1", 1)
    said += dispatch.communicate(timeout=300)[1]
    assert dispatch.returncode == 0, said
    run = run_id(said)
    assert fragile.committed(run) == expected_keys(40)
    assert {row["region"] for row in fragile.rows("--run", run)} == {"us", "eu"}


def test_a_killed_node_gives_its_slot_back_and_it_runs_when_the_node_is_there_again(fragile: Project) -> None:
    with gate(fragile.root / "gate-node") as waiting:
        job = fragile.job("node-kill", f"cat {waiting}; echo x > model && exec fedml publish model")
        dispatch = fragile.started("dispatch", "--job", job, "--regions", "us")
        said = told(dispatch, "running    us-1", 1)
        fragile.ran("dev", "node", "kill", "us-1")
        assert "killed" in fragile.ran("dev", "status").out
        fragile.ran("dev", "node", "restore", "us-1")
    said += dispatch.communicate(timeout=300)[1]
    assert dispatch.returncode == 0, said
    assert fragile.committed(run_id(said)) == expected_keys(1)
