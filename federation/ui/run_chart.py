"""Draws a run's timeline: on the terminal as a Gantt chart (few attempts) or as waves (many), or as a picture."""

from __future__ import annotations

from collections.abc import Callable

from federation.charts import gantt as gantt_chart
from federation.charts.states import region_class
from federation.charts.svg import Chart
from federation.run.timeline import Span, Timeline, running_at
from federation.text import in_words

WIDTH = 60
ROWS_MAX = 30
"""More attempts than this are drawn as waves."""
HEIGHTS = "▁▂▃▄▅▆▇█"
"""From the least to the greatest value."""
_MARKS = {"done": "✓", "failed": "✗", "open": "…", "stopped": "■"}


def gantt(timeline: Timeline) -> list[str]:
    """One line for each attempt: `░` waits, `█` computes, then how it ended."""
    until_s = _until(timeline)
    lines = []
    for span in timeline.spans:
        bound, end = _column(span.bound_s, until_s), _column(_end(span, until_s), until_s)
        start = end if span.started_s is None else _column(span.started_s, until_s)
        bar = " " * bound + "░" * (start - bound) + "█" * max(1, end - start)
        lines.append(f"{span.slot:>5}.{span.attempt} {span.region:<10} {bar:<{WIDTH + 1}}{_MARKS[span.outcome]}")
    return lines


def waves(timeline: Timeline) -> list[str]:
    """One line for each region: how many attempts computed at each moment, scaled to the region's peak."""
    until_s = _until(timeline)
    moments = [(column + 0.5) * until_s / WIDTH for column in range(WIDTH)]
    lines = []
    for region in timeline.regions:
        counts = running_at([span for span in timeline.spans if span.region == region.region], moments, until_s)
        top = max(counts, default=0)
        bars = "".join(f" {HEIGHTS}"[-(-count * 8 // top) if top else 0] for count in counts)
        lines.append(f"{region.region:<10} {bars} {top} at once")
    return lines


def chart(timeline: Timeline) -> list[str]:
    """The chart that suits the number of attempts, with a scale below."""
    lines, indent = (gantt(timeline), 19) if len(timeline.spans) <= ROWS_MAX else (waves(timeline), 11)
    end = f"{_until(timeline):.0f} s"
    return [*lines, f"{'':<{indent}}0{end:>{WIDTH - 1}}"] if lines else []


def picture(
    timeline: Timeline, *, label: str = "", href: Callable[[Span], str] = lambda span: "", until_s: float | None = None
) -> Chart:
    """Draws the attempts of each region over time in its colour, pale while they wait. `href` is the page of an attempt. Open
    ones go on until `until_s` (default: the latest time known)."""
    end_s, is_small = max(until_s or 0.0, _until(timeline)), len(timeline.spans) <= gantt_chart.BARS_MAX
    lanes = [
        gantt_chart.Lane(
            region.region,
            [
                gantt_chart.Span(
                    span.bound_s,
                    span.ended_s,
                    region_class(order),
                    begun_s=end_s if span.started_s is None else span.started_s,
                    ended=span.outcome,
                    title=_told(span) if is_small else "",
                    href=href(span) if is_small else "",
                )
                for span in timeline.spans
                if span.region == region.region
            ],
        )
        for order, region in enumerate(timeline.regions)
    ]
    return gantt_chart.gantt(lanes, label=label, until_s=end_s)


def _told(span: Span) -> str:
    computed = f", computed {in_words(span.computed_s)}" if span.started_s is not None and span.ended_s else ""
    reason = f": {span.reason}" if span.reason else ""
    return (
        f"slot {span.slot}, attempt {span.attempt}: waited {in_words(span.waited_s)}{computed}, {span.outcome}{reason}"
    )


def _until(timeline: Timeline) -> float:
    latest = [moment for span in timeline.spans for moment in (span.bound_s, span.started_s, span.ended_s) if moment]
    return max(latest, default=0.0) or 1.0


def _end(span: Span, until_s: float) -> float:
    return until_s if span.ended_s is None else span.ended_s


def _column(moment_s: float, until_s: float) -> int:
    return min(WIDTH, max(0, round(moment_s / until_s * WIDTH)))
