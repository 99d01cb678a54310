"""The trees of errors that docstrings draw are the classes that there are."""

from __future__ import annotations

import importlib
import pkgutil
import re
from types import ModuleType

import pytest

import federation
import jobs
import regions
from jobs.errors import FedmlError

DRAWINGS = {
    "jobs.errors": "JobError",
    "regions.errors": "RegionError",
    "regions.storage.errors": "StoreError",
    "federation.errors": "FederationError",
}
"""Modules that draw a tree, with the class at its root."""
_LINE = re.compile(r"^(?P<stem>[ │├└─]*?)(?P<name>[A-Z]\w+)(\(\w+\))?(\s.*)?$")


def load_all() -> None:
    """Import every module, so that every class of an error is known."""
    for package in (jobs, regions, federation):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "examples" not in module.name and not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def drawn(module: ModuleType) -> dict[str, str]:
    """Each class in the drawing, with the class that it stands below."""
    parents: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (module.__doc__ or "").partition("::")[2].splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        depth = len(match["stem"])
        above = [(column, name) for column, name in above if column < depth]
        if above:
            parents[match["name"]] = above[-1][1]
        above.append((depth, match["name"]))
    return parents


def existing(root: type) -> dict[str, str]:
    """Each class below a root, with the class that it is made from."""
    found: dict[str, str] = {}
    for kind in root.__subclasses__():
        if kind.__module__.split(".")[0] in ("jobs", "regions", "federation"):
            found[kind.__name__] = root.__name__
            found |= existing(kind)
    return found


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawn_tree_is_the_tree(name: str) -> None:
    load_all()
    root = next(kind for kind in FedmlError.__subclasses__() if kind.__name__ == DRAWINGS[name])
    picture = drawn(importlib.import_module(name))
    assert {child: parent for child, parent in picture.items() if parent != "FedmlError"} == existing(root)


def test_the_whole_tree_names_every_branch() -> None:
    load_all()
    branches = {
        child for child, parent in drawn(importlib.import_module("jobs.errors")).items() if parent == "FedmlError"
    }
    assert branches == {
        kind.__name__ for kind in FedmlError.__subclasses__() if not kind.__module__.startswith("tests")
    }
