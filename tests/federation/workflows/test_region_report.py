"""What is reported of one region, and how often it is asked for that."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from federation.deploy.prepare import JobRequest, PreparedJob
from federation.errors import ConfigError, UsageError
from federation.ui.regions_view import no_job_note, regions_document, show_region, show_regions
from federation.workflows.region_report import ASK_S, regions_now, report
from tests.federation.plan.planning import FakeApp, FakeRegion


def test_a_region_that_answers_is_asked_for_its_leader_and_nodes_within_a_deadline(tmp_path: Path) -> None:
    app = FakeApp(tmp_path)
    told = report(app.app, regions_now(app.app, JobRequest()), "us")
    assert (told.leader, [node.name for node in told.nodes], told.unknown) == ("10.0.0.1:4647", ["n1"], ())
    assert app.regions["us"].deadlines_s == [ASK_S]


def test_a_region_that_did_not_answer_is_not_asked_again(tmp_path: Path) -> None:
    app = FakeApp(tmp_path, FakeRegion("us", is_silent=True), FakeRegion("eu"))
    made = regions_now(app.app, JobRequest())
    asked = app.regions["us"].questions
    told = report(app.app, made, "us")
    assert app.regions["us"].questions == asked > 0
    assert (told.leader, told.nodes, told.unknown) == ("", (), (f"leader: {told.capacity.detail}",))


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
