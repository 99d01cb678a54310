"""How it is held that no record opens a store: the source itself is looked at."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import federation

ROOT = Path(federation.__file__).parent
OPENING = {"open_store", "parse_store_url", "StoreConfig"}
BACKENDS = (
    "regions.storage.s3.store",
    "regions.storage.gcs.store",
    "regions.storage.azure.store",
    "regions.storage.file.store",
)

MAY_OPEN = {
    # fedml.toml (its patterns too) and what a person types
    "app.py": {"open_store", "parse_store_url", "StoreConfig"},
    "workflows/index_copy.py": {"parse_store_url", "StoreConfig"},
    "workflows/init_project.py": {"parse_store_url"},
    "workflows/check_stores.py": {"open_store", "parse_store_url", "StoreConfig"},
    "config/adopted_places.py": {"parse_store_url", "StoreConfig"},
    "config/build_places.py": {"parse_store_url", "StoreConfig"},
    "checks/doctor/stores.py": {"open_store", "StoreConfig"},
    "checks/stores/uses.py": {"open_store", "parse_store_url", "StoreConfig"},
    # on the node: what the coordinator gave to its job, and what the person in the job named
    "publish/in_place.py": {"open_store", "parse_store_url", "StoreConfig"},
    "publish/publish.py": {"open_store", "parse_store_url", "StoreConfig"},
    "publish/check.py": {"open_store", "parse_store_url"},
    "task/fetch.py": {"open_store", "parse_store_url"},
    # the one door for what records, rows and log entries say
    "index/stores.py": {"open_store", "parse_store_url", "StoreConfig"},
}
"""Which module may import what turns a text into a store. A new one needs a reason here, and never takes a record's text."""

MAY_DELETE = {
    "maintenance/removal.py": "one result, by its own prefix",
    "maintenance/gc.py": "packed code that no result and no open run names, by its own key",
    "home.py": "its own probe in the home store",
    "catalog/checkpoint.py": "old checkpoints in the home store",
    "maintenance/recovery.py": "the lost log in the home store, after it was copied",
    "maintenance/rebuild.py": "the lost log's checkpoints and format in the home store",
}


def modules(below: Path) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(below.rglob("*.py")):
        yield path.relative_to(below).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def names_used(tree: ast.Module) -> set[str]:
    """Names that are imported, and names that are read off a module (`storage.open_store`)."""
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names}
    return imported | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_only_named_modules_turn_a_text_into_a_store() -> None:
    found = {name: names_used(tree) & OPENING for name, tree in modules(ROOT)}
    opening = {name: names for name, names in found.items() if names & {"open_store", "parse_store_url"}}

    for name, names in opening.items():
        assert names <= MAY_OPEN.get(name, set()), f"{name} opens stores: {names}"
    assert {name for name in opening if name.startswith("index/")} == {"index/stores.py"}


def test_the_index_makes_no_store_by_another_way() -> None:
    for name, tree in modules(ROOT / "index"):
        imports = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not imports & set(BACKENDS), name
        calls = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert "StoreConfig" not in calls or name == "stores.py", name


def test_the_index_deletes_in_named_modules_only() -> None:
    deleting = {
        name
        for name, tree in modules(ROOT / "index")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "delete"
    }

    assert deleting == MAY_DELETE.keys()
