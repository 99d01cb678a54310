"""Which feature a server of a version has."""

from __future__ import annotations

import pytest

from regions.nomad.versions import has_race_safe_tokens, is_too_old, parse_version


@pytest.mark.parametrize(
    ("text", "version"),
    [("1.6.3", (1, 6, 3)), ("v1.10.0", (1, 10, 0)), ("1.6.0-beta.1", (1, 6, 0)), ("1.8.2+ent", (1, 8, 2))],
)
def test_versions_are_read(text, version):
    assert parse_version(text) == version


@pytest.mark.parametrize("text", ["", "1.6", "1.6.3.1", "latest"])
def test_what_is_no_version(text):
    with pytest.raises(ValueError, match="is not a valid Nomad version"):
        parse_version(text)
    assert not has_race_safe_tokens(text)
    assert not is_too_old(text)


@pytest.mark.parametrize(
    ("version", "has"),
    [
        ("1.6.3", False),
        ("1.8.19", False),
        ("1.8.20+ent", True),
        ("1.9.0", False),  # a later line that didn't get the backport
        ("1.10.8", True),
        ("1.11.1", False),
        ("2.0.0", True),
    ],
)
def test_since_when_a_dispatch_may_be_repeated(version, has):
    assert has_race_safe_tokens(version) is has


@pytest.mark.parametrize(
    ("version", "is_old"), [("0.12.5", True), ("1.1.2", True), ("1.6.2", True), ("1.6.3", False), ("1.10.0", False)]
)
def test_what_is_too_old(version, is_old):
    assert is_too_old(version) is is_old
