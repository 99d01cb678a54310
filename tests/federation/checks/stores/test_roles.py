"""Least rights by role and vendor: what each may touch, and above all what not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from federation.checks.doctor.roles import ROLES, grants
from federation.checks.doctor.roles import store_documents as documents
from federation.checks.doctor.roles import store_policy as policy
from federation.checks.stores.roles import text
from federation.cli import run
from regions.model import StoreConfig
from regions.storage.backend import Grants, backend_of

S3 = StoreConfig(url="s3://models/fedml")
GCS = StoreConfig(url="gs://models/fedml")
AZURE = StoreConfig(url="az://account/models/fedml")
FOLDER = StoreConfig(url="file:///srv/fedml")


def told(role: str, store: StoreConfig, home: StoreConfig | None = None) -> str:
    return json.dumps(policy(role, store, home))


@pytest.mark.parametrize("store", [S3, GCS, AZURE])
def test_a_node_touches_results_and_artifacts_only(store: StoreConfig) -> None:
    found = told("node", store, home=store)
    assert "fedml/results/" in found
    assert "fedml/artifacts/" in found
    assert "elete" not in found
    assert not any(part in found for part in ("index/", "runs/", "doctor/", "ListBucket"))


@pytest.mark.parametrize("store", [S3, GCS, AZURE])
def test_a_node_reads_code_and_a_coordinator_creates_it(store: StoreConfig) -> None:
    form = backend_of(store.url).policy
    assert form is not None
    reading = json.dumps(form.make(store, Grants("node", reads=("code/",))))
    assert "fedml/code/" in reading
    for home in (store, FOLDER):
        assert "fedml/code/" in told("coordinator", store, home)
        assert "fedml/code/" in told("maintenance", store, home)
    node, coordinator = grants("node", is_home=False), grants("coordinator", is_home=False)
    assert "code/" in node.reads
    assert "code/" not in node.added
    assert coordinator.appends == ("code/",)


@pytest.mark.parametrize("store", [S3, GCS, AZURE])
def test_a_reader_writes_nothing(store: StoreConfig) -> None:
    found = told("reader", store, home=store)
    assert not any(word in found for word in ("Put", "Creator", "objectUser", "write", "add/action", "elete"))
    assert "results" not in found  # nothing narrower than the whole prefix


@pytest.mark.parametrize("store", [S3, GCS, AZURE])
def test_a_coordinator_writes_the_home_store_and_its_scratch_prefix(store: StoreConfig) -> None:
    at_home, elsewhere = told("coordinator", store, home=store), told("coordinator", store, home=FOLDER)
    assert "fedml/index/" in at_home
    assert "fedml/runs/" in at_home
    for found in (at_home, elsewhere):
        assert "fedml/doctor/" in found
        assert "artifacts/" not in found
    assert "index/" not in elsewhere


def test_google_creators_cannot_replace() -> None:
    found: Any = policy("node", GCS, None)
    assert [binding["role"] for binding in found["bindings"]] == [
        "roles/storage.objectCreator",
        "roles/storage.objectViewer",
    ]
    assert found["bindings"][0]["condition"]["expression"] == (
        "resource.name.startsWith('projects/_/buckets/models/objects/fedml/results/') || "
        "resource.name.startsWith('projects/_/buckets/models/objects/fedml/artifacts/')"
    )


def test_azure_names_the_container_and_guards_each_right() -> None:
    found: Any = policy("node", AZURE, None)
    assert found["assignment"]["scope"].endswith("/storageAccounts/account/blobServices/default/containers/models")
    assert [right.rpartition("blobs/")[2] for right in found["role"]["DataActions"]] == ["read", "add/action", "write"]
    condition = found["assignment"]["condition"]
    assert condition.count("(") == condition.count(")")
    assert condition.count("StringStartsWith 'fedml/artifacts/'") == 3
    whole: Any = policy("reader", StoreConfig(url="az://account/models"), None)
    assert "condition" not in whole["assignment"]


def test_a_bucket_without_a_prefix() -> None:
    found = told("node", StoreConfig(url="gs://models"))
    assert "buckets/models/objects/results/" in found


def test_every_role_and_store_is_in_the_text_and_the_documents() -> None:
    stores = [S3, GCS, AZURE, FOLDER]
    found = documents(stores, FOLDER)
    assert [(one["role"], one["kind"]) for one in found] == [
        (role, kind) for role in ROLES for kind in ("aws", "gcp", "azure", "folder")
    ]
    assert [one["policy"] is None for one in found] == [one["kind"] == "folder" for one in found]
    printed = text(stores, FOLDER)
    assert printed.count("# ── ") == len(ROLES)
    assert printed.count("file:///srv/fedml: ") == len(ROLES)
    assert printed.count('"Version": "2012-10-17"') == len(ROLES)


def s3(role: str, action: str) -> list[tuple[set[str], Any]]:
    """The resources (below the store) and the condition of each statement that allows the action."""
    found: Any = policy(role, S3, S3)
    return [
        ({each.removeprefix("arn:aws:s3:::models/fedml/") for each in one["Resource"]}, one.get("Condition"))
        for one in found["Statement"]
        if action in one["Action"]
    ]


@pytest.mark.parametrize("role", ["coordinator", "dispatcher"])
def test_in_s3_a_coordinator_never_replaces_an_entry_of_a_log(role: str) -> None:
    unconditional = {part for parts, condition in s3(role, "s3:PutObject") if condition is None for part in parts}
    assert unconditional == {"doctor/*", "index/checkpoints/*", "index/watch/*", "runs/*/logs/*"}
    once = {part for parts, given in s3(role, "s3:PutObject") if given and "Null" in given for part in parts}
    assert {"index/log/*", "runs/*/log/*", "runs/*/manifest.json", "format.json", "code/*"} < once
    deleted = {part for parts, _ in s3(role, "s3:DeleteObject") for part in parts}
    assert deleted == {"doctor/*", "index/checkpoints/*", "index/watch/*"}


@pytest.mark.parametrize("role", ["coordinator", "dispatcher", "maintenance", "reader"])
def test_in_s3_a_listing_is_limited_to_the_stores_prefix(role: str) -> None:
    assert [condition for _, condition in s3(role, "s3:ListBucket")] == [
        {"StringLikeIfExists": {"s3:prefix": ["fedml/*"]}}
    ]


@pytest.mark.parametrize("store", [S3, GCS, AZURE])
def test_maintenance_frees_results_and_no_other_role_does(store: StoreConfig) -> None:
    found = told("maintenance", store, home=store)
    assert "fedml/artifacts/" in found
    assert "elete" in found or "objectUser" in found
    assert "runs/" not in told("maintenance", store, home=FOLDER)


CONFIG = """
[federation]
home = "s3://ml-home"

[regions.us]
addresses = ["http://127.0.0.1:9"]
namespace = "ml"
store = "s3://models/fedml"
[regions.us.datacenters.us-1]
[regions.us.datacenters.us-2]
store = "gs://models/fedml"

[regions.eu]
addresses = ["http://127.0.0.1:9"]
store = "az://account/models/fedml"
[regions.eu.datacenters.eu-1]
[regions.eu.datacenters.eu-2]
store = "file:///srv/fedml"
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fedml.toml").write_text(CONFIG)
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run([*arguments]) == 0
    return capsys.readouterr().out


def test_doctor_and_stores_print_the_same_policies_as_json(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads(printed(capsys, "doctor", "--policy", "--json"))["policies"]
    stores = json.loads(printed(capsys, "stores", "check", "--policy", "--json"))["policies"]
    nomad = [one for one in whole if one["kind"] == "nomad"]
    assert [one for one in whole if one["kind"] != "nomad"] == stores
    assert [(one["role"], one["namespace"]) for one in nomad] == [
        (role, namespace) for role in ROLES for namespace in ("default", "ml")
    ]
    assert {one["role"] for one in nomad if one["policy"] is None} == {"node"}
    assert "submit-job" in nomad[2]["policy"]
    assert [one["policy"] for one in stores if one["store"] == "s3://ml-home" and one["role"] == "node"] == [None]
    assert {one["store"] for one in stores if one["role"] == "node" and one["policy"]} == {S3.url, GCS.url, AZURE.url}


def test_both_texts_give_each_role_the_same_rights(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doctor, stores = printed(capsys, "doctor", "--policy"), printed(capsys, "stores", "check", "--policy")
    folder = [
        f"# file:///srv/fedml: {rights}\n" for rights in ("write and read below results/", "read; write below", "read")
    ]
    assert all(doctor.count(line.rstrip("\n")) == stores.count(line.rstrip("\n")) > 0 for line in folder)
    assert "# s3://ml-home: none" in stores
    for store in (GCS, AZURE):
        for role in ROLES:
            text_of = json.dumps(policy(role, store, StoreConfig("s3://ml-home")), indent=2)
            assert text_of in doctor, "no policy is left out because the vendor has none for several stores"
            assert text_of in stores


def test_a_home_store_that_a_datacenter_uses_too_has_the_rights_of_both(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (config / "fedml.toml").write_text(CONFIG.replace("s3://ml-home", "s3://models/fedml"))
    one = json.loads(printed(capsys, "stores", "check", "home", "--policy", "--json"))["policies"]
    assert [document["policy"] is None for document in one] == [False] * len(ROLES)
