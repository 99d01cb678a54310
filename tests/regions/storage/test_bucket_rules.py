"""What a bucket's settings mean, in each vendor's own words; and how they are asked for, on servers that have them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from regions.model import StoreConfig
from regions.storage import open_store
from regions.storage.azure.store import AzureStore
from regions.storage.bucket_rules import (
    Effect,
    Kind,
    Rule,
    azure_lock,
    azure_versions,
    gcs_lifecycle,
    gcs_lock,
    gcs_versions,
    s3_lifecycle,
    s3_lock,
    s3_versions,
    within,
)
from regions.storage.errors import NotSupported, PermissionDenied
from regions.storage.s3.store import S3Store
from tests.emulators.fault_proxy import Answer, fault_proxy

DAY_S = 86_400


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ({"ID": "tidy", "Filter": {"Prefix": "a/"}, "Expiration": {"Days": 30}}, "rule 'tidy' deletes after 30 days"),
        ({"Prefix": "a/", "Expiration": {"Date": "2027-01-01T00:00:00Z"}}, "deletes on 2027-01-01"),
        (
            {"Filter": {"And": {"Prefix": "a/", "ObjectSizeLessThan": 9}}, "Expiration": {"Days": 1}},
            "deletes after 1 days",
        ),
        ({"Prefix": "a/", "Transitions": [{"Days": 2, "StorageClass": "GLACIER"}]}, "moves to GLACIER after 2 days"),
        (
            {"Prefix": "a/", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}},
            "unfinished uploads after 7 days",
        ),
        ({"Filter": {"Tag": {"Key": "k", "Value": "v"}}, "Expiration": {"Days": 1}}, ""),
        ({"Filter": {"And": {"Prefix": "a/", "Tags": [{"Key": "k"}]}}, "Expiration": {"Days": 1}}, ""),
        ({"Prefix": "a/", "Expiration": {"ExpiredObjectDeleteMarker": True}}, ""),
        ({"Prefix": "a/", "NoncurrentVersionExpiration": {"NoncurrentDays": 3}}, ""),
        ({"Prefix": "a/", "Transitions": [{"Days": 2, "StorageClass": "STANDARD_IA"}]}, ""),
        ({"Status": "Disabled", "Prefix": "a/", "Expiration": {"Days": 1}}, ""),
    ],
)
def test_lifecycle_of_s3(rule: dict[str, Any], found: str) -> None:
    rules = list(s3_lifecycle({"Rules": [{"Status": "Enabled"} | rule]}))
    assert len(rules) == bool(found)
    assert all(found in one.text and one.prefix == "a/" for one in rules)


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ({"age": 30}, [("deletes after 30 days", "")]),
        ({"age": 1, "matchesPrefix": ["a/", "b"]}, [("deletes after 1 days", "a/"), ("deletes after 1 days", "b")]),
        ({"createdBefore": "2026-01-01"}, [("deletes by a condition", "")]),
        ({"age": 1, "isLive": False}, []),
        ({"numNewerVersions": 3}, []),
        ({"daysSinceNoncurrentTime": 3}, []),
    ],
)
def test_lifecycle_of_google_cloud(condition: dict[str, Any], found: list[tuple[str, str]]) -> None:
    for action, effect in (("Delete", Effect.DELETES), ("SetStorageClass", None)):
        rules = list(gcs_lifecycle({"lifecycle": {"rule": [{"action": {"type": action}, "condition": condition}]}}))
        assert [(rule.text, rule.prefix) for rule in rules] == (found if effect else [])
        assert {rule.effect for rule in rules} <= {effect}


@pytest.mark.parametrize(
    ("rules", "texts"),
    [
        (s3_lock({}), []),
        (s3_lock({"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}), []),
        (
            s3_lock({"ObjectLockConfiguration": {"Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Years": 1}}}}),
            ["locks for 1 years (COMPLIANCE)"],
        ),
        (s3_versions({}), []),
        (s3_versions({"Status": "Suspended"}), []),
        (s3_versions({"Status": "Enabled"}), ["keeps earlier versions"]),
        (gcs_lock({"defaultEventBasedHold": False}), []),
        (gcs_lock({"retentionPolicy": {"retentionPeriod": str(3 * DAY_S)}}), ["locks for 3 days"]),
        (gcs_lock({"retentionPolicy": {"retentionPeriod": "60", "isLocked": True}}), ["locks for 60 s, for good"]),
        (gcs_lock({"defaultEventBasedHold": True}), ["locks until an event-based hold is released"]),
        (gcs_versions({"versioning": {"enabled": False}, "softDeletePolicy": {"retentionDurationSeconds": "0"}}), []),
        (
            gcs_versions(
                {"versioning": {"enabled": True}, "softDeletePolicy": {"retentionDurationSeconds": 7 * DAY_S}}
            ),
            ["keeps earlier versions", "keeps what is removed for 7 days"],
        ),
        (azure_lock(has_immutability_policy=False, has_legal_hold=False), []),
        (
            azure_lock(has_immutability_policy=True, has_legal_hold=True),
            ["locks by an immutability policy", "locks by a legal hold"],
        ),
        (azure_versions(None), []),
        (azure_versions(14), ["keeps what is removed for 14 days"]),
    ],
)
def test_locks_and_versions(rules: Any, texts: list[str]) -> None:
    assert [rule.text for rule in rules] == texts


@pytest.mark.parametrize(
    ("prefix", "base", "seen"),
    [
        ("", "", ""),
        ("", "fedml/", ""),
        ("fed", "fedml/", ""),
        ("fedml/", "fedml/", ""),
        ("fedml/doctor/", "fedml/", "doctor/"),
        ("index/", "", "index/"),
        ("other/", "fedml/", None),
        ("fedml-old/", "fedml/", None),
    ],
)
def test_a_rule_is_seen_from_the_stores_own_prefix(prefix: str, base: str, seen: str | None) -> None:
    found = within([Rule(Effect.DELETES, "deletes", prefix)], base)
    assert [rule.prefix for rule in found] == ([] if seen is None else [seen])


@pytest.mark.parametrize("server", ["s3", "seaweed"])
def test_s3_is_asked(server: str, request: pytest.FixtureRequest) -> None:
    store = open_store(request.getfixturevalue(f"{server}_config"))
    assert isinstance(store, S3Store)
    assert [store.rules(kind) for kind in Kind] == [[], [], []]
    client, bucket = store._opened(), store.url.split("/")[2]
    rules = [
        {"ID": "tidy", "Status": "Enabled", "Filter": {"Prefix": "some/prefix/runs/"}, "Expiration": {"Days": 30}},
        {"ID": "far", "Status": "Enabled", "Filter": {"Prefix": "elsewhere/"}, "Expiration": {"Days": 30}},
    ]
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert store.rules(Kind.LIFECYCLE) == [Rule(Effect.DELETES, "rule 'tidy' deletes after 30 days", "runs/")]
    assert store.rules(Kind.VERSIONS) == [Rule(Effect.KEEPS, "keeps earlier versions")]
    client.put_object_lock_configuration(
        Bucket=bucket,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 3}},
        },
    )
    assert store.rules(Kind.LOCK) == [Rule(Effect.LOCKS, "locks for 3 days (GOVERNANCE)")]


def test_google_cloud_is_asked(gcs_config: StoreConfig) -> None:
    assert [open_store(gcs_config).rules(kind) for kind in Kind] == [[], [], []]
    assert gcs_config.endpoint is not None
    with fault_proxy(gcs_config.endpoint, keeps_host=False) as proxy:
        told = {
            "lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {"age": 9}}]},
            "retentionPolicy": {"retentionPeriod": str(DAY_S)},
            "versioning": {"enabled": True},
        }
        proxy.instead = lambda request: Answer(200, {"Content-Type": "application/json"}, json.dumps(told).encode())
        store = open_store(replace(gcs_config, endpoint=proxy.address))
        effects = [[rule.effect for rule in store.rules(kind)] for kind in Kind]
    assert effects == [[Effect.DELETES], [Effect.LOCKS], [Effect.KEEPS]]


def test_azure_is_asked_for_what_it_tells(azure_config: StoreConfig) -> None:
    store = open_store(azure_config)
    assert isinstance(store, AzureStore)
    assert [store.rules(kind) for kind in (Kind.LOCK, Kind.VERSIONS)] == [[], []]
    with pytest.raises(NotSupported, match="only by the account's management") as caught:
        store.rules(Kind.LIFECYCLE)
    assert "az storage account management-policy show --account-name" in caught.value.hint
    from azure.storage.blob import RetentionPolicy

    service = store._service(store._opened())
    service.set_service_properties(delete_retention_policy=RetentionPolicy(enabled=True, days=5))
    try:
        assert store.rules(Kind.VERSIONS) == [Rule(Effect.KEEPS, "keeps what is removed for 5 days")]
    finally:
        service.set_service_properties(delete_retention_policy=RetentionPolicy(enabled=False))


@pytest.mark.parametrize("kind", ["s3", "gcs", "azure"])
def test_who_may_not_look_is_told(kind: str, request: pytest.FixtureRequest) -> None:
    config: StoreConfig = request.getfixturevalue(f"{kind}_config")
    assert config.endpoint is not None
    with fault_proxy(config.endpoint, keeps_host=kind != "gcs") as proxy:
        proxy.instead = lambda request: Answer(403)
        store = open_store(replace(config, endpoint=proxy.address))
        asked: list[Callable[[], object]] = [lambda kind=kind: store.rules(kind) for kind in (Kind.LOCK, Kind.VERSIONS)]
        for ask in asked:
            with pytest.raises(PermissionDenied):
                ask()


def test_a_server_that_has_no_such_settings_is_told(s3rver_config: StoreConfig) -> None:
    with pytest.raises(NotSupported, match="this server doesn't tell"):
        open_store(s3rver_config).rules(Kind.LIFECYCLE)
