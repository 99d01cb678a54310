"""The pages of jobs and of the doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from federation.app import JobRequest
from federation.check import Check, Outcome
from federation.checks.doctor import report
from federation.output.json_document import versioned
from federation.ui.job_view import job_diff_document
from federation.web.pages import doctor
from federation.workflows.job_checks import compared_jobs
from tests.federation.plan.planning import JOB, FakeApp, FakeRegion
from tests.federation.web.asking import Browser

STUB = {"ID": "train", "ParentID": "", "Status": "running", "Meta": {"fedml_spec": "5ec" * 20}}


@pytest.fixture
def app(tmp_path: Path) -> FakeApp:
    """The job is in us as the file says it, in eu it isn't."""
    us = FakeRegion("us", registered=JOB | {"Version": 3, "SubmitTime": 1}, live_jobs=[STUB, STUB | {"ID": "tune"}])
    return FakeApp(tmp_path, us, FakeRegion("eu"))


@pytest.fixture
def browser(app: FakeApp) -> Browser:
    return Browser(app.app)


def test_jobs_are_those_of_the_project_of_runs_and_of_regions(browser: Browser, app: FakeApp) -> None:
    for number, job in enumerate(("older", "newer", "older")):
        app.index.open_run(f"01900000-0000-7000-8000-00000000000{number}", job, str(number), "5ec", 4, 4)
    answer = browser.get("/jobs?format=csv").text.splitlines()
    assert [line.split(",")[0] for line in answer] == ["job", "train", "older", "newer", "tune"]
    html = browser.get("/jobs").text
    assert "train.nomad.hcl" in html
    assert "in 1 of 2" in html, "us has train, eu hasn't"
    assert 'href="/runs?job=older"' in html


def test_a_job_of_the_same_id_in_another_namespace_is_another_job(tmp_path: Path) -> None:
    theirs = STUB | {"ID": "train", "Namespace": "theirs", "Meta": {}}
    foreign = STUB | {"ID": "foreign", "Namespace": "theirs"}
    app = FakeApp(tmp_path, FakeRegion("us", live_jobs=[STUB | {"ID": "train"}, theirs, foreign]), FakeRegion("eu"))
    rows = [line.split(",") for line in Browser(app.app).get("/jobs?format=csv").text.splitlines()]
    assert [row[0] for row in rows] == ["job", "train"]
    assert "another's" not in rows[1]


def test_a_job_with_an_id_of_its_own_is_shown_with_the_runs_of_its_results(tmp_path: Path) -> None:
    stub = STUB | {"ID": "tune-5ec5ec5e"}
    app = FakeApp(tmp_path, FakeRegion("us", live_jobs=[stub]), FakeRegion("eu", live_jobs=[stub]))
    app.index.open_run("01900000-0000-7000-8000-000000000001", "tune", "1", "5ec", 4, 4)
    html = Browser(app.app).get("/jobs").text
    row = html[html.index("tune-5ec5ec5e") :]
    assert "same" in row
    assert 'href="/runs?job=tune"' in row
    assert ">00000001</" in row
    assert "not registered" not in row


def test_a_job_is_compared_as_the_command_does(browser: Browser, app: FakeApp) -> None:
    answer = browser.get("/jobs/train?format=json")
    assert answer.json == versioned(job_diff_document(compared_jobs(app.app, JobRequest())))
    html = browser.get("/jobs/train").text
    assert "would be registered" in html
    assert "5ec5ec5ec5ec" in html
    assert "fedml job diff</code>" in html


def test_a_job_of_others_is_compared_between_regions(browser: Browser) -> None:
    html = browser.get("/jobs/tune").text
    assert "not registered" in html
    assert "fedml job diff --job tune" in html


@pytest.mark.parametrize("name", ["nobody", "etc.nomad.hcl", "..", "%2e%2e%2fx.nomad.hcl"])
def test_a_job_that_nobody_knows_is_asked_of_no_region_and_no_file(browser: Browser, app: FakeApp, name: str) -> None:
    answer = browser.get(f"/jobs/{name}")
    assert answer.status in (400, 404)
    assert "there is no" in answer.text


def test_jobs_without_a_jobspec(browser: Browser, app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    from federation.errors import ConfigError
    from jobs.errors import InvalidSpec

    def fails(error: Exception) -> Any:
        def prepare(request: JobRequest, *, allow_drift: bool = False) -> Any:
            raise error

        return prepare

    monkeypatch.setattr(app, "prepare", fails(ConfigError("no jobspec is here")))
    assert "no jobspec" not in browser.get("/jobs").text
    browser.site.shared.renew(("project-job",))
    monkeypatch.setattr(app, "prepare", fails(InvalidSpec("train.nomad.hcl:3: <b>")))
    assert "train.nomad.hcl:3: &lt;b&gt;" in browser.get("/jobs").text


CHECKS = [
    Check("region us", "address", Outcome.OK, "leader 10.0.0.1"),
    Check("region eu", "address", Outcome.FAILED, "<script>no answer", "start it with `fedml dev up`"),
    Check("store s", "clock", Outcome.WARNING, "9 s ahead", "set both clocks"),
]


def test_the_doctor_runs_once_for_all_and_again_by_its_button(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def examine(*_: object, **__: object) -> list[Check]:
        ran.append("")
        return CHECKS

    monkeypatch.setattr(doctor, "examine_federation", examine)
    html = browser.get("/doctor").text
    assert "something needed is missing" in html
    assert html.index("start it with") < html.index("set both clocks") < html.index("leader 10.0.0.1")
    assert "&lt;script&gt;no answer" in html
    assert browser.get("/doctor?format=json").json == versioned(report.as_json(CHECKS))
    assert "leader" not in browser.get("/doctor?outcome=failed&format=csv").text
    assert browser.get("/doctor?outcome=odd").status == 400
    assert len(ran) == 1
    again = browser.get("/doctor?run=1")
    assert (again.status, again.headers["location"], len(ran)) == (303, "/doctor", 1)
    browser.get("/doctor")
    browser.get("/doctor")
    assert len(ran) == 2


def test_checks_that_take_long_are_waited_for_by_the_page_and_not_by_the_viewer(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    done = threading.Event()

    def examine(*_: object, **__: object) -> list[Check]:
        done.wait(60)
        return CHECKS

    monkeypatch.setattr(doctor, "examine_federation", examine)
    monkeypatch.setattr(doctor, "WAIT_S", 0.0)
    assert "The checks are running." in browser.get("/doctor").text
    assert browser.get("/doctor?format=json").status == 400
    done.set()
    while browser.site.shared.is_being_read(doctor.KEY):
        threading.Event().wait(0.01)
    assert "Run again" in browser.get("/doctor").text
