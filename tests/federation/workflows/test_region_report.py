"""What is reported of one region, and how often it is asked for that."""

from __future__ import annotations

from pathlib import Path

from federation.deploy.prepare import JobRequest
from federation.workflows.plan import preview
from federation.workflows.region_report import ASK_S, report
from federation.workflows.request import RunRequest
from tests.federation.plan.planning import FakeApp, FakeRegion


def test_a_region_that_answers_is_asked_for_its_leader_and_nodes_within_a_deadline(tmp_path: Path) -> None:
    app = FakeApp(tmp_path)
    told = report(app.app, preview(app.app, RunRequest(JobRequest())), "us")
    assert (told.leader, [node.name for node in told.nodes], told.unknown) == ("10.0.0.1:4647", ["n1"], ())
    assert app.regions["us"].deadlines_s == [ASK_S]


def test_a_region_that_did_not_answer_is_not_asked_again(tmp_path: Path) -> None:
    app = FakeApp(tmp_path, FakeRegion("us", is_silent=True), FakeRegion("eu"))
    made = preview(app.app, RunRequest(JobRequest()))
    asked = app.regions["us"].questions
    told = report(app.app, made, "us")
    assert app.regions["us"].questions == asked > 0
    assert (told.leader, told.nodes, told.unknown) == ("", (), (f"leader: {told.capacity.detail}",))
