"""Results are drawn by what differs: bars of one quantity, a scatter of two, parallel coordinates of more."""

from __future__ import annotations

import pytest

from federation.errors import UsageError
from federation.index.query.fields import Field
from federation.ui.index_chart import picture
from tests.federation.ui.test_index_table import row

LR = [
    row(
        alloc_id=f"a{n}",
        region=("us", "eu")[n % 2],
        params={"lr": f"0.{n + 1}", "seed": "1"},
        metrics={"auc": 0.5 + n / 10},
    )
    for n in range(4)
]


def test_one_parameter_that_differs_and_one_metric_are_a_scatter_in_the_colours_of_regions() -> None:
    drawn = picture(LR, short={"a0": "a"})
    assert (drawn.drawn, drawn.of) == (4, 4)
    assert "auc against lr" in drawn.svg
    assert "<title>a, us: lr 0.1, auc 0.5</title>" in drawn.svg
    assert drawn.svg.count('<circle class="r-0 f"') == drawn.svg.count('<circle class="r-1 f"') == 2


def test_a_metric_alone_is_bars_and_a_text_makes_it_parallel() -> None:
    alone = picture([row(alloc_id=f"a{n}", metrics={"auc": 0.5}) for n in range(3)])
    assert alone.svg.startswith('<svg class="chart" role="img" aria-label="auc: 3 of 3"')
    texts = [row(alloc_id=f"a{n}", metrics={"auc": 0.5}, params={"kind": kind}) for n, kind in enumerate(("x", "y"))]
    assert 'data-id="a0"' in picture(texts).svg


def test_the_columns_that_are_asked_for_are_drawn() -> None:
    kinds = frozenset({"number"})
    fields = [Field("metrics.auc", "metric", "auc", kinds), Field("params.seed", "param", "seed", kinds)]  # type: ignore[arg-type]
    assert "params.seed against metrics.auc" in picture(LR, fields).svg


def test_a_metric_and_a_parameter_of_one_name_are_two_axes() -> None:
    rows = [row(alloc_id=f"a{n}", params={"lr": str(n)}, metrics={"lr": n * 2.0, "auc": n}) for n in range(3)]
    assert [name in picture(rows).svg for name in ('data-name="lr"', 'data-name="metrics.lr"')] == [True, True]


def test_nothing_to_draw_by_is_an_error() -> None:
    with pytest.raises(UsageError, match="nothing to draw"):
        picture([row(metrics={})])
