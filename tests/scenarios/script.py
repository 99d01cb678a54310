"""A scripted scenario (steps in order) enters, and is played with real processes; what must hold at its end is checked.

A run's tasks wait at the gates of their regions, where there are any, so that whatever is done to a region, a node, a line
or the coordinator happens while they run. At the end all is whole again, the run is resumed where it isn't over, and:
every key is in the index once, no attempt was bound or acknowledged twice, and no attempt is open in any region.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.emulators.link import Direction, Link
from tests.scenarios.project import Project, expected_keys, run_id, told

GRACE_S = 2.0
PUBLISH = "echo x > model && exec fedml publish model"
Step = Callable[["Stage"], None]


@dataclass(frozen=True)
class Scenario:
    """`gates`: regions whose tasks wait until `open_gate`. `slots`, `regions` as for `fedml dispatch`."""

    name: str
    steps: Sequence[Step]
    gates: Sequence[str] = ()
    slots: int = 4
    regions: str = "us,eu"
    state: str = "done"
    """How the run is to have ended."""
    is_fast: bool = False
    """Part of every `make test`, not of `make soak` only."""
    on_agents: bool = False
    """Played with real Nomad agents too, where there is a binary."""


@dataclass
class Stage:
    """What a scenario plays on: one federation, its lines, and the commands under way."""

    project: Project
    scenario: Scenario
    lines: dict[str, Link]
    config: str
    """The fedml.toml whose regions are reached through the lines."""
    coordinator: subprocess.Popen[str] | None = None
    said: str = ""
    run: str = ""
    others: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def job(self) -> str:
        return self.scenario.name

    @property
    def file(self) -> str:
        return f"{self.job}.nomad.hcl"

    def gate(self, region: str) -> Path:
        return self.project.root / f"gate-{self.job}-{region}"

    def prepare(self) -> None:
        for region in self.scenario.gates:
            os.mkfifo(self.gate(region))
        waits = f"test -p {self.gate('$FEDML_REGION')} && cat {self.gate('$FEDML_REGION')}; "
        self.project.job(self.job, waits + PUBLISH)

    def open_gates(self) -> None:
        """Whoever waits goes on, and nobody waits from now on."""
        for region in self.scenario.gates:
            path = self.gate(region)
            if path.exists():
                gate = os.open(path, os.O_RDWR)
                path.unlink()
                os.close(gate)

    def dispatch_arguments(self) -> list[str]:
        asked = self.scenario
        return [
            "dispatch",
            "--config",
            self.config,
            "--job",
            self.file,
            "-n",
            str(asked.slots),
            "--regions",
            asked.regions,
        ]

    def hear(self, text: str, times: int = 1) -> None:
        assert self.coordinator is not None
        missing = times - self.said.count(text)
        if missing > 0:
            self.said += told(self.coordinator, text, missing)

    def end(self) -> int:
        """The coordinator's exit code, once it ended."""
        assert self.coordinator is not None
        self.said += self.coordinator.communicate(timeout=900)[1]
        self.run = self.run or run_id(self.said)
        return self.coordinator.returncode

    def restore(self) -> None:
        """All is whole again, and whatever was under way has ended."""
        for line in self.lines.values():
            line.mend()
        self.project.ran("dev", "up")
        self.open_gates()

    def check(self) -> None:
        """What must hold once all regions are reachable, and every command has ended."""
        project, scenario = self.project, self.scenario
        done = project.fedml("runs", "resume", self.run)
        assert done.code == (0 if scenario.state == "done" else 2), done.err
        shown = project.ran("runs", "list", "--json").json["runs"]
        assert {row["run"]: row["state"] for row in shown}[self.run] == scenario.state
        committed = project.committed(self.run)
        if scenario.state == "done":
            assert committed == expected_keys(scenario.slots)
        assert all(times == 1 for times in committed.values())
        changes = project.run_log(self.run)
        for kind in ("bind", "ack"):
            pairs = Counter((change["slot"], change["attempt"]) for change in changes if change["type"] == kind)
            assert set(pairs.values()) <= {1}, f"{kind} twice: {pairs}"
        for region in scenario.regions.split(","):
            assert project.still_open(region, self.job) == []


def play(project: Project, scenario: Scenario, lines: dict[str, Link], config: str) -> Stage:
    """Play it, and check what must hold."""
    stage = Stage(project, scenario, lines, config)
    stage.prepare()
    try:
        for step in scenario.steps:
            step(stage)
    except BaseException:
        sys.stderr.write(f"--- {scenario.name}: the coordinator said:\n{stage.said}\n")
        raise
    finally:
        for process in (stage.coordinator, *stage.others):
            if process is not None and process.poll() is None:
                process.kill()
        project.end_processes()
        stage.restore()
    stage.check()
    return stage


# ── steps ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def dispatch(*more: str) -> Step:
    """Begin a run."""

    def step(stage: Stage) -> None:
        stage.coordinator = stage.project.started(*stage.dispatch_arguments(), *more)

    return step


def dispatch_dying(moment: str) -> Step:
    """Begin a run whose coordinator is killed (SIGKILL) at that moment, see `tests.scenarios.dying`."""

    def step(stage: Stage) -> None:
        stage.said += dying(stage, moment, *stage.dispatch_arguments())
        stage.run = run_id(stage.said) if "Run " in stage.said else newest_run(stage)

    return step


def resume_dying(moment: str) -> Step:
    """Go on with the run, and be killed at that moment."""

    def step(stage: Stage) -> None:
        stage.said += dying(stage, moment, "runs", "resume", "--config", stage.config, stage.run)

    return step


def dying(stage: Stage, moment: str, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.scenarios.dying", moment, *command],
        cwd=stage.project.root,
        env={**stage.project.environment(), "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stderr


def newest_run(stage: Stage) -> str:
    rows = stage.project.ran("runs", "list", "--json").json["runs"]
    return str(next(row["run"] for row in rows if row["job"] == stage.job))


def hears(text: str, times: int = 1) -> Step:
    """The coordinator says so, all in all so many times."""
    return lambda stage: stage.hear(text, times)


def running(region: str, times: int = 1) -> Step:
    """So many attempts run in the region."""
    return hears(f"running    {region}-", times)


def region(order: str, name: str) -> Step:
    """`fedml dev region`."""
    return lambda stage: void(stage.project.ran("dev", "region", order, name))


def node(order: str, name: str) -> Step:
    """`fedml dev node`."""
    return lambda stage: void(stage.project.ran("dev", "node", order, name))


def cut(direction: Direction, *names: str) -> Step:
    """The lines from here to these regions."""

    def step(stage: Stage) -> None:
        for name in names:
            stage.lines[name].cut(direction)

    return step


def mend(*names: str) -> Step:
    """Those lines are whole again."""

    def step(stage: Stage) -> None:
        for name in names:
            stage.lines[name].mend()

    return step


def signalled(number: signal.Signals) -> Step:
    """To the coordinator."""

    def step(stage: Stage) -> None:
        assert stage.coordinator is not None
        stage.coordinator.send_signal(number)

    return step


def killed() -> Step:
    """The coordinator, by SIGKILL; it leaves no last word."""

    def step(stage: Stage) -> None:
        assert stage.coordinator is not None
        stage.coordinator.kill()
        stage.said += stage.coordinator.communicate(timeout=300)[1]
        stage.run = stage.run or run_id(stage.said)

    return step


def resume() -> Step:
    """Another coordinator goes on with the run."""

    def step(stage: Stage) -> None:
        stage.run = stage.run or run_id(stage.said)
        stage.coordinator = stage.project.started("runs", "resume", "--config", stage.config, stage.run)

    return step


def beside() -> Step:
    """A second coordinator of the same run, while the first one lives: from now on it is the one that is listened to."""

    def step(stage: Stage) -> None:
        assert stage.coordinator is not None
        stage.others.append(stage.coordinator)
        resume()(stage)

    return step


def command(*arguments: str, code: int = 0) -> Step:
    """Another command; RUN stands for the run's id."""

    def step(stage: Stage) -> None:
        stage.run = stage.run or run_id(stage.said)
        words = [stage.run if word == "RUN" else word for word in arguments]
        done = stage.project.fedml(*words, "--config", stage.config)
        assert done.code == code, done.err

    return step


def opens() -> Step:
    """All gates."""
    return lambda stage: stage.open_gates()


def ends(code: int = 0) -> Step:
    """The coordinator ends, with that exit code."""

    def step(stage: Stage) -> None:
        assert stage.end() == code, stage.said

    return step


def says(text: str) -> Step:
    """It has said that."""

    def step(stage: Stage) -> None:
        assert text in stage.said, stage.said

    return step


def void(_: object) -> None:
    """Nothing is wanted of it."""
