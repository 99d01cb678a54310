"""`verify` tells of damaged manifests and run logs, and of nothing where a region was lost and came back."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from federation.cli import run
from federation.home import RunKeys, run_log
from federation.log import Log
from federation.result import ResultRecord
from federation.run.brain.changes import Ack, Bind, Cancel
from tests.federation.cli.index.helpers import Cli, Project

MANIFEST = RunKeys("run-1").manifest
LOG = RunKeys("run-1").log


@pytest.fixture
def two(filled: Project) -> Project:
    """Two runs of the same shape; run-1 has a log of three entries, and two results of three slots."""
    log = run_log(filled.home, "run-1", author="ann@host")
    log.refresh()
    log.append([Ack(0, 1, "sales/dispatch-a").to_json(), Ack(1, 1, "sales/dispatch-b").to_json()])
    log.append([Ack(2, 1, "sales/dispatch-z").to_json()])
    filled.open_run("run-2", version="5")
    other = run_log(filled.home, "run-2", author="ann@host")
    other.refresh()
    other.append([Ack(slot, 1, f"sales/dispatch-other-{slot}").to_json() for slot in range(3)])
    return filled


def entry(number: int, run: str = "run-1") -> str:
    return f"{RunKeys(run).log}{number:020d}.json"


def truncate(project: Project, key: str) -> None:
    data = project.home.get(key)
    project.home.put(key, data[: len(data) // 2])


def replace_log(project: Project) -> None:
    for info in list(project.home.list(LOG)):
        project.home.delete(info.key)
    for info in list(project.home.list(RunKeys("run-2").log)):
        project.home.put(LOG + info.key.removeprefix(RunKeys("run-2").log), project.home.get(info.key))


def forget_log(project: Project) -> None:
    for info in list(project.home.list(LOG)):
        project.home.delete(info.key)


def cut_to_nothing_bound(project: Project) -> None:
    forget_log(project)
    Log(project.home, LOG).append([Bind(0, 1, "us").to_json()])


def bind_elsewhere(project: Project) -> None:
    log = run_log(project.home, "run-1")
    log.refresh()
    log.append([Bind(2, 2, "mars").to_json()])


def say(project: Project, name: str, value: object) -> None:
    document = json.loads(project.home.get(MANIFEST))
    project.home.put(MANIFEST, json.dumps(document | {name: value}).encode())


DAMAGE: dict[str, tuple[str, Callable[[Project], object]]] = {
    "a manifest cut short": ("manifest-torn", lambda one: truncate(one, MANIFEST)),
    "a manifest of garbage": ("manifest-torn", lambda one: one.home.put(MANIFEST, b"\xff\x00garbage")),
    "a manifest that is gone": ("manifest-missing", lambda one: one.home.delete(MANIFEST)),
    "another run's manifest": (
        "manifest-differs",
        lambda one: one.home.put(MANIFEST, one.home.get(RunKeys("run-2").manifest)),
    ),
    "another version": ("manifest-differs", lambda one: say(one, "version", "9")),
    "another number of slots": ("manifest-differs", lambda one: say(one, "slots", 2)),
    "an entry cut short": ("entry-torn", lambda one: truncate(one, entry(2))),
    "the last entry cut short": ("entry-torn", lambda one: truncate(one, entry(3))),
    "an entry of garbage": ("entry-torn", lambda one: one.home.put(entry(3), b"{}")),
    "an entry that is gone": ("entry-missing", lambda one: one.home.delete(entry(2))),
    "another run's entry": (
        "chain-forked",
        lambda one: one.home.put(entry(2), one.home.get(entry(2, "run-2"))),
    ),
    "something else in the log": ("entry-stray", lambda one: one.home.put(LOG + "notes.txt", b"x")),
    "a log that is gone": ("run-log-missing", forget_log),
    "a log without the bindings": ("run-log-differs", cut_to_nothing_bound),
    "another run's log": ("run-log-differs", replace_log),
    "a binding in a foreign region": ("run-log-differs", bind_elsewhere),
    "a change that can't be used": (
        "change-unreadable",
        lambda one: _append(one, {"type": "bind", "slot": "first"}),
    ),
}


def _append(project: Project, change: dict[str, object]) -> None:
    log = run_log(project.home, "run-1")
    log.refresh()
    log.append([change])


def test_whole_runs_are_no_problem(two: Project, cli: Cli) -> None:
    code, out, err = cli("verify")
    assert (code, out) == (0, ""), err


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_run_is_told(two: Project, cli: Cli, damage: str) -> None:
    kind, hurt = DAMAGE[damage]
    hurt(two)

    code, out, _ = cli("verify", "--json")
    problems = json.loads(out)["problems"]
    assert code == 1
    assert {problem["kind"] for problem in problems} == {kind}
    assert "run-1" in problems[0]["where"]
    assert problems[0]["mend"]


def test_a_run_that_the_index_does_not_have(two: Project, cli: Cli) -> None:
    two.home.put(RunKeys("run-9").manifest, two.home.get(MANIFEST))

    assert "run-unknown: run run-9" in cli("verify")[1]


def test_runs_that_were_interrupted_or_cancelled_early_are_no_problem(two: Project, cli: Cli) -> None:
    two.index.open_run("run-3", "sales", "6", "5pec", 1, 1)  # before its manifest
    two.open_run("run-4", version="7")
    log = run_log(two.home, "run-4")
    log.refresh()
    log.append([Cancel("a mistake").to_json()])
    two.index.close_run("run-4", "cancelled", "a mistake")

    assert cli("verify")[0] == 0


def test_what_given_up_attempts_published_is_noted_and_does_not_fail(two: Project, cli: Cli) -> None:
    """A region was lost, slot 1 was bound anew and won there; the lost region's attempt ended too, after the run."""
    _append(two, Bind(1, 2, "us").to_json())
    two.publish("c", region="us", slot=1, attempt=2, commit=False)

    code, out, err = cli("verify")
    assert (code, out) == (0, "")
    assert "1 of attempts that were given up aren't entered (fedml index sync)" in err
    assert json.loads(cli("verify", "--json")[1])["given_up"] == 1
    assert cli("sync", "--yes")[0] == 0
    assert json.loads(cli("verify", "--json")[1])["given_up"] == 0

    two.publish("d", region="eu", slot=0, attempt=1, commit=False)  # the log has this attempt in us
    code, out, _ = cli("verify")
    assert code == 1
    assert "record-differs" in out
    assert "isn't believed" in out


def test_a_result_that_would_win_is_still_a_problem(two: Project, cli: Cli) -> None:
    two.publish("c", region="us", slot=2, commit=False)

    assert "record-orphan" in cli("verify")[1]


def test_a_run_that_lost_its_manifest_or_log_is_left_alone(two: Project, capfd: pytest.CaptureFixture[str]) -> None:
    manifest = RunKeys("run-2").manifest
    kept = two.home.get(manifest)
    two.home.delete(manifest)
    for command in ("runs show run-2", "runs resume run-2", "runs cancel run-2"):
        assert run(command.split()) == 1
        assert "the manifest of run run-2 is gone" in capfd.readouterr().err
    assert two.another_index().runs(run="run-2")[0].state == "open"

    two.home.put(manifest, kept)
    two.publish("h", region="us", run="run-2", version="5")
    for info in list(two.home.list(RunKeys("run-2").log)):
        two.home.delete(info.key)
    assert run(["runs", "resume", "run-2"]) == 1
    assert "the log of run run-2 is gone" in capfd.readouterr().err
    assert not any(True for _ in two.home.list(RunKeys("run-2").log))


def test_gc_of_one_job(two: Project, cli: Cli) -> None:
    two.open_run("run-7", job="weather", version="1")
    for slot, name in enumerate("efg"):
        two.index.commit([_record_of(two, name, slot)])
    marked = json.loads(cli("gc", "--keep", "last=1", "--keep", "best=auc:1", "--job", "sales", "--json", "--yes")[1])[
        "marked"
    ]
    assert [one["alloc_id"][0] for one in marked] == []

    two.index.close_run("run-7", "done")
    ask = ("gc", "--keep", "best=auc:1", "--grace", "0m", "--json", "--yes")
    marked = json.loads(cli(*ask, "--job", "weather")[1])["marked"]
    assert {one["alloc_id"][0] for one in marked} == {"e", "f"}
    other = json.loads(cli(*ask, "--job", "sales")[1])
    assert {one["alloc_id"][0] for one in other["marked"]} == {"a"}
    assert (other["spared"], other["removed"]) == ([], [])
    removed = json.loads(cli(*ask, "--job", "weather")[1])["removed"]
    assert {one["alloc_id"][0] for one in removed} == {"e", "f"}

    assert "did you mean 'weather'?" in cli("gc", "--keep", "last=1", "--job", "wether", "--yes")[2]
    assert "did you mean 'sales'?" in cli("gc", "--orphans", "0m", "--job", "sale", "--yes")[2]
    two.store("us").put("artifacts/run-1/000000002/train/0/gone/" + "f" * 64 + "/half.bin", b"x")
    assert json.loads(cli("gc", "--orphans", "0m", "--job", "weather", "--json", "--yes")[1])["orphans"] == []
    assert len(json.loads(cli("gc", "--orphans", "0m", "--job", "sales", "--json", "--yes")[1])["orphans"]) == 1


def _record_of(project: Project, name: str, slot: int) -> ResultRecord:
    return project.published(name, run="run-7", job="weather", version="1", slot=slot)
