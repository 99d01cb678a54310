"""What a dispatch would do: the same request for plan and dispatch, by real rooms, prices, durations and other runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from federation.deploy.prepare import JobRequest
from federation.errors import FederationError, UsageError
from federation.index.home import entry_key
from federation.log import Log
from federation.plan import Reason
from federation.result import Key, ResultRecord
from federation.ui.plan_view import explain, plan_document, plan_rows, why
from federation.workflows.plan import preview
from federation.workflows.request import Placing, RunRequest
from jobs.errors import InvalidMeta, InvalidSpec
from jobs.params.file import read_asks
from jobs.params.sweep import SLOTS_MAX
from regions.storage.store import Create
from tests.federation.plan.planning import JOB, FakeApp, FakeRegion
from tests.federation.run.brain.world import MANIFEST

ASK = RunRequest(JobRequest())


def shares(app: FakeApp, request: RunRequest) -> dict[str, int]:
    return {one.region: one.slots for one in preview(app.app, request).plan.placements}


def test_without_anything_said_one_slot_each(tmp_path: Path) -> None:
    app = FakeApp(tmp_path)
    assert shares(app, ASK) == {"us": 1, "eu": 1}
    assert shares(app, replace(ASK, slots=6)) == {"us": 4, "eu": 2}


def test_the_file_says_slots_policy_minimum_and_cap_and_a_person_says_otherwise(tmp_path: Path) -> None:
    app = FakeApp(tmp_path, federation='slots = 9\npolicy = "order"', us="order = 2", eu="order = 1\ncap = 2\n")
    assert shares(app, ASK) == {"us": 7, "eu": 2}
    assert shares(app, replace(ASK, placing=Placing(caps={"eu": 3}))) == {"us": 6, "eu": 3}
    assert shares(app, replace(ASK, placing=Placing(policy="pack", minimums={"eu": 1}))) == {"us": 8, "eu": 1}


def test_a_sweep_says_how_many_slots_whatever_the_file_says(tmp_path: Path) -> None:
    app = FakeApp(tmp_path, federation="slots = 7")
    made = preview(app.app, replace(ASK, asks=read_asks(["lr=0.1,0.01", "depth=3,5"])))
    assert made.plan.slots == 4
    assert explain(made, 2) == [
        "slot 2 of 4 slots",
        "  parameters: lr=0.01, depth=3",
        "  eu, at once",
        "  us: 8 free: it gets 3",
        "  eu: 4 free: it gets 1",
        "  a retry may go to: us, eu",
    ]


@pytest.mark.parametrize(
    ("request_", "error", "told"),
    [
        (replace(ASK, slots=0), UsageError, "-n 0: a run has at least one slot"),
        (replace(ASK, slots=-3), UsageError, "-n -3: a run has at least one slot"),
        (replace(ASK, slots=10**9), UsageError, "1,000,000,000 slots are more than a run may have (1,000,000)"),
        (replace(ASK, asks=read_asks(["epochs=1,2"])), InvalidMeta, "declares no meta key 'epochs' to sweep over"),
        (
            replace(ASK, slots=3, asks=read_asks(["lr=1,2"])),
            InvalidMeta,
            "-n 3 is not a multiple of the 2 combinations",
        ),
        (replace(ASK, placing=Placing(policy="best")), UsageError, "there is no policy 'best'"),
        (replace(ASK, placing=Placing(caps={"moon": 1})), UsageError, "--cap moon: there is no such region"),
        (replace(ASK, placing=Placing(policy="fastest")), UsageError, "policy fastest needs to know how long a slot"),
        (replace(ASK, placing=Placing(deadline_s=60)), UsageError, "--deadline needs to know how long a slot runs"),
    ],
)
def test_what_no_run_can_have_is_refused_before_any_region_is_asked(
    tmp_path: Path, request_: RunRequest, error: type[Exception], told: str
) -> None:
    app = FakeApp(tmp_path)
    with pytest.raises(error) as caught:
        preview(app.app, request_)
    assert told in str(caught.value)
    assert [one.asked for one in app.regions.values()] == [0, 0]


ADOPTS = 'results = "adopt"\nadopt = "{alloc_id}.json"'


@pytest.mark.parametrize("toml", ['deploy = "never"', ADOPTS])
def test_where_nothing_is_registered_the_plan_is_of_what_stands_in_the_regions(tmp_path: Path, toml: str) -> None:
    there = {**JOB, "JobModifyIndex": 7, "Version": 0, "Meta": {}}
    regions = (FakeRegion("us", 8, change="Added", registered=there), FakeRegion("eu", 4, registered=there))
    app = FakeApp(tmp_path, *regions, job={**JOB, "Meta": {}}, federation=toml)
    app.spec_hash = ""
    made = preview(app.app, ASK)
    assert (made.changes, made.prepared.is_registered) == ([], True)
    assert [row["job"] for row in plan_rows(made, app.config)] == ["none", "none"]


@pytest.mark.parametrize("toml", ['deploy = "never"', ADOPTS])
def test_a_job_that_stands_nowhere_and_is_not_registered_by_a_dispatch(tmp_path: Path, toml: str) -> None:
    app = FakeApp(tmp_path, federation=toml)
    with pytest.raises(
        InvalidSpec, match=r"the job train of train.nomad.hcl isn't registered in us, eu, and fedml.toml says"
    ):
        preview(app.app, ASK)


def test_a_million_slots_are_planned(tmp_path: Path) -> None:
    assert sum(shares(FakeApp(tmp_path), replace(ASK, slots=SLOTS_MAX)).values()) == SLOTS_MAX


def test_caps_that_make_it_impossible_are_named(tmp_path: Path) -> None:
    app = FakeApp(tmp_path, us="cap = 3", eu="cap = 2")
    with pytest.raises(UsageError, match="the caps allow 5 of 6 slots: us 3, eu 2"):
        preview(app.app, replace(ASK, slots=6))


def test_a_deadline_a_cost_and_what_is_not_known_of_them(tmp_path: Path) -> None:
    app = FakeApp(tmp_path, us="price_per_hour = 2.0")
    placing = Placing(expected_duration_s=1800, deadline_s=1000)
    made = preview(app.app, replace(ASK, slots=6, placing=placing))
    assert made.plan.problems == (
        "the deadline can't be kept: it is 17 min away, and the last slot is expected to end in 30 min",
    )
    with pytest.raises(UsageError, match="--max-cost can't be judged: no price is known for eu"):
        preview(app.app, replace(ASK, slots=6, placing=Placing(expected_duration_s=1800, max_cost=3)))
    app = FakeApp(tmp_path, us="price_per_hour = 2.0", eu="price_per_hour = 1")
    made = preview(app.app, replace(ASK, slots=6, placing=Placing(expected_duration_s=1800, max_cost=3)))
    assert made.plan.problems == ("it is expected to cost 5.00, more than 3 (--policy cheapest: 4.00)",)
    assert "done in about 30 min, cost about 5.00" in why(made)


def test_residency_is_a_hard_limit_for_all_that_a_run_may_use(tmp_path: Path) -> None:
    app = FakeApp(tmp_path, more='[jobs.train]\nallowed_regions = ["eu"]')
    made = preview(app.app, replace(ASK, slots=9))
    assert ({one.region: one.slots for one in made.plan.placements}, made.usable) == ({"eu": 9}, ["eu"])
    assert made.plan.excluded[0].excluded is Reason.NOT_ALLOWED
    assert app.regions["us"].asked == 0
    app = FakeApp(tmp_path, job={**JOB, "Meta": {**JOB["Meta"], "fedml_allowed_regions": "us, ap"}})
    made = preview(app.app, replace(ASK, slots=9))
    assert made.usable == ["us"]
    assert "eu: left out, not allowed: the job's meta fedml_allowed_regions allows only ap, us" in why(made)


def test_where_all_regions_are_silent_nothing_is_planned(tmp_path: Path) -> None:
    app = FakeApp(tmp_path, FakeRegion("us", is_silent=True), FakeRegion("eu", is_silent=True))
    with pytest.raises(FederationError, match="no region can be asked"):
        preview(app.app, ASK).require_an_answer()


def test_room_that_preemption_would_win_counts_only_when_that_is_allowed(tmp_path: Path) -> None:
    app = FakeApp(tmp_path, FakeRegion("us", 3, evicting=5), FakeRegion("eu", 2000, evicting=5))
    assert [room.free for room in preview(app.app, ASK).rooms] == [3, 100]
    allowed = replace(ASK, placing=Placing(allow_preemption=True))
    assert [room.free for room in preview(app.app, allowed).rooms] == [8, 100]


def test_an_elastic_region_has_a_column_of_its_own(tmp_path: Path) -> None:
    app = FakeApp(tmp_path, us="elastic_slots = 5")
    made = preview(app.app, replace(ASK, slots=30))
    regions = plan_document(made, app.config)["regions"]
    assert [(one["region"], one["now"], one["starting"], one["later"]) for one in regions] == [
        ("us", 8, 5, 9),
        ("eu", 4, 0, 4),
    ]


def test_what_a_region_would_drop_and_a_version_that_is_too_old_are_named(tmp_path: Path) -> None:
    app = FakeApp(tmp_path, FakeRegion("us", nomad="1.1.2"), FakeRegion("eu"), job={**JOB, "NodePool": "gpu"})
    assert list(preview(app.app, ASK).warnings()) == [
        ("us", "Nomad 1.1.2 ignores node_pool (since 1.6.0)"),
        ("us", "Nomad 1.1.2 is older than 1.6.3, the oldest version that fedml supports"),
    ]


def test_one_tag_with_different_digests_is_named_by_region(tmp_path: Path) -> None:
    app = FakeApp(tmp_path)

    def running(image: str) -> dict[str, Any]:
        group = JOB["TaskGroups"][0]
        return {**JOB, "TaskGroups": [{**group, "Tasks": [{**group["Tasks"][0], "Config": {"image": image}}]}]}

    made = preview(app.app, ASK)
    pinned = {"us": running("train:1.2@sha256:aaa"), "eu": running("train:1.2@sha256:bbb")}
    made = replace(made, prepared=replace(made.prepared, rendered=pinned))
    assert list(made.warnings()) == [
        ("us", "runs train:1.2 as sha256:aaa; other regions run another"),
        ("eu", "runs train:1.2 as sha256:bbb; other regions run another"),
    ]
    same = {"us": running("train:1.2@sha256:aaa"), "eu": running("train:1.2@sha256:aaa")}
    assert list(replace(made, prepared=replace(made.prepared, rendered=same)).warnings()) == []


def finished_run(app: FakeApp, run: str, seconds: dict[str, float]) -> None:
    """A run that is over, with one slot a region that took so long."""
    manifest = replace(MANIFEST, run=run, job="train", slots=len(seconds), regions=tuple(seconds), groups={"g": 1})
    version = app.index.open_run(run, "train", None, "5ec", len(seconds), len(seconds)).version
    app.home.put(f"runs/{run}/manifest.json", manifest.to_json(), Create())
    log = Log(app.home, f"runs/{run}/log/")
    pairs = [{"slot": slot, "attempt": 1} for slot in range(len(seconds))]
    log.append([{"type": "bind", **pair, "region": name} for pair, name in zip(pairs, seconds, strict=True)])
    log.append([{"type": "ack", **pair, "job_id": f"x{pair['slot']}"} for pair in pairs])
    sent = datetime.now(UTC)
    for slot, (region, took) in enumerate(seconds.items()):
        created = (sent + timedelta(seconds=took)).isoformat().replace("+00:00", "Z")
        app.index.commit([replace(record(run, slot, region, created), version=version)])
    app.index.close_run(run, "done")


def record(run: str, slot: int, region: str, created: str) -> ResultRecord:
    alloc = f"{slot:08d}-0000-4000-8000-{run[-12:]}"
    return ResultRecord(
        Key(run, slot, "g", 0), 1, "train", "1", "5ec", region, "dc1", "n", alloc, "x", "s3://us", "0" * 64, (), created
    )  # fmt: skip


def test_durations_come_from_the_last_runs_by_region(tmp_path: Path) -> None:
    app = FakeApp(tmp_path)
    finished_run(app, "01a21000-0000-7000-8000-000000000001", {"us": 600, "eu": 60})
    made = preview(app.app, replace(ASK, slots=6, placing=Placing(policy="fastest", deadline_s=300)))
    assert {one.region: one.slots for one in made.plan.placements} == {"eu": 4, "us": 2}
    assert [round(room.expected_duration_s or 0) for room in made.rooms] == [600, 60]
    assert made.plan.problems[0].startswith("the deadline can't be kept: it is 5 min away")
    said = preview(app.app, replace(ASK, slots=6, placing=Placing(deadline_s=300, expected_duration_s=30)))
    assert said.plan.problems == ()


def test_what_a_run_took_is_read_once_and_a_broken_cache_is_no_harm(tmp_path: Path) -> None:
    app = FakeApp(tmp_path)
    run = "01a21000-0000-7000-8000-000000000001"
    finished_run(app, run, {"us": 600, "eu": 60})
    first = [room.expected_duration_s for room in preview(app.app, ASK).rooms]
    app.home.requests.clear()
    assert [room.expected_duration_s for room in preview(app.app, ASK).rooms] == first
    assert not [key for _, key in app.home.requests if key.startswith(f"runs/{run}/log/")]
    (app.config.cache_dir / "durations" / f"{run}.json").write_text("[]")
    assert [room.expected_duration_s for room in preview(app.app, ASK).rooms] == first
    finished_run(app, "01a21000-0000-7000-8000-000000000002", {"us": 300})
    assert [round(room.expected_duration_s or 0) for room in preview(app.app, ASK).rooms] == [300, 60]


def test_a_deadline_in_a_region_that_no_run_was_in(tmp_path: Path) -> None:
    app = FakeApp(tmp_path)
    finished_run(app, "01a21000-0000-7000-8000-000000000001", {"us": 600})
    with pytest.raises(UsageError, match="--deadline can't be judged: no finished run of this job was in eu"):
        preview(app.app, replace(ASK, slots=6, placing=Placing(deadline_s=9000)))
    made = preview(app.app, replace(ASK, slots=6))
    assert (made.plan.finish_s, [one.finish_s is None for one in made.plan.placements]) == (None, [False, True])


def open_run(app: FakeApp, run: str, slots: int, bound: dict[int, str], priority: int = 50) -> None:
    """A run that goes on, some slots of which are bound."""
    now = datetime.now(UTC).isoformat()
    manifest = replace(
        MANIFEST,
        run=run,
        job="train",
        slots=slots,
        regions=("us", "eu"),
        author="ann@ci",
        priority=priority,
        created=now,
    )
    app.index.open_run(run, "train", None, "5ec", slots, slots)
    app.home.put(f"runs/{run}/manifest.json", manifest.to_json(), Create())
    if bound:
        changes = [{"type": "bind", "slot": slot, "attempt": 1, "region": name} for slot, name in bound.items()]
        Log(app.home, f"runs/{run}/log/").append(changes)


def test_another_run_that_waits_shares_the_room_and_is_named(tmp_path: Path) -> None:
    app = FakeApp(tmp_path)
    open_run(app, "01a21000-0000-7000-8000-00000000000a", 50, {0: "us", 1: "us"})
    made = preview(app.app, replace(ASK, slots=20))
    assert [room.free for room in made.rooms] == [4, 2]
    assert (
        "shared with other runs: us 4 of 8, eu 2 of 4 "
        "(run 01a21000-0000-7000-8000-00000000000a of ann@ci waits for 48 slots)" in made.plan.why
    )
    assert [room.free for room in preview(app.app, replace(ASK, slots=2)).rooms] == [8, 4]


def test_a_run_of_higher_priority_comes_first_and_a_forgotten_one_not_at_all(tmp_path: Path) -> None:
    app = FakeApp(tmp_path)
    open_run(app, "01a21000-0000-7000-8000-00000000000a", 11, {}, priority=80)
    assert sum(room.free for room in preview(app.app, replace(ASK, slots=20)).rooms) == 1
    key = "runs/01a21000-0000-7000-8000-00000000000a/manifest.json"
    app.home.objects[key] = app.home.objects[key].replace(b'"created": "20', b'"created": "19')
    assert sum(room.free for room in preview(app.app, replace(ASK, slots=20)).rooms) == 12
    app.home.put("runs/01a21000-0000-7000-8000-00000000000a/lease/00000000000000000001.json", b"{}", Create())
    assert sum(room.free for room in preview(app.app, replace(ASK, slots=20)).rooms) == 1


def test_shares_bound_what_an_owner_has_outstanding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDML_AUTHOR", "ann@laptop")
    app = FakeApp(tmp_path, more='[shares.owners]\n"ann@*" = 5')
    open_run(app, "01a21000-0000-7000-8000-00000000000a", 2, {0: "us", 1: "us"})
    made = preview(app.app, replace(ASK, slots=20))
    assert sum(room.free for room in made.rooms) == 3
    assert made.plan.why[-1] == "shared with other runs: us 2 of 8, eu 1 of 4 ([shares] in fedml.toml)"


def test_an_elastic_region_without_a_node_that_fits_is_used(tmp_path: Path) -> None:
    app = FakeApp(tmp_path, FakeRegion("us", 0, fits=False), FakeRegion("eu", 4), us="elastic_slots = 5")
    made = preview(app.app, replace(ASK, slots=6))
    assert made.usable == ["us", "eu"]
    assert {one.region: (one.now, one.starting) for one in made.plan.placements} == {"us": (0, 2), "eu": (4, 0)}
    app = FakeApp(tmp_path, FakeRegion("us", 0, fits=False), FakeRegion("eu", 4))
    assert preview(app.app, replace(ASK, slots=6)).usable == ["eu"]


def test_a_plan_asks_the_index_for_news_twice(tmp_path: Path) -> None:
    """Once for the job's own runs, once for other runs: what else it needs rests on the same answers."""
    app = FakeApp(tmp_path)
    app.index.open_run("run-1", "train", "1", "5ec", 1, 1)
    app.index.close_run("run-1", "failed", "")
    preview(app.app, ASK)
    app.home.requests.clear()
    assert preview(app.app, ASK).version == "2"
    assert [key for _, key in app.home.requests if key.startswith("index/log/")] == [entry_key(3)] * 2
