"""Upgrades one region's real Nomad while a run goes on: first its server, then each node after a drain, as operators do.

With SOAK=1, and two binaries in NOMAD_BIN: the second is the newer one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from federation.dev import agents
from tests.emulators.link import Link
from tests.scenarios.project import Project
from tests.scenarios.script import Scenario, Stage, Step, dispatch, ends, node, opens, play, region, running
from tests.scenarios.test_scripts import ended, made

BINARIES = [path for path in os.environ.get("NOMAD_BIN", "").split(os.pathsep) if path]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not os.environ.get("SOAK") or len(BINARIES) < 2, reason="SOAK=1, and two nomad binaries in NOMAD_BIN"
    ),
]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Project, dict[str, Link], str, Path]]:
    """A federation on the older version. The last value is the link that names the binary for what starts next."""
    link = tmp_path / "bin" / "nomad"
    link.parent.mkdir()
    link.symlink_to(Path(BINARIES[0]).absolute())
    monkeypatch.setenv("PATH", f"{link.parent}{os.pathsep}{os.environ['PATH']}")
    project, lines, config = made(tmp_path / "federation", "nomad")
    yield project, lines, config, link
    ended(project, lines)


def newer(link: Path) -> Step:
    """From now on the newer version starts."""

    def step(_: Stage) -> None:
        link.unlink()
        link.symlink_to(Path(BINARIES[1]).absolute())

    return step


def runs_version(region_name: str, version: str) -> Step:
    """The region's server reports this version."""

    def step(stage: Stage) -> None:
        checks = stage.project.fedml("doctor", "--json").json["checks"]
        said = [check["detail"] for check in checks if check["subject"] == f"region {region_name}"]
        assert any(version in text for text in said), said

    return step


def renewed(name: str) -> list[Step]:
    """A node is drained, ends, and comes back."""
    return [node("drain", name), node("kill", name), node("restore", name)]


def test_a_run_outlives_the_upgrade_of_its_region(stage: tuple[Project, dict[str, Link], str, Path]) -> None:
    project, lines, config, link = stage
    old, new = (agents.version(binary) for binary in BINARIES[:2])
    steps = [
        runs_version("us", old),
        dispatch("--config", "patient.toml"),
        running("us", 2),
        newer(link),
        region("kill", "us"),
        region("restore", "us"),
        *renewed("us-1"),
        *renewed("us-2"),
        runs_version("us", new),
        opens(),
        ends(0),
    ]
    played = play(project, Scenario("upgraded", steps, gates=["us"], slots=6), lines, config)
    causes = {change["cause"] for change in project.run_log(played.run) if change["type"] == "fail"}
    assert causes <= {"moved"}, "a drain doesn't count; 2.0 places no batch work again after it, 1.6 does"
