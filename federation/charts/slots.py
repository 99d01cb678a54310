"""A grid of a run's slots: cells for some, tiles that show shares for many."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from federation.charts import svg
from federation.charts.bars import key
from federation.charts.states import STATES, state
from federation.charts.svg import Chart, element, label_text, linked

WIDTH = 320
"""The width in pixels of a grid; it fits a narrow page."""
SIGNS_MAX = 128
CELLS_MAX = 2000
"""More slots than this are drawn as tiles."""
TILES_MAX = 600
_LINKED_MAX = 300
_URGENT = ("failed", "lost")

Href = Callable[[int, int, str], str]


def slot_grid(
    states: Sequence[str], *, label: str = "slots", href: Href | None = None, cells_max: int = CELLS_MAX, first: int = 0
) -> Chart:
    """Draws the state of each slot, `first` onwards. `href(first, last, state)` is the address of these slots, `state` empty
    for all of them. Tiles show failed and lost slots even if they are few."""
    names = [state(name).name for name in states]
    address = href or (lambda first, last, name: "")
    if len(names) <= SIGNS_MAX:
        parts, height = _signs(names, first, address)
        how = ""
    elif len(names) <= cells_max:
        parts, height = _cells(names, first, address)
        how = ""
    else:
        parts, height, how = _tiles(names, first, address)
    counts = Counter(names)
    items = [(one.css_class, f"{counts[name]:,} {name}", one.sign) for name, one in STATES.items() if counts[name]]
    legend, height = key(items, height + 2)
    parts.append(legend)
    if how:
        parts.append(label_text(how, 0, height + 12, "m small"))
        height += 18
    if not names:
        parts.append(label_text("no slots yet", 0, 12, "m"))
        height = 20
    note = ", ".join(filter(None, (svg.counted_of(len(names), len(names)), how)))
    told = ", ".join(text for _, text, _ in items)
    return svg.chart(parts, height, f"{label}, {told}" if told else label, drawn=len(names), of=len(names), note=note)


def _signs(names: Sequence[str], first: int, href: Href) -> tuple[list[str], float]:
    """Cells with signs, each a link."""
    side, parts = 20, []
    columns = WIDTH // side
    for index, name in enumerate(names):
        x, y = index % columns * side, index // columns * side
        slot = first + index
        cell = element("rect", svg.title(f"slot {slot}: {name}"), class_=f"s-{name} f", x=x, y=y, width=18, height=18)
        mark = element("text", STATES[name].sign, x=x + 9, y=y + 13.5, class_=f"on s-{name}", text_anchor="middle")
        parts.append(linked(cell + mark, href(slot, slot, name)))
    return parts, math.ceil(len(names) / columns) * side


def _cells(names: Sequence[str], first: int, href: Href) -> tuple[list[str], float]:
    """Small cells: one path for each state, a link for each row, and one for each run of failed or lost slots."""
    side = 10
    columns = WIDTH // side
    paths: dict[str, list[str]] = {}
    links, urgent = [], []
    for top in range(0, len(names), columns):
        row, y = names[top : top + columns], top // columns * side
        links.append(_hit(row, first + top, 0, y, len(row) * side, side, href))
        x = 0
        for name, run in groupby(row):
            count = len(list(run))
            paths.setdefault(name, []).append(f"M{x * side} {y}h{count * side}v{side}h-{count * side}z")
            if name in _URGENT:
                slots = names[top + x : top + x + count]
                urgent.append(_hit(slots, first + top + x, x * side, y, count * side, side, href, name))
            x += count
    height = math.ceil(len(names) / columns) * side
    gaps = "".join(f"M0 {y}h{WIDTH}" for y in range(0, height + 1, side))
    gaps += "".join(f"M{x} 0v{height}" for x in range(0, WIDTH + 1, side))
    return [*_filled(paths), element("path", class_="gaps", d=gaps), *links, *urgent[:_LINKED_MAX]], height


def _tiles(names: Sequence[str], first: int, href: Href) -> tuple[list[str], float, str]:
    """Tiles of many slots, filled from below by the shares of their states; what failed or was lost is on top."""
    size = _tile_size(len(names))
    side = 16
    columns = WIDTH // side
    paths: dict[str, list[str]] = {}
    links = []
    for tile, top in enumerate(range(0, len(names), size)):
        part = names[top : top + size]
        x, y = tile % columns * side, tile // columns * side
        for name, low, high in _slices(Counter(part), side - 1):
            paths.setdefault(name, []).append(f"M{x} {y + side - 1 - high}h{side - 1}v{high - low}h-{side - 1}z")
        links.append(_hit(part, first + top, x, y, side - 1, side - 1, href))
    how = f"each tile is {size:,} slots"
    return [*_filled(paths), *links], math.ceil(len(links) / columns) * side, how


def _slices(counts: Counter[str], height: int) -> Iterable[tuple[str, int, int]]:
    """(state, from, to) in whole pixels from below. A failed or lost slot gets at least two."""
    total = sum(counts.values())
    pixels = {name: round(counts[name] / total * height) for name in STATES if counts[name]}
    for name in _URGENT:
        if name in pixels:
            pixels[name] = max(2, pixels[name])
    most = max(pixels, key=lambda name: pixels[name])
    pixels[most] += height - sum(pixels.values())
    low = 0
    for name, count in pixels.items():
        if count > 0:
            yield name, low, low + count
            low += count


def _tile_size(count: int) -> int:
    """The smallest of 5, 10, 20, 50 … with which there are few enough tiles."""
    size = 1
    while True:
        for factor in (5, 10, 20):
            if count <= size * factor * TILES_MAX:
                return size * factor
        size *= 10


def _filled(paths: dict[str, list[str]]) -> list[str]:
    return [element("path", class_=f"s-{name} f", d="".join(boxes)) for name, boxes in paths.items()]


def _hit(part: Sequence[str], first: int, x: int, y: int, width: int, height: int, href: Href, name: str = "") -> str:
    """An invisible box that has the title of these slots and their link."""
    last = first + len(part) - 1
    counts = Counter(part)
    told = part[0] if len(counts) == 1 else ", ".join(f"{counts[one]:,} {one}" for one in STATES if counts[one])
    which = f"slot {first}" if first == last else f"slots {first}–{last}"
    box = element("path", svg.title(f"{which}: {told}"), class_="hit", d=f"M{x} {y}h{width}v{height}h-{width}z")
    return linked(box, href(first, last, name))
