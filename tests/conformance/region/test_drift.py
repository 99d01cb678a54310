"""A job that nobody changed has no difference from its file, whatever the server adds to it by itself."""

from __future__ import annotations

import json

import pytest

from jobs.nomad_json.drift import change_of, file_differences
from regions.errors import InvalidJob
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


def test_a_jobs_own_reschedule_holds_for_its_groups(us, federation, new_job):
    job = new_job("exit 1", group={"ReschedulePolicy": None}, Reschedule={"Attempts": 0, "Unlimited": False})
    us.register(job, enforce_index=None)
    there = us.job(job["ID"])
    assert there["TaskGroups"][0]["ReschedulePolicy"]["Attempts"] == 0
    assert file_differences(job, there) == []
    alloc = federation.finished(job["ID"])
    assert alloc.client_status == "failed"
    federation.wait(f"/v1/job/{job['ID']}", lambda now: now["Status"] == "dead")
    assert len(us.allocations(job_id=job["ID"])[0]) == 1


@pytest.mark.parametrize("block", ["Update", "Migrate"])
def test_a_jobs_own_update_and_migrate_are_refused_for_batch_jobs(us, new_job, block):
    with pytest.raises(InvalidJob, match=f'Job type "batch" does not allow {block.lower()} block'):
        us.register(new_job(**{block: {"MaxParallel": 1}}), enforce_index=None)
