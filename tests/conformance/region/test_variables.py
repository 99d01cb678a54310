"""Variables: written, read, listed and removed, with check-and-set; in templates."""

from __future__ import annotations

import json
import uuid

import pytest

from regions.local.nomad_version import UNDATED


@pytest.fixture
def path(federation):
    made = f"test/{uuid.uuid4().hex[:8]}"
    yield made
    federation.raw("DELETE", f"/v1/var/{made}")


def _put(federation, path, items, **query):
    status, _, text = federation.raw("PUT", f"/v1/var/{path}", body={"Items": items}, **query)
    return status, json.loads(text) if text[:1] == "{" else text


def test_a_variable_is_written_read_listed_and_removed(federation, path):
    status, written = _put(federation, path, {"a": "1", "b": "ü"})
    assert status == 200
    assert set(written) == {"CreateIndex", "CreateTime", "Items", "ModifyIndex", "ModifyTime", "Namespace", "Path"}
    assert (written["Path"], written["Namespace"], written["Items"]) == (path, "default", {"a": "1", "b": "ü"})
    assert federation.get(f"/v1/var/{path}") == written
    (stub,) = federation.get("/v1/vars", prefix=path)
    assert stub == {name: value for name, value in written.items() if name != "Items"}
    assert federation.get("/v1/vars", prefix=path + "x") == []
    assert [one["Path"] for one in federation.get("/v1/vars", prefix=path, namespace="*")] == [path]

    _, again = _put(federation, path, {"a": "2"})
    assert again["CreateIndex"] == written["CreateIndex"]
    assert again["CreateTime"] == written["CreateTime"]
    assert again["ModifyIndex"] > written["ModifyIndex"]
    status, headers, text = federation.raw("DELETE", f"/v1/var/{path}")
    assert (status, text) == (204, "")
    assert int(headers["X-Nomad-Index"]) > again["ModifyIndex"]
    status, _, text = federation.raw("GET", f"/v1/var/{path}")
    assert (status, text) == (404, "variable not found")
    assert federation.raw("DELETE", f"/v1/var/{path}")[0] == 204


def test_check_and_set(federation, path):
    status, there = _put(federation, path, {"a": "1"}, cas=0)
    assert status == 200
    assert _put(federation, path, {"a": "2"}, cas=0) == (409, there)
    assert _put(federation, path, {"a": "2"}, cas=there["ModifyIndex"] + 1) == (409, there)
    status, new = _put(federation, path, {"a": "2"}, cas=there["ModifyIndex"])
    assert (status, new["Items"]) == (200, {"a": "2"})
    status, _, text = federation.raw("DELETE", f"/v1/var/{path}", cas=there["ModifyIndex"])
    assert (status, json.loads(text)) == (409, new)
    assert federation.raw("DELETE", f"/v1/var/{path}", cas=new["ModifyIndex"])[0] == 204
    nothing = {"CreateIndex": 0, "CreateTime": 0, "ModifyIndex": 0, "ModifyTime": 0}
    if federation.answers_as < UNDATED:
        nothing["Items"] = None
    assert _put(federation, path, {"a": "1"}, cas=7) == (409, nothing | {"Namespace": "default", "Path": path})
    assert federation.raw("DELETE", f"/v1/var/{path}", cas=0)[0] == 204
    wrong = 'can not parse cas: strconv.ParseUint: parsing "x": invalid syntax'
    assert _put(federation, path, {"a": "1"}, cas="x") == (400, wrong)


@pytest.mark.parametrize(
    ("path", "items", "expected"),
    [
        ("test/a", {"a": "x" * 65536}, "variables are limited to 64KiB in total size"),
        ("test/a.b", {"a": "1"}, 'invalid path "test/a.b"'),
        ("nomad/other", {"a": "1"}, "only paths at "),
        ("nomad", {"a": "1"}, '"nomad" is a reserved top-level directory path'),
        ("nomad/job-templates", {"a": "1"}, '"nomad/job-templates" is a reserved directory path'),
    ],
)
def test_what_is_no_variable(federation, path, items, expected):
    status, text = _put(federation, path, items)
    answer = (400, f"RPC Error:: 400,{expected}") if federation.answers_as >= UNDATED else (500, expected)
    assert (status, text[: len(answer[1])]) == answer


def test_a_variable_without_items(federation):
    assert _put(federation, "test/a", {}) == (400, "variable missing required Items object")


def test_pages_of_variables(federation, path):
    for number in range(3):
        assert _put(federation, f"{path}/{number}", {"a": "1"})[0] == 200
    _, headers, text = federation.raw("GET", "/v1/vars", prefix=path, per_page=2)
    assert [one["Path"] for one in json.loads(text)] == [f"{path}/0", f"{path}/1"]
    assert headers["X-Nomad-NextToken"] == f"default.{path}/2"
    found = federation.get("/v1/vars", prefix=path, per_page=2, next_token=headers["X-Nomad-NextToken"])
    assert [one["Path"] for one in found] == [f"{path}/2"]
    found = federation.get("/v1/vars", prefix=path, filter=f'VariableMetadata.Path == "{path}/1"')
    assert [one["Path"] for one in found] == [f"{path}/1"]
    for number in range(3):
        federation.raw("DELETE", f"/v1/var/{path}/{number}")


def test_a_template_reads_what_its_job_may(us, federation, new_job, task):
    text = '{{ with nomadVar "nomad/jobs/JOB/g" }}KEY={{ .key }}{{ end }}'
    job = new_job()
    job["TaskGroups"][0]["Tasks"] = [
        task(
            "main",
            'echo "$KEY"',
            Templates=[
                {"EmbeddedTmpl": text.replace("JOB", job["ID"]), "DestPath": "secrets/env", "Envvars": True},
            ],
        )
    ]
    where = f"nomad/jobs/{job['ID']}/g"
    assert _put(federation, where, {"key": "sesame"})[0] == 200
    us.register(job, enforce_index=0)
    alloc = federation.finished(job["ID"])
    assert us.logs(alloc.id, "main") == b"sesame\n"
    federation.raw("DELETE", f"/v1/var/{where}")


def test_a_template_waits_for_its_variable(us, federation, new_job, task):
    job = new_job()
    where = f"nomad/jobs/{job['ID']}"
    template = {"EmbeddedTmpl": '{{ with nomadVar "' + where + '" }}{{ .key }}{{ end }}', "DestPath": "local/key"}
    job["TaskGroups"][0]["Tasks"] = [task("main", "cat local/key", Templates=[template])]
    us.register(job, enforce_index=0)
    missing = f"Missing: nomad.var.block({where}@default.global)"
    (stub,) = federation.wait_for_allocations(
        job["ID"], lambda stubs: stubs and missing in json.dumps(stubs[0]["TaskStates"])
    )
    (event,) = [one for one in stub["TaskStates"]["main"]["Events"] if one["DisplayMessage"] == missing]
    assert (event["Type"], stub["ClientStatus"], stub["TaskStates"]["main"]["State"]) == (
        "Template",
        "pending",
        "pending",
    )
    assert _put(federation, where, {"key": "sesame"})[0] == 200
    alloc = federation.finished(job["ID"])
    assert us.logs(alloc.id, "main") == b"sesame"
    federation.raw("DELETE", f"/v1/var/{where}")
