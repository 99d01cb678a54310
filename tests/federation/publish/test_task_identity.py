"""What a task's environment says of its allocation, and what is refused."""

from __future__ import annotations

import json

import pytest

from federation.errors import PublishError
from federation.publish.task_identity import allocation_of
from federation.result import UNVERSIONED, Key, ad_hoc_run
from jobs.errors import FedmlError
from regions.storage.store import checked_key

ALLOC = "7d1c7a2e-6c3f-4bb6-9d2a-1f6f2f9a0b11"
DISPATCHED = {
    "NOMAD_ALLOC_ID": ALLOC,
    "NOMAD_ALLOC_INDEX": "1",
    "NOMAD_ALLOC_NAME": "train/dispatch-1700000000-abcd1234.pipeline[1]",
    "NOMAD_GROUP_NAME": "pipeline",
    "NOMAD_JOB_ID": "train/dispatch-1700000000-abcd1234",
    "NOMAD_JOB_PARENT_ID": "train",
    "NOMAD_JOB_NAME": "train/dispatch-1700000000-abcd1234",
    "NOMAD_DC": "dc1",
    "NOMAD_REGION": "global",
    "NOMAD_META_fedml_run": "0190",
    "NOMAD_META_FEDML_RUN": "0190",
    "NOMAD_META_fedml_slot": "3",
    "NOMAD_META_fedml_attempt": "2",
    "NOMAD_META_fedml_spec": "abc123",
    "NOMAD_META_model_version": "4",
    "NOMAD_META_MODEL_VERSION": "4",
    "NOMAD_META_epochs": "5",
    "NOMAD_META_EPOCHS": "5",
    "NOMAD_META_not_sent": "",
    "NOMAD_META_NOT_SENT": "",
    "NOMAD_META_gcp_creds": "planted-secret",
    "NOMAD_META_GCP_CREDS": "planted-secret",
    "FEDML_REGION": "us",
    "FEDML_STORES": json.dumps({"dc1": "file:///srv/us", "dc2": "s3://bucket/us"}),
}
PLAIN = {name: value for name, value in DISPATCHED.items() if "META_" not in name or "VERSION" in name.upper()}


def test_a_child_that_fedml_dispatched() -> None:
    found = allocation_of(DISPATCHED, node="host-1")
    assert found.key == Key("0190", 3, "pipeline", 1)
    assert (found.attempt, found.job, found.job_id) == (2, "train", "train/dispatch-1700000000-abcd1234")
    assert (found.version, found.spec_hash, found.region, found.datacenter) == ("4", "abc123", "us", "dc1")
    assert (found.node, found.id, found.store_url) == ("host-1", ALLOC, "file:///srv/us")
    assert found.params == {"epochs": "5"}


def test_params_have_the_names_that_the_job_declares() -> None:
    meta = {"NOMAD_META_learning_rate": "0.1", "NOMAD_META_LEARNING_RATE": "0.1"}
    renamed = {"FEDML_META": json.dumps({"learning_rate": "learning-rate"})}
    assert allocation_of(DISPATCHED | meta | renamed, node="n").params == {"epochs": "5", "learning-rate": "0.1"}
    with pytest.raises(PublishError, match="FEDML_META is not a JSON object"):
        allocation_of(DISPATCHED | {"FEDML_META": "["}, node="n")


def test_secrets_in_the_meta_never_become_params() -> None:
    assert "planted-secret" not in repr(allocation_of(DISPATCHED, node="n"))


def test_a_child_of_plain_nomad_is_a_run_of_its_own() -> None:
    found = allocation_of(PLAIN, node="n")
    assert found.key == Key("nomad:us:train~2Fdispatch-1700000000-abcd1234", 0, "pipeline", 1)
    assert (found.attempt, found.job, found.spec_hash) == (1, "train", "")
    assert checked_key(found.key.path).count("/") == 3


def test_an_old_nomad_that_tells_no_parent() -> None:
    environ = {name: value for name, value in DISPATCHED.items() if name != "NOMAD_JOB_PARENT_ID"}
    assert allocation_of(environ, node="n").job == "train"


def test_nomads_region_where_fedml_gave_no_name() -> None:
    environ = {name: value for name, value in PLAIN.items() if name != "FEDML_REGION"}
    assert allocation_of(environ, node="n").key.run.startswith("nomad:global:")


@pytest.mark.parametrize("children", [("a/b", "a~2Fb"), ("a b", "a~20b"), ("ä", "a"), ("a:b", "a/b")])
def test_no_two_children_share_a_run(children: tuple[str, str]) -> None:
    runs = {ad_hoc_run("us", child) for child in children}
    assert len(runs) == 2
    assert all("/" not in run and checked_key(run) for run in runs)


@pytest.mark.parametrize(
    ("change", "version"),
    [
        ({}, "4"),
        ({"FEDML_VERSION_KEY": "release", "NOMAD_META_release": "2026.1"}, "2026.1"),
        ({"FEDML_VERSION_KEY": "model-release", "NOMAD_META_model_release": "9"}, "9"),
        ({"NOMAD_META_model_version": "", "NOMAD_META_version": "7"}, "7"),
        ({"NOMAD_META_model_version": "", "NOMAD_META_fedml_version": "8"}, "8"),
        ({"NOMAD_META_model_version": ""}, UNVERSIONED),
    ],
)
def test_where_the_version_stands(change: dict[str, str], version: str) -> None:
    environ = {name: value for name, value in DISPATCHED.items() if name != "NOMAD_META_MODEL_VERSION"}
    assert allocation_of(environ | change, node="n").version == version


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"NOMAD_ALLOC_ID": ""}, "not a Nomad task"),
        ({"NOMAD_GROUP_NAME": ""}, "NOMAD_GROUP_NAME is not set"),
        ({"NOMAD_GROUP_NAME": "a/b"}, "'a/b', can't be part"),
        ({"NOMAD_GROUP_NAME": ".."}, "can't be part"),
        ({"NOMAD_ALLOC_INDEX": "-1"}, "NOMAD_ALLOC_INDEX '-1' is not a valid whole number"),
        ({"NOMAD_META_fedml_run": "../../x"}, "the run, '../../x'"),
        ({"NOMAD_META_fedml_slot": "x"}, "meta fedml_slot 'x' is not a valid whole number"),
        ({"NOMAD_META_fedml_attempt": "0"}, "meta fedml_attempt '0' is not a valid whole number"),
        ({"NOMAD_META_fedml_attempt": ""}, "no fedml_attempt"),
        ({"NOMAD_META_model_version": "../4", "NOMAD_META_MODEL_VERSION": "../4"}, "is not a valid version"),
        ({"FEDML_STORES": ""}, "FEDML_STORES is not set"),
        ({"FEDML_STORES": "{"}, "is not a JSON object"),
        ({"FEDML_STORES": "[]"}, "is not a JSON object"),
    ],
)
def test_an_environment_that_cannot_be_used(change: dict[str, str], told: str) -> None:
    with pytest.raises(FedmlError) as caught:
        allocation_of(DISPATCHED | change, node="n")
    assert told in str(caught.value)


def test_a_datacenter_without_a_store() -> None:
    with pytest.raises(PublishError) as caught:
        _ = allocation_of(DISPATCHED | {"NOMAD_DC": "dc9"}, node="n").store_url
    assert "no store for datacenter 'dc9' of region us" in str(caught.value)
    assert "dc1, dc2" in caught.value.hint
