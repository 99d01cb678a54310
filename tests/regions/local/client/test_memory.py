"""Tasks that take more memory than they ask for: ended where the node's Nomad version ends them, and never elsewhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from regions.local.drivers import memory_cgroups, sandbox
from regions.local.drivers.executor import Executor
from regions.local.drivers.memory_cgroups import MemoryCgroup, Parent
from tests.emulators.requirements import missing

HOG = f"exec {sys.executable} -S -c 'x = b\"1\" * (256 << 20); print(len(x) >> 20)'"
"""Takes four times of what the builder's tasks ask for."""


@pytest.fixture
def place() -> Parent:
    found = memory_cgroups.parent()
    if found is None:
        missing("cgroups", memory_cgroups.why_not())
    assert found is not None
    return found


def run(bench: Any, version: str, **fields: Any) -> tuple[dict[str, Any], str]:
    node = bench.node | {"Attributes": bench.node["Attributes"] | {"nomad.version": version}}
    job = bench.job(bench.shell("a", HOG) | fields)
    alloc = bench.alloc(job)
    bench.client.start(alloc, job, node)
    return bench.ended(alloc["ID"]), bench.log(alloc["ID"], "a.stdout.0")


def test_a_raw_exec_task_is_killed_as_by_nomad_since_1_7(bench: Any, place: Parent) -> None:
    update, log = run(bench, "2.0.5")
    (terminated,) = [one for one in update["TaskStates"]["a"]["Events"] if one["Type"] == "Terminated"]
    assert (update["ClientStatus"], log) == ("failed", "")
    assert terminated["DisplayMessage"] == "Exit Code: 137, Signal: 9"
    assert terminated["Details"]["oom_killed"] == "false", "Nomad's raw_exec doesn't tell"
    own = f"fedml-{(bench.client.alloc_dir('x').parents[1] / 'executor' / 'pid').read_text()}-"
    assert not [path for path in Path(place.folder).iterdir() if path.name.startswith(own)]


@pytest.mark.parametrize("version", ["1.6.3", "odd"])
def test_a_raw_exec_task_is_not_killed_before_that(bench: Any, version: str) -> None:
    update, log = run(bench, version)
    assert (update["ClientStatus"], log) == ("complete", "256\n")


def test_an_exec_task_is_killed_and_said_to_be(bench: Any, place: Parent) -> None:
    if not sandbox.works():
        missing("bubblewrap", "bubblewrap isn't installed, or may not make namespaces here")
    config = {"command": "/bin/sh", "args": ["-c", HOG.replace(sys.executable, "/usr/bin/python3")]}
    update, _ = run(bench, "1.6.3", Driver="exec", Config=config)
    (terminated,) = [one for one in update["TaskStates"]["a"]["Events"] if one["Type"] == "Terminated"]
    assert terminated["Details"]["oom_killed"] == "true"


def test_cgroups_that_ended_executors_left_are_removed(place: Parent) -> None:
    left = MemoryCgroup(place, "999999999-1", 1 << 24)
    kept = MemoryCgroup(place, "999999999-2", 1 << 24)
    try:
        memory_cgroups.remove_left(place, lambda pid, ticks: ticks == 2 or pid != 999999999)
        assert (Path(left.path).exists(), Path(kept.path).exists()) == (False, True)
    finally:
        kept.remove()


def test_a_folder_without_cgroups_is_told_apart(tmp_path: Path) -> None:
    assert "No such file or directory" in str(memory_cgroups._tried(f"{tmp_path}/none", "memory.max"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may run tasks as somebody else")
def test_a_task_of_another_user_is_limited_too(bench: Any, place: Parent) -> None:
    hog = HOG.replace(sys.executable, "/usr/bin/python3")
    update, log = run(bench, "2.0.5", User="nobody", Config={"command": "/bin/sh", "args": ["-c", f"cd /; {hog}"]})
    (terminated,) = [one for one in update["TaskStates"]["a"]["Events"] if one["Type"] == "Terminated"]
    assert (update["ClientStatus"], log) == ("failed", "")
    assert terminated["DisplayMessage"] == "Exit Code: 137, Signal: 9"


def test_a_task_whose_cgroup_cannot_be_made_runs_without_a_limit(
    place: Parent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_cgroups, "parent", lambda: Parent(f"{tmp_path}/gone", place.limit))
    executor = Executor.__new__(Executor)
    executor._owner = ""
    assert executor._memory_cgroup(1 << 24) is None
