"""The security pages name tests that exist, where they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("SECURITY.md", "docs/explanation/security.md", "docs/explanation/threat-model.md")
NAMED = [
    (page, named)
    for page in PAGES
    for named in re.findall(r"`(tests/[\w/]+(?:\.py)?/?(?:::\w+)?)`", (ROOT / page).read_text())
]


def test_they_name_tests() -> None:
    assert {page for page, _ in NAMED} == {"docs/explanation/security.md", "docs/explanation/threat-model.md"}


@pytest.mark.parametrize(("page", "named"), NAMED)
def test_a_test_that_a_security_page_names_is_there(page: str, named: str) -> None:
    path, _, name = named.partition("::")
    place = ROOT / path
    assert place.exists(), f"{page} names {path}"
    texts = [place.read_text()] if place.is_file() else [one.read_text() for one in place.glob("test_*.py")]
    assert any(re.search(rf"^(async )?def {name or 'test_'}", text, re.MULTILINE) for text in texts), (
        f"{page} names {named}"
    )
