"""Plays one partition with real commands on an engine, and checks what holds for all of them.

The tasks of the run wait at the gates of their regions, so that all that happens to the network happens while they run. At the
end the network is whole again and the run resumed once more, which stops what is stale. Then: each slot has exactly one
committed result, no attempt was bound or acknowledged twice, nothing is open in any region, and no state was said twice.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.emulators.link import Fault
from tests.scenarios.light_job import light_job
from tests.scenarios.partitions.coordinator import Coordinator
from tests.scenarios.partitions.engine import BUCKETS, DATACENTER, REGIONS, Engine, Way
from tests.scenarios.partitions.partition import Partition
from tests.scenarios.project import FEDML, ApartProject, Done, Project, expected_keys, run_id

SLOTS = 2 * len(REGIONS)
PUBLISH = "echo x > model && exec fedml publish model"
LITTLE, ENOUGH = "memory = 32", "memory = 192"
"""What publishing to a bucket needs, where Nomad holds raw_exec to its memory, as it does in newer versions."""
LEASE_S = 5.0
STATES = ("lost", "back", "region", "run")


@dataclass
class Stage:
    """What one partition is played on."""

    engine: Engine
    partition: Partition
    coordinators: dict[str, Coordinator] = field(default_factory=dict)
    hurt: dict[Way, Fault] = field(default_factory=dict)
    hurt_at_s: float = 0.0

    @property
    def name(self) -> str:
        return self.partition.name

    # ── projects ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def root(self, desk: str) -> Path:
        return self.engine.root / self.name / desk

    def project(self, desk: str) -> Project:
        """The project folder of a desk: the same federation, reached by the desk's own ways."""
        root = self.root(desk)
        if not root.exists():
            root.mkdir(parents=True)
            (root / "fedml.toml").write_text(self.settings(desk))
            waits = f"test -p {self.gate('$FEDML_REGION')} && cat {self.gate('$FEDML_REGION')}; "
            job = light_job(self.name, waits + PUBLISH)
            assert LITTLE in job
            (root / "job.nomad.hcl").write_text(job.replace(LITTLE, ENOUGH))
        return ApartProject(root) if self.partition.buckets else Project(root)

    def settings(self, desk: str) -> str:
        engine, buckets = self.engine, self.partition.buckets
        stores = {name: f"file://{self.engine.root / self.name / 'stores' / name}" for name in ("home", *REGIONS)}
        endpoint = engine.address(desk, BUCKETS)
        stores |= {name: f"s3://fedml-{name}/{self.name}?endpoint={endpoint}&anonymous=true" for name in buckets}
        lines = [
            f'[federation]\nname = "apart"\nhome = "{stores["home"]}"\njob = "job.nomad.hcl"\npolicy = "weights"',
            f'grace_s = {engine.grace_s}\non_region_lost = "{self.partition.on_region_lost}"',
            f"[coordinator]\nlease_s = {LEASE_S}",
        ]
        for name in REGIONS:
            lines.append(f'[regions.{name}]\naddresses = ["{engine.address(desk, name)}"]\nstore = "{stores[name]}"')
            if engine.token_file is not None:
                lines.append(f'token = {{ file = "{engine.token_file}" }}')
            lines.append(f"datacenters.{DATACENTER} = {{}}")
        return "\n".join(lines) + "\n"

    def fedml(self, *arguments: str, desk: str = "desk") -> Done:
        """A command, to its end."""
        with self.engine.inside(desk):
            return self.project(desk).fedml(*arguments)

    def start(self, desk: str, *arguments: str) -> None:
        """A command that drives the run, from now on."""
        project = self.project(desk)
        with self.engine.inside(desk):
            process = subprocess.Popen(
                [FEDML, *arguments, "--json"],
                cwd=project.root,
                env=project.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        self.coordinators[desk] = Coordinator(process)

    # ── what happens ──────────────────────────────────────────────────────────────────────────────────────────────────

    def suffer(self, ways: tuple[Way, ...], fault: Fault) -> None:
        self.hurt_at_s = self.hurt_at_s or time.monotonic()
        for way in ways:
            self.engine.suffer(way, fault)
            self.hurt[way] = fault

    def mend(self, ways: tuple[Way, ...] = ()) -> None:
        """These ways, or all that are hurt."""
        for way in ways or tuple(self.hurt):
            self.engine.mend(way)
            self.hurt.pop(way, None)

    def gate(self, region: str) -> Path:
        return self.engine.root / self.name / f"gate-{region}"

    def make_gates(self) -> None:
        self.gate("us").parent.mkdir(exist_ok=True)
        for region in REGIONS:
            os.mkfifo(self.gate(region))

    def open_gates(self, *regions: str) -> None:
        """Whoever waits there goes on, and nobody waits from now on."""
        for region in regions or REGIONS:
            path = self.gate(region)
            if path.exists():
                gate = os.open(path, os.O_RDWR)
                path.unlink()
                os.close(gate)

    def wait_until_ended(self, region: str) -> None:
        """Until all children that are in the region now have ended."""
        until_s = time.monotonic() + 120
        while left := self.engine.still_open(region, self.name):
            assert time.monotonic() < until_s, f"{left} don't end in {region}"
            time.sleep(0.2)

    def run_id(self) -> str:
        """The run's id."""
        return run_id("".join(self.coordinators["desk"].errors))

    # ── what must hold ────────────────────────────────────────────────────────────────────────────────────────────────

    def end(self) -> None:
        """Whatever happened: nothing runs on, nothing waits, and the network is whole."""
        self.mend()
        self.open_gates()
        for coordinator in self.coordinators.values():
            coordinator.kill()

    def check(self) -> None:
        """What holds for all partitions."""
        resumed = self.fedml("runs", "resume", self.run_id())
        assert resumed.code == 0, resumed.err + self.stories()
        rows = self.rows("--state", "committed")
        assert Counter((row["slot"], row["group"], row["index"]) for row in rows) == expected_keys(SLOTS), (
            self.stories()
        )
        pairs = [(slot["slot"], attempt["attempt"]) for slot in self.slots() for attempt in slot["attempts"]]
        assert len(set(pairs)) == len(pairs)
        for row in rows:
            assert (row["slot"], row["attempt"]) in pairs, "a result belongs to an attempt that the run knows"
        for region in REGIONS:
            self.wait_until_ended(region)
            bound = Counter(
                (child["Meta"]["fedml_slot"], child["Meta"]["fedml_attempt"])
                for child in (self.job(region, one["ID"]) for one in self.engine.children(region, self.name))
            )
            assert set(bound.values()) <= {1}, f"an attempt has two children in {region}: {bound}"
        for coordinator in self.coordinators.values():
            assert_each_state_once(coordinator)

    def job(self, region: str, job_id: str) -> Any:
        return self.engine.ask(region, f"/v1/job/{job_id.replace('/', '%2F')}")

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        """The run's rows of the index."""
        done = self.fedml("index", "list", "--json", "--run", self.run_id(), *arguments)
        assert done.code == 0, done.err
        found: list[dict[str, Any]] = json.loads(done.out)["results"]
        return found

    def slots(self) -> list[dict[str, Any]]:
        """The run's slots with their attempts."""
        done = self.fedml("runs", "show", self.run_id(), "--json")
        assert done.code == 0, done.err
        found: list[dict[str, Any]] = json.loads(done.out)["slots"]
        return found

    def stories(self) -> str:
        return "".join(f"\n{desk} told:\n{one.story()}" for desk, one in self.coordinators.items())

    def figures(self) -> str:
        """How long after the first fault each state was said, in seconds and graces."""
        grace_s = self.engine.grace_s
        lines = [
            f"{self.name:38} {desk}: {told['event']:6} {told.get('region', ''):7} after {at_s - self.hurt_at_s:5.1f} s "
            f"= {(at_s - self.hurt_at_s) / grace_s:4.1f} × grace  {told.get('detail', '')}"
            for desk, coordinator in self.coordinators.items()
            for at_s, told in coordinator.told
            if told.get("event") in STATES and self.hurt_at_s and at_s >= self.hurt_at_s
        ]
        lines = lines or [f"{self.name:38} said nothing of the network"]
        lines += [
            f"{self.name:38} {desk}: exits {coordinator.exits_after_s:.1f} s after its last line"
            for desk, coordinator in self.coordinators.items()
        ]
        return "\n".join(lines)


def assert_each_state_once(coordinator: Coordinator) -> None:
    """No region is said to be in the state in which it was said to be already; lost and back alternate."""
    last: dict[str, tuple[str, str]] = {}
    moves: dict[str, str] = {}
    for _, told in coordinator.told:
        kind, region = str(told.get("event")), str(told.get("region", ""))
        if kind not in STATES:
            continue
        state = (kind, str(told.get("detail")))
        assert last.get(region) != state, f"said twice in a row: {region} {state}\n{coordinator.story()}"
        last[region] = state
        if kind in ("lost", "back"):
            assert moves.get(region, "back") != kind, f"{region} {kind} twice in a row\n{coordinator.story()}"
            moves[region] = kind


def play(engine: Engine, partition: Partition) -> Stage:
    """Play it, and check what must hold."""
    stage = Stage(engine, partition)
    stage.make_gates()
    try:
        for act in partition.acts:
            act.on(stage)
    finally:
        stage.end()
    stage.check()
    return stage
