"""What a task sees of its store from inside, and how it tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from federation.check import Outcome
from federation.publish import check as publish_check
from federation.publish.check import check_from_inside, from_log, to_line
from regions.model import StoreConfig
from regions.storage import open_store
from regions.storage.errors import PermissionDenied
from regions.storage.file.store import FileStore
from regions.storage.url import folder_url


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        "NOMAD_ALLOC_ID": "7d1c7a2e-6c3f-4bb6-9d2a-1f6f2f9a0b11",
        "NOMAD_ALLOC_INDEX": "0",
        "NOMAD_GROUP_NAME": "doctor",
        "NOMAD_JOB_ID": "fedml-doctor-1",
        "NOMAD_DC": "dc1",
        "NOMAD_REGION": "us",
        "FEDML_NODE": "node-1",
        "FEDML_STORES": json.dumps({"dc1": folder_url(tmp_path / "store")}),
    }


def test_all_is_well_and_nothing_is_left(environ: dict[str, str], tmp_path: Path) -> None:
    checks = check_from_inside(environ)
    assert [(check.name, check.outcome) for check in checks] == [
        ("fedml publish", Outcome.OK),
        ("environment", Outcome.OK),
        ("credentials", Outcome.OK),
        ("create in the store", Outcome.OK),
        ("read it back", Outcome.OK),
        ("clock", Outcome.OK),
    ]
    assert {check.subject for check in checks} == {"node-1"}
    assert list(open_store(StoreConfig(url=folder_url(tmp_path / "store"))).list()) == []


def test_a_node_that_may_not_create(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: FileStore, *_: object, **__: object) -> None:
        raise PermissionDenied("access denied", store=self.url)

    monkeypatch.setattr(FileStore, "put", refuse)
    last = check_from_inside(environ)[-1]
    assert (last.name, last.outcome) == ("create in the store", Outcome.FAILED)
    assert last.remedy.startswith("let the task's user write below file://")


@pytest.mark.parametrize(
    ("url", "rights"),
    [
        ("s3://bucket/x", ("s3:PutObject", "s3:GetObject")),
        ("gs://bucket/x", ("storage.objects.create", "storage.objects.get")),
        ("az://account/box/x", ("blobs/add/action", "blobs/read")),
    ],
)
def test_the_missing_permission_is_named_and_missing_credentials_are_told_from_it(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, url: str, rights: tuple[str, str]
) -> None:
    environ["FEDML_STORES"] = json.dumps({"dc1": url})
    held: dict[str, bytes] = {}

    class Guarded:
        refuses, hint = "put", "the credentials may not put there: see `fedml doctor`"

        def __init__(self) -> None:
            self.url = url

        def put(self, key: str, data: bytes, *_: object) -> None:
            self.guard("put")
            held[key] = data

        def get(self, key: str) -> bytes:
            self.guard("get")
            return held[key]

        def guard(self, operation: str) -> None:
            if self.refuses == operation:
                raise PermissionDenied("access denied", store=url, hint=self.hint)

    monkeypatch.setattr(publish_check, "open_store", lambda _: Guarded())
    last = check_from_inside(environ)[-1]
    assert (last.name, last.outcome) == ("create in the store", Outcome.FAILED)
    assert rights[0] in last.remedy
    assert "--policy" in last.remedy
    monkeypatch.setattr(Guarded, "refuses", "get")
    last = check_from_inside(environ)[-1]
    assert (last.name, last.outcome) == ("read it back", Outcome.FAILED)
    assert rights[1] in last.remedy
    monkeypatch.setattr(Guarded, "refuses", "put")
    monkeypatch.setattr(Guarded, "hint", "set AWS_ACCESS_KEY_ID and so on")
    last = check_from_inside(environ)[-1]
    assert (last.name, last.outcome, last.remedy) == ("credentials", Outcome.FAILED, "set AWS_ACCESS_KEY_ID and so on")


def test_a_node_that_may_not_delete_is_well(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: FileStore, key: str) -> None:
        raise PermissionDenied("access denied")

    monkeypatch.setattr(FileStore, "delete", refuse)
    assert all(check.outcome is Outcome.OK for check in check_from_inside(environ))


@pytest.mark.parametrize(
    ("change", "told"),
    [({"FEDML_STORES": ""}, "FEDML_STORES is not set"), ({"NOMAD_DC": "dc9"}, "no store for datacenter 'dc9'")],
)
def test_a_wrong_environment(environ: dict[str, str], change: dict[str, str], told: str) -> None:
    last = check_from_inside(environ | change)[-1]
    assert (last.name, last.outcome) == ("environment", Outcome.FAILED)
    assert told in last.detail


def test_checks_are_found_in_a_log(environ: dict[str, str]) -> None:
    checks = check_from_inside(environ)
    assert from_log(f'hello\n{{"a": 1}}\n{to_line(checks)}\n[1]\nbye\n') == checks
    assert from_log("hello\n3\nnull\n") is None
    assert from_log('{"fedml_publish_check": [["a"]]}') is None
