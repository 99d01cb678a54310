"""Scripted scenarios with real processes: regions, nodes, lines and coordinators killed, paused, cut and brought back.

Those that are quick run in every `make test`; all of them in `make soak` (SOAK=1), and there those that can be are played on
real Nomad agents too, where a binary is found.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from federation.dev.agents import find_binary
from tests.emulators.link import Link
from tests.scenarios.project import Project
from tests.scenarios.script import (
    GRACE_S,
    Scenario,
    Stage,
    Step,
    beside,
    command,
    cut,
    dispatch,
    dispatch_dying,
    ends,
    hears,
    killed,
    mend,
    node,
    opens,
    play,
    region,
    resume,
    resume_dying,
    running,
    signalled,
)

IS_SOAK = bool(os.environ.get("SOAK"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
]
HALF = 250 if IS_SOAK else 12
NODES = 'nodes = [{ name = "us-1", datacenter = "us-east-1", cpu_mhz = 4000, memory_mb = 8192 }]'
TWO_NODES = """\
nodes = [
  { name = "us-1", datacenter = "us-east-1", cpu_mhz = 2000, memory_mb = 4096 },
  { name = "us-2", datacenter = "us-east-1", cpu_mhz = 2000, memory_mb = 4096 },
]
heartbeat_grace_s = 3.0"""


def lost(order: str) -> list[Step]:
    """us stays away: its slots are done in eu."""
    return [dispatch(), running("us"), region(order, "us"), hears("us          lost"), ends(0)]


def back_in_time(order: str) -> list[Step]:
    """us is back within its grace: nothing is bound anew."""
    return [
        dispatch("--config", "patient.toml"),
        running("us", 2),
        region(order, "us"),
        region("restore", "us"),
        opens(),
        ends(0),
        no_second_attempt(),
    ]


def back_during(order: str) -> list[Step]:
    """us is lost, and back while eu still works: what it still runs is stopped."""
    return [
        dispatch(),
        running("us"),
        region(order, "us"),
        hears("us          lost"),
        region("restore", "us"),
        hears("us          back"),
        opens(),
        ends(0),
    ]


def no_second_attempt() -> Step:
    def step(stage: Stage) -> None:
        attempts = {change["attempt"] for change in stage.project.run_log(stage.run) if change["type"] == "bind"}
        assert attempts == {1}, stage.said

    return step


def home_is(moved_from: str, moved_to: str) -> Step:
    """The home store's folder is moved away, or back."""

    def step(stage: Stage) -> None:
        stores = stage.project.root / "stores"
        (stores / moved_from).rename(stores / moved_to)

    return step


def tasks_end() -> Step:
    """All tasks that are there end, and publish; the coordinator can't hear of it."""

    def step(stage: Stage) -> None:
        deadline_s = time.monotonic() + 60
        while any(stage.project.still_open(name, stage.job) for name in stage.scenario.regions.split(",")):
            assert time.monotonic() < deadline_s
            time.sleep(0.2)

    return step


def nothing_unrecorded() -> Step:
    """Every child that is there was bound in the run log first."""

    def step(stage: Stage) -> None:
        bound = {(c["slot"], c["attempt"]) for c in stage.project.run_log(stage.run) if c["type"] == "bind"}
        for name in stage.scenario.regions.split(","):
            for child in stage.project.children(name, stage.job):
                assert (int(child["Meta"]["fedml_slot"]), int(child["Meta"]["fedml_attempt"])) in bound

    return step


SCENARIOS = [
    # regions
    Scenario("region-killed", lost("kill"), gates=["us"], is_fast=True, on_agents=True),
    Scenario("region-paused", lost("pause"), gates=["us"], on_agents=True),
    Scenario("region-cut", lost("cut"), gates=["us"]),
    Scenario("region-killed-back-in-time", back_in_time("kill"), gates=["us"], on_agents=True),
    Scenario("region-paused-back-in-time", back_in_time("pause"), gates=["us"], on_agents=True),
    Scenario("region-cut-back-in-time", back_in_time("cut"), gates=["us"]),
    Scenario("region-killed-back-during", back_during("kill"), gates=["us", "eu"]),
    Scenario("region-paused-back-during", back_during("pause"), gates=["us", "eu"]),
    Scenario("region-cut-back-during", back_during("cut"), gates=["us", "eu"]),
    Scenario(
        "region-lost-twice",
        [
            dispatch(),
            running("us"),
            region("pause", "us"),
            hears("us          lost"),
            region("restore", "us"),
            hears("us          back"),
            region("kill", "us"),
            hears("us          lost", 2),
            opens(),
            ends(0),
        ],
        gates=["us", "eu"],
        slots=6,
    ),
    Scenario(
        "region-not-there-at-the-start",
        [region("kill", "us"), dispatch("--skip-unreachable"), ends(0)],
        regions="us,eu,onprem",
    ),
    Scenario(
        "all-regions-silent",
        [
            dispatch(),
            running("us"),
            region("pause", "us"),
            region("pause", "eu"),
            hears("this machine is cut off"),
            region("restore", "us"),
            region("restore", "eu"),
            opens(),
            ends(0),
            no_second_attempt(),
        ],
        gates=["us", "eu"],
    ),
    # lines: in one direction or both
    Scenario(
        "line-in-cut-and-reachable-through-another-region",
        [
            dispatch(),
            running("us"),
            cut("in", "us"),
            hears("answers only through region"),
            mend("us"),
            opens(),
            ends(0),
            no_second_attempt(),
        ],
        gates=["us"],
    ),
    Scenario(
        "line-out-cut-while-it-dispatches",
        [dispatch(), hears("bound"), cut("out", "us"), hears("answers only through"), mend("us"), opens(), ends(0)],
        gates=["us", "eu"],
        slots=6,
    ),
    Scenario(
        "all-lines-cut-in",
        [
            dispatch(),
            running("us"),
            cut("in", "us", "eu", "onprem"),
            hears("this machine is cut off"),
            mend("us", "eu", "onprem"),
            opens(),
            ends(0),
            no_second_attempt(),
        ],
        gates=["us", "eu"],
    ),
    Scenario(
        "all-lines-cut-out",
        [
            dispatch(),
            running("us"),
            cut("out", "us", "eu", "onprem"),
            hears("this machine is cut off"),
            mend("us", "eu", "onprem"),
            opens(),
            ends(0),
            no_second_attempt(),
        ],
        gates=["us", "eu"],
    ),
    Scenario(
        "line-and-region-cut-in-both-directions",
        [
            dispatch(),
            running("us"),
            cut("both", "us"),
            region("cut", "us"),
            hears("us          lost"),
            region("restore", "us"),
            mend("us"),
            hears("us          back"),
            opens(),
            ends(0),
        ],
        gates=["us", "eu"],
    ),
    # nodes
    Scenario(
        "node-killed",
        [dispatch(), running("us", 2), node("kill", "us-1"), node("restore", "us-1"), opens(), ends(0)],
        gates=["us"],
        regions="us",
    ),
    Scenario(
        "node-killed-for-good",
        [dispatch(), running("us", 4), node("kill", "us-1"), opens(), ends(0)],
        gates=["us"],
        regions="us",
    ),
    Scenario(
        "node-paused",
        [dispatch(), running("us", 2), node("pause", "us-1"), opens(), node("restore", "us-1"), ends(0)],
        gates=["us"],
        regions="us",
    ),
    Scenario(
        "node-drained",
        [dispatch(), running("us", 2), node("drain", "us-1"), opens(), ends(0)],
        gates=["us"],
        regions="us",
        on_agents=True,
    ),
    Scenario(
        "all-nodes-of-a-region-killed",
        [
            dispatch(),
            running("us", 2),
            node("kill", "us-1"),
            node("kill", "us-2"),
            node("restore", "us-1"),
            node("restore", "us-2"),
            opens(),
            ends(0),
        ],
        gates=["us"],
    ),
    # coordinators
    Scenario(
        "coordinator-killed-while-slots-run",
        [dispatch(), running("us"), killed(), resume(), opens(), ends(0), no_second_attempt()],
        gates=["us", "eu"],
        is_fast=True,
        on_agents=True,
    ),
    Scenario(
        "coordinator-killed-before-a-binding-is-recorded",
        [dispatch_dying('before:put "bind":1'), resume(), ends(0), no_second_attempt()],
    ),
    Scenario(
        "coordinator-killed-before-a-dispatch",
        [dispatch_dying("before:dispatch:2"), resume(), ends(0), no_second_attempt()],
        on_agents=True,
    ),
    Scenario(
        "coordinator-killed-after-a-dispatch",
        [dispatch_dying("after:dispatch:2"), resume(), ends(0), no_second_attempt()],
        on_agents=True,
    ),
    Scenario(
        "coordinator-killed-before-a-commit",
        [dispatch_dying('before:put "add":1'), resume(), ends(0), no_second_attempt()],
    ),
    Scenario(
        "coordinator-killed-after-a-commit",
        [dispatch_dying('after:put "add":1'), resume(), ends(0), no_second_attempt()],
    ),
    Scenario(
        "coordinator-paused-longer-than-the-grace",
        [
            dispatch(),
            running("us"),
            signalled(signal.SIGSTOP),
            command("runs", "list"),
            command("regions", "list"),
            command("index", "list"),
            signalled(signal.SIGCONT),
            opens(),
            ends(0),
            no_second_attempt(),
        ],
        gates=["us", "eu"],
    ),
    Scenario(
        "coordinator-interrupted",
        [
            dispatch(),
            running("us"),
            signalled(signal.SIGINT),
            ends(130),
            resume(),
            opens(),
            ends(0),
            no_second_attempt(),
        ],
        gates=["us", "eu"],
    ),
    Scenario(
        "two-coordinators-and-the-first-is-killed",
        [
            dispatch(),
            running("us"),
            beside(),
            hears("was driven by"),
            lambda stage: stage.others[0].kill(),
            opens(),
            ends(0),
            no_second_attempt(),
        ],
        gates=["us", "eu"],
    ),
    # several at once
    Scenario(
        "region-lost-while-the-coordinator-is-killed-twice",
        [
            dispatch(),
            running("us"),
            killed(),
            region("kill", "us"),
            resume_dying("after:told lost:1"),
            resume(),
            region("restore", "us"),
            opens(),
            ends(0),
        ],
        gates=["us", "eu"],
        slots=8,
    ),
    Scenario(
        "node-and-coordinator-killed",
        [
            dispatch(),
            running("us", 2),
            node("kill", "us-1"),
            killed(),
            node("restore", "us-1"),
            resume(),
            opens(),
            ends(0),
        ],
        gates=["us"],
        regions="us",
    ),
    Scenario(
        "cancelled-while-a-region-is-away",
        [
            dispatch(),
            running("us"),
            region("pause", "us"),
            hears("us          lost"),
            command("runs", "cancel", "RUN", "--yes", code=2),
            ends(2),
        ],
        gates=["us", "eu"],
        state="cancelled",
    ),
    Scenario(
        "home-store-lost-in-the-middle",
        [
            dispatch(),
            running("us"),
            home_is("home", "gone"),
            opens(),
            tasks_end(),
            home_is("gone", "home"),
            ends(0),
            nothing_unrecorded(),
            no_second_attempt(),
        ],
        gates=["us", "eu"],
        slots=12,
        is_fast=True,
    ),
]
US_DIES = Scenario(
    "us-dies-at-half",
    [
        dispatch(),
        hears(" committed ", HALF),
        killed(),
        region("kill", "us"),
        resume_dying("after:told us          lost:1"),
        resume(),
        hears("us          lost", 2),
        region("restore", "us"),
        hears("us          back"),
        opens(),
        ends(0),
    ],
    gates=["onprem"],
    slots=2 * HALF,
    regions="us,eu,onprem",
    is_fast=True,
)
"""us dies at half of the slots while the coordinator is killed twice, then us returns (docs/tutorial/us-dies.md)."""
SCENARIOS.append(US_DIES)
PLAYED = [one for one in SCENARIOS if IS_SOAK or one.is_fast]


def made(root: Path, engine: str) -> tuple[Project, dict[str, Link], str]:
    """A federation with two nodes in us and short graces, up, and its regions reached through lines that can be cut."""
    project = Project.made(root, grace_s=GRACE_S)
    toml = (project.root / "fedml.toml").read_text()
    assert NODES in toml
    project.write("fedml.toml", toml.replace(NODES, TWO_NODES))
    project.ran("dev", "up", "--engine", engine)
    state = json.loads((project.root / ".fedml/dev/state.json").read_text())
    lines, changes = {}, []
    for name in ("us", "eu", "onprem"):
        lines[name] = Link(state["servers"][f"region:{name}"]["port"])
        reached = f'addresses = ["{lines[name].address}"]\ntoken = {{ file = ".fedml/dev/token" }}'
        changes.append((f'addresses = ["dev:{name}"]', reached))
    config = project.variant("lines", *changes)
    project.variant("patient", *changes, (f"grace_s = {GRACE_S}", "grace_s = 60.0"))
    return Project(root), lines, config


def ended(project: Project, lines: dict[str, Link]) -> None:
    for line in lines.values():
        line.close()
    project.end_processes()
    project.fedml("dev", "down", "--purge", "--yes")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, dict[str, Link], str]]:
    """Embedded regions."""
    project, lines, config = made(tmp_path_factory.mktemp("scripts") / "stage", "embedded")
    yield project, lines, config
    ended(project, lines)


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, dict[str, Link], str]]:
    """Agents of real Nomad. The command's environment has no NOMAD_BIN, so the binary is put on its PATH."""
    binaries = tmp_path_factory.mktemp("bin")
    (binaries / "nomad").symlink_to(Path(find_binary() or "").absolute())
    patch = pytest.MonkeyPatch()
    patch.setenv("PATH", f"{binaries}{os.pathsep}{os.environ['PATH']}")
    project, lines, config = made(tmp_path_factory.mktemp("scripts") / "agents", "nomad")
    yield project, lines, config
    ended(project, lines)
    patch.undo()


def test_there_are_thirty_of_them_each_with_a_name_of_its_own() -> None:
    assert len({one.name for one in SCENARIOS}) == len(SCENARIOS) >= 30


@pytest.mark.parametrize("scenario", PLAYED, ids=lambda scenario: scenario.name)
def test_every_key_once_whatever_happens(stage: tuple[Project, dict[str, Link], str], scenario: Scenario) -> None:
    played = play(stage[0], scenario, stage[1], stage[2])
    assert played.run


@pytest.mark.skipif(not (IS_SOAK and find_binary()), reason="real agents: SOAK=1 and a nomad binary (NOMAD_BIN)")
@pytest.mark.parametrize("scenario", [one for one in SCENARIOS if one.on_agents], ids=lambda scenario: scenario.name)
def test_with_real_agents(agents: tuple[Project, dict[str, Link], str], scenario: Scenario) -> None:
    played = play(agents[0], replace(scenario, name=f"{scenario.name}-on-nomad"), agents[1], agents[2])
    assert played.run
