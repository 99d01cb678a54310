"""Results that enter the index: which attempt's region is charged for a slot."""

from __future__ import annotations

from dataclasses import replace

from federation.plan import Room
from federation.result import Key, ResultRecord, manifest_sha256
from federation.run.brain import commands as cmd
from federation.run.brain import events as ev
from federation.run.brain.brain import Brain
from federation.run.brain.causes import Cause
from federation.run.brain.changes import Ack, Bind, Fail
from tests.federation.run.brain.world import FILES, MANIFEST, NODE, STORE

KEY = Key(MANIFEST.run, 0, "model", 0)


def record_of(attempt: int, region: str) -> ResultRecord:
    return ResultRecord(
        key=KEY, attempt=attempt, job="train", version="4", spec_hash=MANIFEST.spec_hash, region=region, datacenter="dc1",
        node=NODE, alloc_id=f"a{attempt}", job_id=f"train/dispatch-{attempt}", store=STORE,
        manifest_sha256=manifest_sha256(FILES), files=FILES, created="2026-01-01T00:00:00Z",
    )  # fmt: skip


def bound_regions(commands: list[cmd.Command]) -> list[str]:
    appended = [command for command in commands if isinstance(command, cmd.Append)]
    return [change.region for entry in appended for change in entry.changes if isinstance(change, Bind)]


def test_a_lost_answer_of_the_index_leaves_no_room_above_a_regions_cap() -> None:
    """Attempt 2 won in the capped region, and the index's answer was lost. Attempt 1's late result is superseded by it."""
    manifest = replace(MANIFEST, slots=2, regions=("us", "eu"))
    brain = Brain(manifest, rooms={"us": Room("us", 0, cap=1)})
    entry = (
        Bind(0, 1, "eu"), Ack(0, 1, "train/dispatch-1"), Fail(0, 1, Cause.REGION_LOST, "lost"), Bind(0, 2, "us"),
        Ack(0, 2, "train/dispatch-2"),
    )  # fmt: skip
    brain.step(ev.Appended(entry, is_replay=True))
    brain.step(ev.Resumed({}))
    brain.step(ev.Tick(1.0))
    winner, loser = record_of(2, "us"), record_of(1, "eu")
    assert any(isinstance(one, cmd.Commit) for one in brain.step(ev.Looked(0, 2, "a2", (winner,))))
    assert any(isinstance(one, cmd.Commit) for one in brain.step(ev.Looked(0, 1, "", (loser,))))
    brain.step(ev.CommitFailed((winner,), "the answer was lost"))
    brain.step(ev.Committed(((loser, "superseded"),), {KEY: 2}))
    assert brain.slots[0].state == "done"
    assert brain.regions["us"].done == 1
    assert bound_regions(brain.step(ev.RegionProbed("us", 3))) == []
    assert bound_regions(brain.step(ev.RegionProbed("eu", 3))) == ["eu"]


def test_a_superseded_result_that_is_entered_again_charges_the_winners_region() -> None:
    manifest = replace(MANIFEST, slots=1, regions=("us", "eu"))
    brain = Brain(manifest)
    brain.step(ev.Appended((Bind(0, 1, "eu"), Fail(0, 1, Cause.REGION_LOST, ""), Bind(0, 2, "us")), is_replay=True))
    brain.step(ev.Resumed({}))
    brain.step(ev.Tick(1.0))
    brain.step(ev.Committed(((record_of(1, "eu"), "known"),), {KEY: 2}))
    assert (brain.regions["us"].done, brain.regions["eu"].done) == (1, 0)


def test_why_results_wait_for_the_index_is_said_once_until_it_takes_some_again() -> None:
    brain = Brain(replace(MANIFEST, slots=2, regions=("us",)))
    brain.step(ev.Appended((Bind(0, 1, "us"), Ack(0, 1, "train/dispatch-1")), is_replay=True))
    brain.step(ev.Resumed({}))
    record, said = record_of(1, "us"), []

    def fails(error: str, at_s: float) -> None:
        out = brain.step(ev.CommitFailed((record,), error))
        said.extend(one.detail for one in out if isinstance(one, cmd.Tell) and one.kind == "run")
        assert any(isinstance(one, cmd.Commit) for one in brain.step(ev.Tick(at_s)))

    brain.step(ev.Tick(1.0))
    assert any(isinstance(one, cmd.Commit) for one in brain.step(ev.Looked(0, 1, "a1", (record,))))
    for number, error in enumerate(["503", "503", "403", "403"]):
        fails(error, 100.0 * (number + 1))
    assert said == [f"results wait for the index: {error}" for error in ("503", "403")]
    brain.step(ev.Committed(((record, "committed"),), {KEY: 1}))
    fails("403", 900.0)
    assert len(said) == 3
