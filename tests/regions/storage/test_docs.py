"""docs/reference/stores.md tells of every scheme, parameter, mode and error that there is."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from regions.storage import errors, open_store, parse_store_url
from regions.storage.backend import own_backends
from regions.storage.url import PARAMETERS

TEXT = Path(__file__).parents[3].joinpath("docs/reference/stores.md").read_text(encoding="utf-8")


def test_every_scheme_and_parameter_is_documented() -> None:
    assert [scheme for scheme in own_backends() if f"{scheme}://" not in TEXT] == []
    assert [name for name in PARAMETERS if f"| `{name}` |" not in TEXT] == []


def test_every_error_is_documented_and_no_other() -> None:
    known = {name for name, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__}
    table = TEXT.partition("## Errors")[2].partition("## ")[0]
    told = {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")}
    assert told == known


def _documented_suite() -> type:
    """The suite of the backend that the page shows, both as they are printed there."""
    place: dict[str, object] = {"__name__": "documented"}
    for block in TEXT.partition("## A backend of your own")[2].split("```python\n")[1:]:
        exec(compile(block.partition("```")[0], "docs/reference/stores.md", "exec"), place)
    suite = place["TestMemoryStore"]
    assert isinstance(suite, type)
    return suite


TestDocumentedBackend = _documented_suite()


def test_the_documented_backend_is_an_entry_point_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = TEXT.partition("## A backend of your own")[2].split("```python\n")[1].partition("```")[0]
    (tmp_path / "documented_memory.py").write_text(backend)
    (tmp_path / "mem-1.dist-info").mkdir()
    (tmp_path / "mem-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: mem\nVersion: 1\n")
    points = "[fedml.stores]\nmem = documented_memory:MemoryStore\n"
    (tmp_path / "mem-1.dist-info/entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(tmp_path)
    store = open_store(parse_store_url("mem://place-of-its-own/x"))
    store.put("key", b"there")
    assert open_store(parse_store_url("mem://place-of-its-own/x")).get("key") == b"there"
