"""Namespaces: what is in one is not in another, and `*` stands for all."""

from __future__ import annotations

import json
import threading

import pytest

from tests.conformance.conftest import NAMESPACE, Federation


@pytest.fixture
def there(federation, new_job):
    """A job of that namespace whose child has ended: the parent's and the child's ID, the allocation's."""
    job = new_job("echo there", ParameterizedJob={}, Namespace=NAMESPACE)
    status, _, text = federation.raw("PUT", "/v1/jobs", body={"Job": job})
    assert status == 200, text
    status, _, text = federation.raw("PUT", f"/v1/job/{job['ID']}/dispatch", body={}, namespace=NAMESPACE)
    assert status == 200, text
    child = json.loads(text)["DispatchedJobID"]
    path = f"/v1/job/{child.replace('/', '%2F')}/allocations?namespace={NAMESPACE}"
    until = threading.Event()
    while not (
        allocs := [one for one in json.loads(federation.raw("GET", path)[2]) if one["ClientStatus"] == "complete"]
    ):
        assert not until.wait(0.1)
    yield job["ID"], child, allocs[0]["ID"]
    for name in (child, job["ID"]):
        federation.raw("DELETE", f"/v1/job/{name.replace('/', '%2F')}", namespace=NAMESPACE, purge="true")


def ids(federation: Federation, path: str, **query: str) -> set[str]:
    return {one["ID"] for one in federation.get(path, **query)}


def test_each_list_holds_one_namespaces_objects(federation, there):
    job, child, alloc = there
    for path, found in (("/v1/jobs", child), ("/v1/allocations", alloc)):
        assert found not in ids(federation, path)
        assert found in ids(federation, path, namespace=NAMESPACE)
        assert found in ids(federation, path, namespace="*")
    assert {one["JobID"] for one in federation.get("/v1/evaluations", namespace=NAMESPACE)} == {child}
    assert child not in {one["JobID"] for one in federation.get("/v1/evaluations")}
    assert {one["Namespace"] for one in federation.get("/v1/jobs", namespace="*", prefix=job)} == {NAMESPACE}


def test_a_job_is_found_in_its_namespace_only(federation, there):
    job, _, alloc = there
    assert federation.raw("GET", f"/v1/job/{job}")[::2] == (404, "job not found")
    assert federation.get(f"/v1/job/{job}", namespace=NAMESPACE)["Namespace"] == NAMESPACE
    assert federation.raw("PUT", f"/v1/job/{job}/dispatch", body={})[::2] == (500, "parameterized job not found")
    # An allocation's ID is the region's only one.
    assert federation.get(f"/v1/allocation/{alloc}")["Namespace"] == NAMESPACE
    assert federation.get(f"/v1/job/{job}/summary", namespace=NAMESPACE)["Children"]["Dead"] == 1


def test_the_querys_namespace_outweighs_the_jobs(federation, new_job):
    job = new_job(ParameterizedJob={}, Namespace="default")
    assert federation.raw("PUT", "/v1/jobs", body={"Job": job}, namespace=NAMESPACE)[0] == 200
    assert federation.get(f"/v1/job/{job['ID']}", namespace=NAMESPACE)["ID"] == job["ID"]
    assert federation.raw("GET", f"/v1/job/{job['ID']}", namespace="default")[0] == 404
    federation.raw("DELETE", f"/v1/job/{job['ID']}", namespace=NAMESPACE, purge="true")


def test_a_namespace_that_is_not_there(federation, new_job):
    job = new_job(Namespace="nowhere")
    status, _, text = federation.raw("PUT", "/v1/jobs", body={"Job": job})
    assert status == 500
    assert f'job "{job["ID"]}" is in nonexistent namespace "nowhere"' in text
    assert federation.get("/v1/jobs", namespace="nowhere") == []
    assert federation.raw("GET", "/v1/namespace/nowhere")[::2] == (404, "Namespace not found")


def test_namespaces_are_listed(federation):
    assert {one["Name"] for one in federation.get("/v1/namespaces")} == {"default", NAMESPACE}
    assert {one["Name"] for one in federation.get("/v1/namespaces", prefix="m")} == {NAMESPACE}
    assert federation.get(f"/v1/namespace/{NAMESPACE}")["Name"] == NAMESPACE
