"""Draws a run's timeline: on the terminal as a Gantt chart (few attempts) or as waves (many), or as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from federation.errors import UsageError
from federation.run.timeline import Span, Timeline, running_at
from federation.text import install_extra

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


def plot(timeline: Timeline, path: Path, *, title: str) -> None:
    """Draws every attempt as a bar in the colour of its region, as SVG or PNG. Raises UsageError."""
    if path.suffix.lower() not in (".svg", ".png"):
        raise UsageError(
            f"--plot {path} is not a valid name of a picture: it must end in .svg or .png", hint="name it run.svg"
        )
    try:
        import matplotlib as mpl

        mpl.use("agg")
        from matplotlib import pyplot
    except ImportError:
        raise UsageError("--plot needs matplotlib, which isn't installed", hint=install_extra("plot")) from None
    until_s = _until(timeline)
    names = [region.region for region in timeline.regions]
    figure, axes = pyplot.subplots(figsize=(10, 2 + min(10.0, 0.12 * len(timeline.spans))))
    order: Sequence[Span] = sorted(timeline.spans, key=lambda span: (names.index(span.region), span.bound_s, span.slot))
    for row, span in enumerate(order):
        colour = f"C{names.index(span.region)}"
        end_s = _end(span, until_s)
        start_s = end_s if span.started_s is None else span.started_s
        axes.barh(row, start_s - span.bound_s, left=span.bound_s, height=0.9, color=colour, alpha=0.25)
        axes.barh(row, end_s - start_s, left=start_s, height=0.9, color=colour)
        if span.outcome == "failed":
            axes.plot(end_s, row, "x", color="black", markersize=4)
    for number, name in enumerate(names):
        axes.barh(0, 0, color=f"C{number}", label=name)
    axes.set(xlabel="seconds", ylabel="attempts", title=title, yticks=[], xlim=(0, until_s))
    axes.invert_yaxis()
    axes.legend(loc="lower right", frameon=False, title="pale: waits; ×: failed")
    try:
        figure.savefig(path, bbox_inches="tight")
    except OSError as error:
        raise UsageError(f"--plot {path}: can't be written: {error.strerror}") from None
    finally:
        pyplot.close(figure)


def _until(timeline: Timeline) -> float:
    latest = [moment for span in timeline.spans for moment in (span.bound_s, span.started_s, span.ended_s) if moment]
    return max(latest, default=0.0) or 1.0


def _end(span: Span, until_s: float) -> float:
    return until_s if span.ended_s is None else span.ended_s


def _column(moment_s: float, until_s: float) -> int:
    return min(WIDTH, max(0, round(moment_s / until_s * WIDTH)))
