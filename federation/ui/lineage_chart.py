"""Draws where a result came from (data, code, parents) and what was made from it, as a graph."""

from __future__ import annotations

from collections.abc import Callable

from federation.charts.graph import Node, graph
from federation.charts.svg import Chart
from federation.index import Row
from federation.index.catalog.lineage import Lineage
from federation.index.reader import Reader

KIN_MAX = 24
"""So many parents and children each are drawn."""


def lineage_chart(index: Reader, row: Row, lineage: Lineage, href: Callable[[str], str]) -> Chart:
    """The graph, in which `href` gives the address of a result of the index."""
    here = Node(row.alloc_id, row.alloc_id[:8], f"{row.job} {row.version}", is_here=True)
    before = [
        *(Node(f"data {name}", value, name, "p-fetch") for name, value in lineage.data.items()),
        *(Node(f"code {name}", value, name, "p-publish") for name, value in lineage.code.items()),
        *(_kin(index, name, href) for name in lineage.parents[:KIN_MAX]),
    ]
    after = [_kin(index, name, href) for name in lineage.children[:KIN_MAX]]
    edges = [*((node.id, here.id) for node in before), *((here.id, node.id) for node in after)]
    return graph([here, *before, *after], edges)


def _kin(index: Reader, name: str, href: Callable[[str], str]) -> Node:
    found = next((row for row in index.find(name) if row.alloc_id == name), None)
    if found is None:
        return Node(name, name, "not in the index", "lost")
    return Node(name, name[:8], f"{found.job} {found.version}", "done", href=href(name))
