from __future__ import annotations

import re
from pathlib import Path

from federation.config.load import load
from federation.config.reference import with_keys

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "configuration.md"


def test_every_key_is_documented_as_the_schema_has_it() -> None:
    page = PAGE.read_text()
    assert with_keys(page) == page, f"run: python -m federation.config.reference {PAGE}"


def test_the_example_is_a_valid_file(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", PAGE.read_text(), re.S)
    assert example is not None
    path = tmp_path / "fedml.toml"
    path.write_text(example[1])
    config = load(path)
    assert list(config.regions) == ["us", "onprem"]
    assert config.regions["us"].datacenters["us-east-1"].store.url == "s3://sales-us/models"


def test_the_example_of_a_development_federation_is_a_valid_file(tmp_path: Path) -> None:
    page = PAGE.parents[1] / "how-to" / "dev-federation.md"
    example = re.search(r"```toml\n(.*?)```", page.read_text(), re.S)
    assert example is not None
    path = tmp_path / "fedml.toml"
    path.write_text(f'[federation]\nhome = "file://./home"\n{example[1]}')
    config = load(path)
    assert config.dev is not None
    assert [node.name for node in config.dev.regions["us"].nodes] == ["big", "us-2", "us-3", "us-4"]
