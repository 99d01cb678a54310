"""A job's shape, and what a dispatch of it may carry."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.dispatch_meta import check_dispatch, looks_secret
from jobs.errors import InvalidMeta, InvalidSpec
from jobs.spec import checked_version, deciding_tasks, shape_of


def job(**changes: Any) -> dict[str, Any]:
    base = {
        "ID": "train",
        "Type": "batch",
        "ParameterizedJob": {"MetaRequired": ["data_url"], "MetaOptional": ["model_version", "save_path"]},
        "TaskGroups": [{"Name": "model", "Count": 2, "Tasks": []}],
    }
    return base | changes


def test_the_shape_says_what_a_slot_gives() -> None:
    shape = shape_of(job())
    assert (shape.id, shape.version_key, shape.groups, shape.keys_a_slot) == ("train", "model_version", {"model": 2}, 2)


def test_a_group_may_say_that_it_publishes_nothing() -> None:
    groups = [{"Name": "model"}, {"Name": "notify", "Meta": {"fedml_publish": "false"}}]
    shape = shape_of(job(TaskGroups=groups))
    assert shape.groups == {"model": 1}
    assert shape.group_counts == {"model": 1, "notify": 1}


@pytest.mark.parametrize(
    ("optional", "key"),
    [(["version"], "version"), (["version", "model_version"], "model_version"), ([], "fedml_version")],
)
def test_the_version_goes_under_the_jobs_own_key(optional: list[str], key: str) -> None:
    assert shape_of(job(ParameterizedJob={"MetaOptional": optional})).version_key == key


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Type": "service"}, 'type "service"'),
        ({"Type": "sysbatch"}, 'type "sysbatch"; fedml dispatches batch jobs'),
        ({"Type": None}, 'type "service"'),
        ({"ParameterizedJob": None}, "no parameterized block"),
        ({"Periodic": {"Enabled": True, "Spec": "0 * * * *"}}, "has a periodic block"),
        ({"Periodic": {"Enabled": False}}, "has a periodic block"),
        ({"Periodic": {}}, "has a periodic block"),
        ({"TaskGroups": []}, "no group"),
    ],
)
def test_what_cannot_be_dispatched_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSpec, match=words) as caught:
        shape_of(job(**changes))
    assert caught.value.hint


def test_the_leader_decides_how_an_allocation_ended_else_the_main_tasks_do() -> None:
    tasks = [
        {"Name": "main", "Lifecycle": None},
        {"Name": "other"},
        {"Name": "side", "Lifecycle": {"Hook": "prestart", "Sidecar": True}},
    ]
    assert deciding_tasks({"TaskGroups": [{"Name": "g", "Tasks": tasks}]}) == {"g": {"main", "other"}}
    tasks[1]["Leader"] = True
    assert deciding_tasks({"TaskGroups": [{"Name": "g", "Tasks": tasks}]}) == {"g": {"other"}}
    assert deciding_tasks({"TaskGroups": None}) == {}


@pytest.mark.parametrize("version", ["4", "2026.1", "v1.2-rc+3", "größe", "模型", "a" * 64])
def test_versions(version: str) -> None:
    assert checked_version(version) == version


@pytest.mark.parametrize("version", ["", "next", "../4", "a b", "-4", "a" * 65, "_a", "a/b", "a@b", "é\n", "\ud800"])
def test_what_is_no_version(version: str) -> None:
    with pytest.raises(InvalidSpec, match="is not a valid version"):
        checked_version(version)


def test_meta_that_fits() -> None:
    given = {"data_url": "https://example.com/../x.csv", "save_path": "models/a"}
    assert check_dispatch(shape_of(job()), given, b"x" * 16384) == given


@pytest.mark.parametrize(
    ("meta", "words", "hint"),
    [
        ({}, "requires meta that is missing: data_url", "-meta data_url=…"),
        ({"data_url": "x", "save_pat": "y"}, "no meta key 'save_pat'", "did you mean 'save_path'?"),
        ({"data_url": "x", "save_path": "../../x"}, "would leave its folder", "without '..'"),
        ({"data_url": "x" * 16400}, "16408 bytes, more than 16384", "object store"),
        ({"data_url": "x", "fedml_run": "1"}, "fedml's own", "leave it out"),
    ],
)
def test_meta_that_does_not_fit(meta: dict[str, str], words: str, hint: str) -> None:
    with pytest.raises(InvalidMeta, match=words) as caught:
        check_dispatch(shape_of(job()), meta, b"")
    assert hint in caught.value.hint


def test_a_credential_in_meta_is_refused_unless_asked_for() -> None:
    shape = shape_of(job(ParameterizedJob={"MetaRequired": ["gcp_creds"]}))
    with pytest.raises(InvalidMeta, match="looks like a credential") as caught:
        check_dispatch(shape, {"gcp_creds": "s3cret"}, b"")
    assert "s3cret" not in str(caught.value) + caught.value.hint
    assert "workload identity" in caught.value.hint
    assert check_dispatch(shape, {"gcp_creds": "s3cret"}, b"", allow_secrets=True) == {"gcp_creds": "s3cret"}
    assert check_dispatch(shape, {}, b"") == {"gcp_creds": ""}


@pytest.mark.parametrize("key", ["gcp_creds", "API_KEY", "dbPassword", "token", "aws_secret_access_key", "ssh_key"])
def test_names_that_look_secret(key: str) -> None:
    assert looks_secret(key)


@pytest.mark.parametrize("key", ["max_tokens", "tokenizer", "keyboard", "data_url", "secretary", "key"])
def test_names_that_do_not(key: str) -> None:
    assert not looks_secret(key)


@pytest.mark.parametrize(("mode", "payload"), [("required", b""), ("forbidden", b"x"), ("optional", b"x" * 16385)])
def test_payloads_that_nomad_would_refuse(mode: str, payload: bytes) -> None:
    shape = shape_of(job(ParameterizedJob={"Payload": mode}))
    with pytest.raises(InvalidMeta, match="payload"):
        check_dispatch(shape, {}, payload)
