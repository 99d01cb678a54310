"""Every chart: well formed, safe, alike each time, honest about what it leaves out, whatever it is given."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from federation.charts.bars import Bar, Segment, bars, stacked_bar
from federation.charts.gantt import Lane, Span, gantt
from federation.charts.graph import Node, graph
from federation.charts.lifecycle import Task, lifecycle
from federation.charts.parallel import Row, parallel
from federation.charts.plane import Mark, Series, line, scatter, sparkline
from federation.charts.slots import slot_grid
from federation.charts.states import STATES
from federation.charts.svg import Chart, style

EVIL = "<script>alert(1)</script>\"'&\x1b[31m\x00\u202e\ud800]]>"
HREF = 'javascript:alert("1")'
ODD = (math.nan, math.inf, -math.inf, 1.7e308, -1.7e308, 5e-324, 0.0, -0.0)

Make = Callable[[str, str, tuple[float, ...]], Chart]
CHARTS: dict[str, Make] = {
    "stacked_bar": lambda text, href, values: stacked_bar(
        [Segment(text, value, text, href=href) for value in values], label=text, unit=text
    ),
    "bars": lambda text, href, values: bars(
        [Bar(text, value, total, text, href, text) for value in values for total in (None, value)], label=text
    ),
    "slot_grid": lambda text, href, values: slot_grid([text] * len(values), label=text, href=lambda *_: href),
    "gantt": lambda text, href, values: gantt(
        [Lane(text, [Span(value, None, text, value, text, text, href) for value in values], text, href)], label=text
    ),
    "gantt of many": lambda text, href, values: gantt(
        [Lane(text, [Span(value, value, text, value, href=href) for value in values])], label=text, limit=0
    ),
    "line": lambda text, href, values: line(
        [Series(text, [Mark(n, value, text, text, href) for n, value in enumerate(values)], text, href=href)] * 2,
        label=text, x_label=text, y_label=text,
    ),
    "scatter": lambda text, href, values: scatter(
        [Mark(value, value, text, text, href) for value in values], label=text, x_label=text, y_label=text, names={text: text}
    ),
    "parallel": lambda text, href, values: parallel(
        [Row(text, {text: text, "n": value, "missing": None}, text, text, href) for value in values],
        [text, "n", "missing"], names={text: text}, label=text, brush={text: (0, 1), "n": (math.nan, 1)},
    ),
    "lifecycle": lambda text, href, values: lifecycle([Task(text, text, text, True, text, href) for _ in values], label=text),
    "graph": lambda text, href, values: graph(
        [Node(f"{text}{n}", text, text, text, text, href) for n, _ in enumerate(values)], [(text, text)], label=text
    ),
    "sparkline": lambda text, href, values: sparkline(values, label=text, kind=text),
}  # fmt: skip
BY_NAME = pytest.mark.parametrize("make", CHARTS.values(), ids=CHARTS)


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def sound(chart: Chart) -> None:
    """Is well formed with nothing that a strict policy refuses, and with numbers only where numbers belong."""
    for element in parsed(chart.svg).iter():
        assert element.tag in {"svg", "g", "a", "rect", "path", "line", "circle", "text", "title"}
        assert not {name for name in element.attrib if name.startswith("on") or name == "style"}
        places = [element.get(name, "0") for name in ("x", "y", "width", "height", "cx", "cy", "x1", "x2", "y1", "y2")]
        assert all(re.fullmatch(r"-?\d+(\.\d+)?%?", place) for place in places), places
        assert all(float(element.get(name, "0").rstrip("%")) >= 0 for name in ("width", "height"))
        assert re.fullmatch(r"[MLHVChvz0-9. -]*", element.get("d", ""))
    assert parsed(chart.standalone()).get("viewBox") == f"0 0 {(chart.width or 720) + 24} {chart.height + 24}"


@BY_NAME
@pytest.mark.parametrize("values", [(), (3.0,), (0.0, 0.0), (1.0, 20.0, 300.0), ODD], ids=str)
def test_any_values_make_a_sound_picture_and_the_same_one_again(make: Make, values: tuple[float, ...]) -> None:
    chart = make("plain", "/runs/1", values)
    sound(chart)
    assert chart == make("plain", "/runs/1", values)
    assert chart.drawn <= chart.of
    assert f"{chart.of:,}" in chart.note


@BY_NAME
def test_hostile_text_and_addresses_stay_text(make: Make) -> None:
    chart = make(EVIL, HREF, (1.0, 2.0))
    sound(chart)
    assert not re.search(r"<script|[\x00-\x1f\u202e]|<a |javascript", chart.svg)
    assert parsed(chart.svg).get("role") == "img"


@pytest.mark.parametrize("href", ["//evil.example", "/\\evil.example", "data:text/html,x", " javascript:1", "/a\nb"])
def test_links_lead_to_our_pages_or_to_named_ones(href: str) -> None:
    assert "<a " not in bars([Bar("a", 1, href=href)]).svg
    for fine in ("?slot=1&state=failed", "/runs/1", "#a", "https://nomad.example/ui"):
        assert parsed(bars([Bar("a", 1, href=fine)]).svg)[0].get("href") == fine


def test_a_picture_with_links_is_no_image_for_screen_readers() -> None:
    assert parsed(bars([Bar("a", 1, href="/a")], label="memory").svg).attrib.items() >= {
        ("role", "group"),
        ("aria-label", "memory: 1 of 1"),
    }


def test_100000_slots_are_small_and_a_single_failed_one_is_seen() -> None:
    states = ["done"] * 60_000 + ["running"] * 1000 + ["waiting"] * 39_000
    states[5] = "failed"
    chart = slot_grid(states, href=lambda first, last, state: f"/runs/019ab3a0/slots?from={first}&to={last}")
    sound(chart)
    assert chart.drawn == chart.of == 100_000
    assert chart.note == "100,000 of 100,000, each tile is 200 slots"
    assert "slots 0–199: 199 done, 1 failed" in chart.svg
    assert re.search('class="s-failed f" d="M[^"]+v2h', chart.svg)
    assert len(chart.svg) < 100_000
    mixed = slot_grid(
        [list(STATES)[n * 7919 % 6] for n in range(100_000)], href=lambda first, last, state: f"?slots={first}-{last}"
    )
    assert len(mixed.svg) <= 150_000


@pytest.mark.parametrize("count", [1, 128, 129, 2000, 2001])
def test_every_slot_is_in_the_grid_and_linked(count: int) -> None:
    seen: set[int] = set()
    slot_grid(["done"] * count, href=lambda first, last, state: str(seen.update(range(first, last + 1))), first=10)
    assert seen == set(range(10, 10 + count))


def test_failed_slots_between_cells_have_links_of_their_own() -> None:
    states = ["done"] * 500
    states[40:43] = ["failed"] * 3
    svg = slot_grid(states, href=lambda first, last, state: f"?slots={first}-{last}&state={state}").svg
    assert '<a href="?slots=40-42&amp;state=failed">' in svg
    assert "<title>slots 40–42: failed</title>" in svg


def test_more_marks_than_the_limit_are_sampled_and_said() -> None:
    chart = scatter([Mark(n, n) for n in range(80_000)], limit=5000)
    assert (chart.drawn, chart.of, chart.note) == (5000, 80_000, "5,000 of 80,000, drawn by reservoir")
    assert chart.svg.count("<circle") == 5000
    assert "5,000 of 80,000, drawn by reservoir</text>" in chart.svg
    rows = [Row(str(n), {"a": n}) for n in range(3000)]
    assert parallel(rows, ["a"]).note == "1,000 of 3,000, drawn by reservoir"
    assert bars([Bar("a", 1)] * 200).note == "100 of 200, the first ones"


def test_what_has_no_number_is_counted() -> None:
    chart = scatter([Mark(1, 2), Mark(math.nan, 1), Mark(2, 3)])
    assert chart.note == "2 of 3, the others have no number here"


def test_many_attempts_are_added_up() -> None:
    spans = [Span(n % 10, n % 10 + 5, "r-0", n % 10 + 1) for n in range(400)]
    chart = gantt([Lane("us", spans)])
    assert chart.note == "400 of 400, added up: how many at each moment"
    assert "400 attempts, at most 200 at once" in chart.svg
    assert len(chart.svg) < 20_000


def test_attempts_that_overlap_stand_below_one_another() -> None:
    root = parsed(gantt([Lane("us", [Span(0, 10), Span(5, 15), Span(12, 20)])]).svg)
    assert [bar.get("y") for bar in root.iter("rect")] == ["18", "30", "18"]


@pytest.mark.parametrize(
    ("until_s", "shown", "not_shown"),
    [(200, ">150 s<", "0:02 h"), (1_000, ">5 min<", " s<"), (9_000, ">2:00 h<", "120 min")],
)
def test_the_time_axis_counts_in_what_its_length_is_counted_in(until_s: float, shown: str, not_shown: str) -> None:
    svg = gantt([Lane("us", [Span(0, until_s)])]).svg
    assert shown in svg
    assert not_shown not in svg


def test_the_axis_is_logarithmic_where_values_span_two_decades_unless_told() -> None:
    wide, narrow = [Mark(n, 10.0**n) for n in range(4)], [Mark(n, n + 1) for n in range(4)]
    assert "loss (log)" in line([Series("a", wide)], y_label="loss").svg
    assert "(log)" not in line([Series("a", wide)], y_label="loss", log=False).svg
    assert "(log)" not in line([Series("a", narrow)], y_label="loss").svg
    assert "loss (log)" in line([Series("a", narrow)], y_label="loss", log=True).svg
    below = line([Series("a", [*wide, Mark(4, -1)])], y_label="loss", log=True)
    assert below.note == "4 of 5, the others have no number here"


def test_bars_begin_at_zero() -> None:
    low, high = (
        bar for bar in parsed(bars([Bar("a", 98), Bar("b", 100)]).svg).iter("rect") if bar.get("class") != "track"
    )
    assert (low.get("x"), low.get("width"), high.get("width")) == ("0%", "98%", "100%")
    negative, positive = (
        bar for bar in parsed(bars([Bar("a", -50), Bar("b", 50)]).svg).iter("rect") if bar.get("class") != "track"
    )
    assert (negative.get("x"), negative.get("width"), positive.get("x")) == ("8.33%", "41.67%", "50%")


def test_a_brush_dims_the_other_lines() -> None:
    rows = [Row(str(n), {"a": n, "b": -n}, href=f"/{n}") for n in range(5)]
    chart = parallel(rows, ["a", "b"], brush={"a": (2, 3)})
    assert chart.note == "5 of 5, 2 selected"
    dim = {path.get("data-id") for path in parsed(chart.svg).iter("path") if "dim" in path.get("class", "").split()}
    assert dim == {"0", "1", "4"}
    assert '<rect class="brush"' in chart.svg
    axis = next(group for group in parsed(chart.svg).iter("g") if group.get("data-name") == "a")
    assert (axis.get("data-min"), axis.get("data-max"), axis.get("data-log")) == ("0", "4", "false")


def test_a_circle_and_unknown_nodes_do_not_stop_a_graph() -> None:
    chart = graph([Node("a", "a"), Node("b", "b")], [("a", "b"), ("b", "a"), ("a", "gone"), ("a", "a")])
    sound(chart)
    assert "2 nodes, 2 edges" in chart.svg


def test_every_class_has_a_colour_on_screen_and_the_style_is_one_file() -> None:
    for one in STATES.values():
        assert f".chart .{one.css_class} {{ color: light-dark(" in style()
    alone = bars([Bar("a", 1)]).standalone()
    assert "light-dark" not in alone
    assert "@media screen and (prefers-color-scheme:dark){" in alone
    assert "@media print" in alone
    assert alone.count("<style>") == 1
    assert alone.count("{") == alone.count("}")
