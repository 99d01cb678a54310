"""Checks made by a task on each datacenter's nodes, with the job's own driver; nothing of them stays."""

from __future__ import annotations

from typing import Any

import pytest

from federation.app import App, JobRequest
from federation.check import Check, Outcome
from federation.checks.doctor.nodes import PREFIX, check_job, check_nodes, examine_nodes
from federation.config.load import load
from jobs.errors import FedmlError
from tests.scenarios.project import LIGHT_SCRIPT, REGIONS, Project


def rendered(app: App, project: Project, name: str, region: str, script: str = LIGHT_SCRIPT) -> dict[str, Any]:
    found = app.prepare(JobRequest(str(project.root / project.job(name, script)))).rendered[region]
    assert isinstance(found, dict)
    return found


def looked_at(project: Project, job: dict[str, Any], region: str, config: str = "fedml.toml") -> list[Check]:
    app = App(load(project.root / config))
    try:
        return check_nodes(app.client(region), region, job)
    finally:
        app.close()


@pytest.fixture
def app(project: Project) -> App:
    return App(load(project.root / "fedml.toml"))


def test_a_node_that_can_publish(project: Project, app: App) -> None:
    checks = looked_at(project, rendered(app, project, "seen", "eu"), "eu")
    assert [check.name for check in checks] == [
        "fedml publish",
        "environment",
        "credentials",
        "create in the store",
        "read it back",
        "clock",
    ]
    assert {check.outcome for check in checks} == {Outcome.OK}
    assert {check.subject for check in checks} == {"node in eu/eu-west-1 (eu-1)"}
    assert [job for job in project.jobs("eu") if job.startswith(PREFIX)] == []
    assert not (project.root / "stores/eu/artifacts/doctor").exists()


def test_the_command_looks_in_every_region(project: Project) -> None:
    done = project.ran("doctor", "--on-nodes", "--job", project.job("seen"), "--json")
    checks = [one for one in done.json["checks"] if one["subject"].startswith("node in ")]
    assert {one["subject"] for one in checks} == {
        "node in us/us-east-1 (us-1)",
        "node in eu/eu-west-1 (eu-1)",
        "node in onprem/hall-a (onprem-1)",
    }
    assert {one["outcome"] for one in checks} == {"ok"}
    assert not any(job.startswith(PREFIX) for region in REGIONS for job in project.jobs(region))


TEMPLATE = {
    "EmbeddedTmpl": '{{ with nomadVar "PATH" }}KEY={{ .access_key }}{{ end }}',
    "DestPath": "local/x",
    "Envvars": True,
}


def test_a_variable_that_is_not_there_is_told_with_what_puts_it_there(project: Project, app: App) -> None:
    job = rendered(app, project, "seen", "eu")
    task = job["TaskGroups"][0]["Tasks"][0]
    task["Templates"] = [{**TEMPLATE, "EmbeddedTmpl": TEMPLATE["EmbeddedTmpl"].replace("PATH", "ml/store")}]
    (check,) = looked_at(project, job, "eu")
    assert (check.subject, check.name, check.outcome) == ("variables in eu", "ml/store", Outcome.FAILED)
    assert check.remedy == "nomad var put -region=eu ml/store access_key=…"
    task["Templates"] = [{**TEMPLATE, "EmbeddedTmpl": TEMPLATE["EmbeddedTmpl"].replace("PATH", "nomad/jobs/seen")}]
    first, *others = looked_at(project, job, "eu")
    assert (first.name, first.outcome) == ("nomad/jobs/seen", Outcome.FAILED)
    assert {check.outcome for check in others} == {Outcome.OK}  # the others don't need what it holds


def test_without_a_job_it_says_so() -> None:
    for jobs in ({}, FedmlError("no job")):
        (check,) = examine_nodes(lambda name: pytest.fail(name), jobs)
        assert check.outcome is Outcome.SKIPPED


def test_a_store_that_only_the_node_finds_broken(project: Project) -> None:
    project.write("in-the-way", "a file where a folder should be\n")
    config = project.variant("in-the-way", ("file://./stores/eu", "file://./in-the-way/eu"))
    app = App(load(project.root / config))
    checks = looked_at(project, rendered(app, project, "seen", "eu"), "eu", config)
    assert (checks[-1].name, checks[-1].outcome) == ("create in the store", Outcome.FAILED)
    assert "in-the-way" in checks[-1].detail


def test_a_node_without_fedml(project: Project, app: App) -> None:
    job = rendered(app, project, "seen", "eu")
    job["TaskGroups"][0]["Tasks"][0]["Env"]["FEDML_COMMAND"] = "no-such-command"
    (check,) = looked_at(project, job, "eu")
    assert (check.name, check.outcome) == ("fedml publish --check", Outcome.FAILED)
    assert check.detail.startswith("its task ended without an answer; ")
    assert "make node-bundle" in check.remedy
    assert [job for job in project.jobs("eu") if job.startswith(PREFIX)] == []


def test_no_node_has_room(project: Project, app: App) -> None:
    job = rendered(app, project, "seen", "eu")
    job["TaskGroups"][0]["Tasks"][0]["Resources"]["MemoryMB"] = 900_000
    (check,) = looked_at(project, job, "eu")
    assert check.detail == "no node there has room for its task now, or none can run it"
    assert [job for job in project.jobs("eu") if job.startswith(PREFIX)] == []


def test_it_is_made_of_the_task_that_publishes(project: Project, app: App) -> None:
    job = rendered(app, project, "seen", "us")
    silent = {"Name": "other", "Meta": {"fedml_publish": "false"}, "Tasks": [{"Name": "x", "Driver": "docker"}]}
    first = {"Name": "before", "Driver": "docker", "Lifecycle": {"Hook": "prestart"}}
    group = job["TaskGroups"][0]
    group["Tasks"].insert(0, first)
    made = check_job({**job, "TaskGroups": [silent, group]}, "us-east-1", "fedml-doctor-1")
    (task,) = made["TaskGroups"][0]["Tasks"]
    assert (made["Datacenters"], task["Name"], task["Driver"]) == (["us-east-1"], "check", "raw_exec")
    assert task["Config"] == {"command": "/bin/sh", "args": ["-c", "exec fedml publish --check"]}
    assert "ParameterizedJob" not in made
