"""A job that nobody changed has no difference from its file, whatever the server adds to it by itself."""

from __future__ import annotations

import json

import pytest

from jobs.nomad_json.drift import change_of, file_differences
from tests.jobs.nomad_json.readbacks import Job, built_jobs, golden_jobs


@pytest.fixture
def registered(federation):
    """Registers jobs and gives what is read back: name → (file's job, the server's). Leaves out what the embedded region
    refuses (501)."""
    found: dict[str, tuple[Job, Job]] = {}
    for name, job in (*golden_jobs(), *built_jobs()):
        status, _, text = federation.raw("PUT", "/v1/jobs", body={"Job": job})
        if status == 501 and federation.engine == "embedded":
            continue
        assert status == 200, (name, text)
        found[name] = job, federation.get(f"/v1/job/{job['ID']}")
    yield found
    for job, _ in found.values():
        federation.raw("DELETE", f"/v1/job/{job['ID']}", purge="true")


def test_unchanged_jobs_have_no_difference(federation, registered):
    assert len(registered) >= (30 if federation.engine == "embedded" else 400)
    found = {name: [str(one) for one in file_differences(*sides)] for name, sides in registered.items()}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_deploying_an_unchanged_job_would_change_nothing(federation, registered):
    for name, (job, there) in registered.items():
        status, _, text = federation.raw("PUT", f"/v1/job/{job['ID']}/plan", body={"Job": job, "Diff": True})
        assert status == 200, (name, text)
        assert change_of(job, there, json.loads(text)["Diff"]["Type"]) == "None", name
        other = job | {"Priority": 33}
        _, _, text = federation.raw("PUT", f"/v1/job/{job['ID']}/plan", body={"Job": other, "Diff": True})
        assert change_of(other, there, json.loads(text)["Diff"]["Type"]) == "Edited", name
