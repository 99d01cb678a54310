"""Imports have no circles: lazy ones and those that only types need count too."""

from __future__ import annotations

import graphlib

import grimp


def test_no_circle_of_imports_is_left() -> None:
    graph = grimp.build_graph("federation", "regions", "jobs", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 300
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        raise AssertionError(" → ".join(error.args[1])) from None
