"""The policy of `docs/how-to/write-a-policy.md` works when it is installed as a package."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from federation.plan import Room, policy_named, policy_names

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "write-a-policy.md").read_text()
CODE = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
ENTRY = re.search(r'\[project\.entry-points\."(fedml\.policies)"\]\n(.*?)```', PAGE, re.DOTALL)


def test_it_has_twenty_lines() -> None:
    assert CODE is not None
    assert len(CODE[1].strip().splitlines()) <= 20


def test_it_is_found_by_its_entry_point_and_places_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CODE is not None
    assert ENTRY is not None
    (tmp_path / "my_policies.py").write_text(CODE[1])
    metadata = tmp_path / "my_policies-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-policies\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{ENTRY[1]}]\n{ENTRY[2].replace(chr(34), '')}")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert "greenest" in policy_names()
        rooms = [Room("us", 9, price_per_hour=1), Room("eu", 3), Room("eu-north", 4), Room("ap", 9, price_per_hour=2)]
        assert policy_named("greenest")(10, rooms) == {"eu-north": 4, "eu": 3, "us": 3, "ap": 0}
    finally:
        sys.modules.pop("my_policies", None)
