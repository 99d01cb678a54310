"""Which feature a server of a version has."""

from __future__ import annotations

import pytest

from regions.nomad.versions import has_feature, parse_version


@pytest.mark.parametrize(
    ("text", "version"),
    [("1.6.3", (1, 6, 3)), ("v1.10.0", (1, 10, 0)), ("1.6.0-beta.1", (1, 6, 0)), ("1.8.2+ent", (1, 8, 2))],
)
def test_versions_are_read(text, version):
    assert parse_version(text) == version


@pytest.mark.parametrize("text", ["", "1.6", "1.6.3.1", "latest"])
def test_what_is_no_version(text):
    with pytest.raises(ValueError, match="is no Nomad version"):
        parse_version(text)
    assert not has_feature(text, "event_stream")


@pytest.mark.parametrize(
    ("version", "feature", "has"),
    [
        ("1.1.2", "dispatch_idempotency_token", False),
        ("1.1.3", "dispatch_idempotency_token", True),
        ("1.4.2", "jobs_list_meta", False),
        ("1.10.0", "jobs_list_meta", True),  # by number, not by text
        ("1.8.19", "dispatch_idempotency_race_safe", False),
        ("1.8.20+ent", "dispatch_idempotency_race_safe", True),
        ("1.9.0", "dispatch_idempotency_race_safe", False),  # a later line that didn't get the backport
        ("1.10.8", "dispatch_idempotency_race_safe", True),
        ("1.11.1", "dispatch_idempotency_race_safe", False),
        ("2.0.0", "dispatch_idempotency_race_safe", True),
    ],
)
def test_features_by_version(version, feature, has):
    assert has_feature(version, feature) is has
