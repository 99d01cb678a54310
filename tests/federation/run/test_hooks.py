"""Commands of `[hooks]`: what they are told, when they run, and that they hurt nothing."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path

import pytest

from federation.run import hook_command
from federation.run.brain.commands import Tell
from federation.run.hook_command import run_hook
from federation.run.hooks import Hooks
from tests.attack.hostile import forbidden
from tests.federation.run.brain.world import MANIFEST

TELLER = """
import json, os, sys
told = [os.environ["FEDML_EVENT"], os.environ["FEDML_STATE"], json.load(sys.stdin)]
open(sys.argv[1], "a").write(json.dumps(told) + "\\n")
"""


class Clock:
    """Stands until it is moved."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def told(tmp_path: Path) -> Path:
    return tmp_path / "told"


def _hooks(told: Path, clock: Clock, warnings: list[str], *events: str) -> Hooks:
    commands = {event: [sys.executable, "-c", TELLER, str(told)] for event in events}
    return Hooks(commands, MANIFEST, folder=told.parent, stalled_after_s=60, warn=warnings.append, clock=clock)


def _lines(told: Path) -> list[list[object]]:
    return [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []


@pytest.mark.parametrize(
    ("state", "event"), [("done", "run_finished"), ("failed", "run_failed"), ("cancelled", "run_failed")]
)
def test_the_end_of_a_run_is_told_once_with_all_that_json_prints(told: Path, state: str, event: str) -> None:
    hooks = _hooks(told, Clock(), [], "run_finished", "run_failed")
    hooks.ended({"event": "end", "state": state, "done": 3})
    ((name, its_state, document),) = _lines(told)
    assert (name, its_state) == (event, state)
    assert isinstance(document, dict)
    assert (document["run"], document["done"]) == (MANIFEST.run, 3)


def test_a_run_that_stands_still_is_told_once_until_it_goes_on(told: Path) -> None:
    clock = Clock()
    hooks = _hooks(told, clock, [], "run_stalled")
    hooks.look()
    for clock.now_s in (59.0, 60.0, 61.0, 500.0):
        hooks.look()
    assert len(_lines(told)) == 1
    hooks(Tell("lost", "us"))
    hooks.look()
    assert len(_lines(told)) == 1
    hooks(Tell("committed", "us"))
    clock.now_s = 600.0
    hooks.look()
    assert [line[0] for line in _lines(told)] == ["run_stalled", "run_stalled"]


def test_without_a_command_nothing_is_run(told: Path) -> None:
    hooks = _hooks(told, Clock(), [], "run_failed")
    hooks.ended({"state": "done"})
    assert _lines(told) == []


@pytest.mark.parametrize(
    ("command", "warning"),
    [
        (["/no/such/program"], "hooks.run_failed: /no/such/program can't be run: No such file or directory"),
        ([sys.executable, "-c", "raise SystemExit(3)"], f"hooks.run_failed: {sys.executable} ended with exit code 3"),
    ],
)
def test_a_hook_that_fails_is_a_warning(tmp_path: Path, command: list[str], warning: str) -> None:
    warnings: list[str] = []
    hooks = Hooks({"run_failed": command}, MANIFEST, folder=tmp_path, stalled_after_s=60, warn=warnings.append)
    hooks.ended({"state": "failed"})
    assert warnings == [warning]


HOSTILE = {
    "never exits": "import time; time.sleep(1000)",
    "writes without end": "import sys\nwhile True: sys.stderr.write('x' * 65536); sys.stdout.write('y' * 65536)",
    "ignores signals and leaves a child": (
        "import signal, subprocess, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)']); time.sleep(1000)"
    ),
}


def _living(group: int) -> list[str]:
    """The processes of that group that aren't dead; a zombie is."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group, *_ = stat.read_text().rpartition(") ")[2].split()
            found += [stat.parent.name] if int(its_group) == group and state != "Z" else []
    return found


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_command_that_does_not_end_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hostile: str
) -> None:
    monkeypatch.setattr(hook_command, "HOOK_TIMEOUT_S", 1.0)
    command = [sys.executable, "-c", f"import os; open('pid', 'w').write(str(os.getpid()))\n{HOSTILE[hostile]}"]
    problem = hook_command.run_hook("run_failed", command, {"run": "r"}, names=["run"], folder=tmp_path)
    assert problem == f"hooks.run_failed: {sys.executable} took longer than 1 s and was ended"
    group = int((tmp_path / "pid").read_text())
    while _living(group):  # until the system has ended them
        time.sleep(0.02)


def test_a_command_that_leaves_a_daemon_behind_holds_nothing_up(tmp_path: Path) -> None:
    left = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(5)'])"
    assert hook_command.run_hook("run_failed", [sys.executable, "-c", left], {}, names=[], folder=tmp_path) == ""


def test_a_failure_tells_the_last_line_of_standard_error(tmp_path: Path) -> None:
    fails = "import sys; print('x' * 100_000, file=sys.stderr); print('no such \\x1b[2J room', file=sys.stderr); sys.exit(3)"
    problem = hook_command.run_hook("run_failed", [sys.executable, "-c", fails], {}, names=[], folder=tmp_path)
    assert problem.endswith("ended with exit code 3: no such \\x1b[2J room")


@pytest.mark.parametrize("reason", ["x" * 10_000_000, "a\0b", "\ud800"])
def test_whatever_a_node_gives_for_a_reason_the_command_runs(tmp_path: Path, reason: str) -> None:
    reads = "import json, sys; assert json.load(sys.stdin)['reason']"
    command = [sys.executable, "-c", reads]
    assert hook_command.run_hook("run_failed", command, {"reason": reason}, names=["reason"], folder=tmp_path) == ""


@pytest.mark.parametrize("text", ["\x1b[2J\u202e", "a\0b", "\ud800", "x\nFEDML_EVENT=forged", "long " * 100_000])
def test_no_text_steers_a_hook_or_keeps_it_from_running(told: Path, text: str) -> None:
    command = [sys.executable, "-c", TELLER.replace("FEDML_STATE", "FEDML_REASON"), str(told)]
    problem = run_hook(
        "run_failed", command, {"event": "run_failed", "reason": text}, names=("event", "reason"), folder=told.parent
    )
    assert problem == ""
    ((event, reason, document),) = _lines(told)
    assert event == "run_failed"
    assert not forbidden(str(reason))
    assert "\n" not in str(reason)
    assert document == {"event": "run_failed", "reason": text}


def test_a_full_disk_keeps_a_hook_from_running_and_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    problem = run_hook("run_finished", ["true"], {}, names=(), folder=tmp_path)
    assert problem == "hooks.run_finished: true can't be run: No space left on device"
