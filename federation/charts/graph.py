"""A small graph, as of the lineage of results: nodes in layers from left to right, with arrows between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from federation.charts import svg
from federation.charts.states import css_class, sign
from federation.charts.svg import Chart, element, label_text, linked, percent
from federation.text import shortened

NODES_MAX = 60
_BOX, _STEP = 38, 50
_GAP = 0.3
"""The space between layers as a share of a layer's width."""


@dataclass(frozen=True)
class Node:
    """A box with one or two lines of text. `kind` is a state or a class of `states.py`."""

    id: str
    label: str
    detail: str = ""
    kind: str = ""
    title: str = ""
    href: str = ""
    is_here: bool = False
    """The thing whose page shows the graph."""


def graph(nodes: Sequence[Node], edges: Sequence[tuple[str, str]], *, label: str = "", limit: int = NODES_MAX) -> Chart:
    """Draws nodes and edges (from, to). Edges of unknown nodes are left out; those that close a circle are drawn back."""
    kept = {node.id: node for node in nodes[:limit]}
    pairs = [pair for pair in dict.fromkeys(edges) if pair[0] in kept and pair[1] in kept and pair[0] != pair[1]]
    layers = _layers(list(kept), pairs)
    count = max(layers.values(), default=0) + 1
    places = _places(layers, pairs)
    width = 1 / (count + (count - 1) * _GAP)
    top = 20.0 if label else 0.0
    parts = [label_text(label, 0, 12, "h")] if label else []
    height = (max(places.values(), default=0) + 1) * _STEP
    lefts = {name: layers[name] * width * (1 + _GAP) for name in kept}
    middles = {name: places[name] * _STEP + _BOX / 2 for name in kept}
    curves = [_curve(lefts[one] + width, middles[one], lefts[two], middles[two]) for one, two in pairs]
    parts.append(svg.stretched("".join(curves), top, height))
    parts += [_arrow(lefts[two], top + middles[two]) for _, two in pairs]
    parts += [_box(node, lefts[name], top + places[name] * _STEP, width) for name, node in kept.items()]
    y = top + height
    note = svg.counted_of(len(kept), len(nodes), how="the first ones")
    if len(kept) < len(nodes):
        parts.append(label_text(note, 0, y + 10, "m small"))
        y += 16
    if not nodes:
        parts.append(label_text("nothing to draw yet", 0, top + 12, "m"))
    told = f"{label or 'graph'}: {len(kept)} nodes, {len(pairs)} edges"
    return svg.chart(parts, y, told, drawn=len(kept), of=len(nodes), note=note)


def _layers(names: Sequence[str], pairs: Sequence[tuple[str, str]]) -> Mapping[str, int]:
    """The longest way to each node. A circle is opened at its first node."""
    waiting = {name: sum(two == name for _, two in pairs) for name in names}
    layer = dict.fromkeys(names, 0)
    done: set[str] = set()
    while len(done) < len(names):
        rest = [name for name in names if name not in done]
        name = next((name for name in rest if waiting[name] == 0), rest[0])
        done.add(name)
        for one, two in pairs:
            if one == name and two not in done:
                waiting[two] -= 1
                layer[two] = max(layer[two], layer[name] + 1)
    return layer


def _places(layers: Mapping[str, int], pairs: Sequence[tuple[str, str]]) -> Mapping[str, int]:
    """The row of each node in its layer, near the rows of those before it."""
    places: dict[str, int] = {}
    for number in range(max(layers.values(), default=0) + 1):
        own = [name for name in layers if layers[name] == number]
        order = {name: index for index, name in enumerate(own)}

        def wish(name: str, order: Mapping[str, int] = order) -> tuple[float, int]:
            before = [places[one] for one, two in pairs if two == name and one in places]
            return (sum(before) / len(before) if before else float(order[name])), order[name]

        row = 0
        for name in sorted(own, key=wish):
            row = max(row, round(wish(name)[0]))
            places[name] = row
            row += 1
    return places


def _curve(x1: float, y1: float, x2: float, y2: float) -> str:
    left, right = 1000 * x1, 1000 * x2
    bend = max(20.0, (right - left) / 2)
    points = f"M{svg.number(left)} {svg.number(y1)}C{svg.number(left + bend)} {svg.number(y1)} "
    points += f"{svg.number(right - bend)} {svg.number(y2)} {svg.number(right)} {svg.number(y2)}"
    return element("path", class_="axis", d=points)


def _arrow(x: float, y: float) -> str:
    tip = element("path", class_="m", d="M-7 -4L0 0L-7 4z")
    return f'<svg x="{percent(x)}" y="{svg.number(y)}" overflow="visible">{tip}</svg>'


def _box(node: Node, x: float, y: float, width: float) -> str:
    css = css_class(node.kind) if node.kind else "u-other"
    name = " ".join(filter(None, (sign(node.kind), node.label)))
    texts = label_text(shortened(name, 60), 8, 16 if node.detail else 23)
    if node.detail:
        texts += label_text(shortened(node.detail, 60), 8, 31, "m small")
    inside = (
        element("rect", class_=f"box {css}{' l here' if node.is_here else ''}", width="100%", height=_BOX)
        + element("rect", class_=f"{css} f", x=0, y=0, width=4, height=_BOX)
        + texts
    )
    told = node.title or " – ".join(filter(None, (node.label, node.detail)))
    return linked(f"<g>{svg.title(told)}{svg.clipped(inside, percent(x), y, percent(width), _BOX)}</g>", node.href)
