"""What is reported of one region, and how often it is asked for that."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from federation.deploy.prepare import JobRequest, PreparedJob
from federation.errors import ConfigError, UsageError
from federation.ui.regions_view import no_job_note, region_document, regions_document, show_region, show_regions
from federation.workflows.region_report import regions_now, report
from federation.workflows.region_state import ASK_S
from regions.model import HeldDevices
from tests.federation.plan.planning import FakeApp, FakeRegion, node


def test_a_region_that_answers_is_asked_for_its_leader_and_nodes_within_a_deadline(tmp_path: Path) -> None:
    app = FakeApp(tmp_path)
    told = report(app.app, regions_now(app.app, JobRequest()), "us")
    assert (told.state.leader, [node.name for node in told.state.nodes], told.state.unknown) == (
        "10.0.0.1:4647",
        ["n1"],
        (),
    )
    assert app.regions["us"].deadlines_s == [ASK_S]


def test_a_region_that_did_not_answer_is_not_asked_again(tmp_path: Path) -> None:
    app = FakeApp(tmp_path, FakeRegion("us", is_silent=True), FakeRegion("eu"))
    made = regions_now(app.app, JobRequest())
    asked = app.regions["us"].questions
    told = report(app.app, made, "us")
    assert app.regions["us"].questions == asked > 0
    assert (told.state.leader, told.state.nodes, told.state.unknown) == ("", (), (f"leader: {told.capacity.detail}",))


@pytest.mark.parametrize(("silent", "is_there"), [((False, True), True), ((True, True), False)])
def test_whether_any_region_is_there(tmp_path: Path, silent: tuple[bool, bool], is_there: bool) -> None:
    app = FakeApp(tmp_path, *(FakeRegion(name, is_silent=one) for name, one in zip(("us", "eu"), silent, strict=True)))
    assert regions_now(app.app, JobRequest()).is_any_there is is_there


def test_without_a_jobspec_regions_are_listed_with_what_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = FakeApp(tmp_path, FakeRegion("us"), FakeRegion("eu", is_silent=True))

    def prepare(request: JobRequest, *, allow_drift: bool = False) -> PreparedJob:
        raise ConfigError("no jobspec is in this folder, and fedml.toml names none")

    monkeypatch.setattr(app, "prepare", prepare)
    now = regions_now(app.app, JobRequest())
    assert {name: (one.version, one.nodes, one.free_text) for name, one in now.capacities.items()} == {
        "us": ("1.6.3", 1, "-"),
        "eu": ("", 0, "-"),
    }
    assert now.capacities["eu"].problem == "unreachable"
    assert now.problem is not None
    assert no_job_note(now.problem).endswith("no jobspec is in this folder, and fedml.toml names none")
    show_regions(now.capacities.values())
    assert re.search(r"us +ready +1.6.3 +1 +- +-\n", re.sub(" +$", "", capsys.readouterr().out, flags=re.MULTILINE))
    assert [
        (one["free_slots"], one["queued_slots"]) for one in regions_document(now.capacities.values())["regions"]
    ] == [
        (None, None),
        (None, None),
    ]
    show_region(report(app.app, now, "us"))
    assert "capacity   -\n" in capsys.readouterr().out
    with pytest.raises(ConfigError):
        regions_now(app.app, JobRequest("train.nomad.hcl"))
    with pytest.raises(UsageError, match="no region"):
        regions_now(app.app, JobRequest(regions=("mars",)))


def test_the_report_says_which_allocation_holds_which_device_and_who_waits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = "01900000-0000-7000-8000-000000000001"
    meta = {"fedml_run": run, "fedml_slot": "3", "fedml_attempt": "1"}
    child = {"ID": "train/dispatch-1", "ParentID": "train", "Namespace": "default", "Status": "pending", "Meta": meta}
    region = FakeRegion(
        "us",
        node_list=[node(devices={"nvidia/gpu/A100": 4})],
        held=[HeldDevices("1", "a-1", "other", "ml", "nvidia/gpu/A100", ("g0", "g1"))],
        live_jobs=[
            {**child, "SubmitTime": 2_000_000_000},
            {**child, "ID": "web", "ParentID": "", "Meta": None, "SubmitTime": 1_000_000_000},
            {**child, "ID": "train", "ParentID": "", "Status": "running"},
        ],
    )
    app = FakeApp(tmp_path, region, FakeRegion("eu"))
    app.index.open_run(run, "train", "1", "5ec", 4, 4)
    told = report(app.app, regions_now(app.app, JobRequest()), "us")
    document = region_document(told)
    assert document["node_list"][0]["device_counts"] == {"nvidia/gpu/A100": {"total": 4, "used": 2}}
    assert document["held_devices"][0]["alloc_id"] == "a-1"
    assert [(one["job"], one["run"], one["slot"]) for one in document["queue"]] == [
        ("web", "", None),
        ("train/dispatch-1", run, 3),
    ]
    assert document["queue"][1]["author"]
    show_region(told)
    shown = re.sub(" +", " ", capsys.readouterr().out)
    assert "dc1 - nvidia/gpu/A100 4 2" in shown
    assert "n1 nvidia/gpu/A100 2 a-1 other" in shown
    assert f"train 1 1970-01-01T00:00:02Z {run}" in shown
