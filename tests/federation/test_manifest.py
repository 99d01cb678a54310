"""The manifest's JSON, and names that are derived or drawn."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace

import pytest

from federation.curves import KeepBest
from federation.errors import FormatTooNew, IndexCorrupt
from federation.manifest import MANIFEST_FORMAT, Manifest, idempotency_token, new_run_id
from tests.federation.run.brain.world import MANIFEST


def test_there_and_back() -> None:
    manifest = replace(MANIFEST, payload=b"\x00\xff", meta={"a": "ü"}, variables=("count=2",), var_files=("x.hcl",))
    assert Manifest.from_json(manifest.to_json(), source="x") == manifest
    assert replace(MANIFEST, slots=3, groups={"a": 2, "b": 1}).expected_keys == 9


def test_a_job_that_fedml_did_not_register_gets_the_meta_that_it_declares_and_is_known_by_its_index() -> None:
    own = replace(MANIFEST, spec_hash="", parent="terraformed", registered_at={"us": 7}, declared_meta=("fedml_run",))
    assert Manifest.from_json(own.to_json(), source="x") == own
    assert (own.parent_id, MANIFEST.parent_id) == ("terraformed", MANIFEST.job)
    assert own.own_meta(3, 2) == {"fedml_run": MANIFEST.run}
    assert MANIFEST.own_meta(3, 2) == {"fedml_run": MANIFEST.run, "fedml_slot": "3", "fedml_attempt": "2"}
    assert own.spec_in("us", {"JobModifyIndex": 7, "Meta": None}) == own.spec_hash
    assert own.spec_in("us", {"JobModifyIndex": 8}) != own.spec_hash
    drifted = replace(MANIFEST, registered_at={"us": 7})
    assert drifted.spec_in("us", {"JobModifyIndex": 7, "Meta": {"fedml_spec": "5ec"}}) == "5ec"
    assert MANIFEST.spec_in("us", {"Meta": {"fedml_spec": "5ec"}}) == "5ec"


def test_a_child_is_known_by_its_meta_or_by_its_token() -> None:
    token = idempotency_token(MANIFEST.run, 3, 2)
    assert MANIFEST.child_of({"Meta": MANIFEST.own_meta(3, 2)}) == (3, 2)
    assert MANIFEST.child_of({"Meta": None, "DispatchIdempotencyToken": token}) == (3, 2)
    for stranger in ({}, {"Meta": {"fedml_run": "other"}}, {"DispatchIdempotencyToken": "somebody's"}):
        assert MANIFEST.child_of(stranger) is None
    assert MANIFEST.child_of({"Meta": {"fedml_run": MANIFEST.run, "fedml_slot": "x"}}) is None


def test_a_newer_format_is_refused_in_one_line() -> None:
    newer = json.dumps(json.loads(MANIFEST.to_json()) | {"format": MANIFEST_FORMAT + 1}).encode()
    with pytest.raises(
        FormatTooNew,
        match=f"runs/x has format {MANIFEST_FORMAT + 1}, this fedml knows {MANIFEST_FORMAT}: upgrade fedml",
    ):
        Manifest.from_json(newer, source="runs/x")


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"format": 1}', b'{"format": "one"}', b"\xff"])
def test_what_is_no_manifest(text: bytes) -> None:
    with pytest.raises(IndexCorrupt, match="runs/x is not a manifest"):
        Manifest.from_json(text, source="runs/x")


def test_run_ids_are_uuids_of_version_7_that_sort_by_time() -> None:
    made = [new_run_id(ms) for ms in (1_000, 1_700_000_000_000, 1_700_000_000_001)]
    assert made == sorted(made)
    assert {uuid.UUID(one).version for one in made} == {7}
    assert {uuid.UUID(one).variant for one in made} == {uuid.RFC_4122}
    assert uuid.UUID(made[1]).int >> 80 == 1_700_000_000_000


def test_tokens_are_derived() -> None:
    assert idempotency_token("r", 1, 2) == idempotency_token("r", 1, 2)
    assert len({idempotency_token("r", slot, attempt) for slot in range(12) for attempt in range(3)}) == 36


def test_rules_are_there_and_back_and_older_manifests_have_none() -> None:
    ruled = replace(MANIFEST, stop_when="metrics.loss is nan", keep_best=KeepBest(2, 1.5, "auc", "max"))
    assert Manifest.from_json(ruled.to_json(), source="x") == ruled
    data = json.loads(ruled.to_json())
    for wrong in ({"count": 0}, {"mode": "most"}, {"after": "x"}, {"after": -1}, {"metric": 3}):
        text = json.dumps(data | {"keep_best": data["keep_best"] | wrong}).encode()
        with pytest.raises(IndexCorrupt):
            Manifest.from_json(text, source="x")
    del data["stop_when"], data["keep_best"]
    assert Manifest.from_json(json.dumps(data).encode(), source="x") == replace(ruled, stop_when="", keep_best=None)
