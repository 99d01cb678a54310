"""Draws a run's progress on a terminal: a bar for each region and one for all results, failures in red."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed
from rich.table import Column
from rich.text import Text

from federation.manifest import Manifest
from federation.output.visible import visible_line
from federation.run.brain.commands import Tell
from federation.text import counted
from federation.ui.console import Part, err, styled
from federation.ui.run_count import RunCount

BAR_CHARS, BAR_CHARS_NARROW = 32, 12
WIDE_CHARS = 100
"""From this width on, a long bar leaves room for the counts."""
FAILED = "red"
STYLES = {"failing": FAILED, "failed": FAILED, "retry": "yellow", "lost": "yellow"}
"""Colours of lines above the bars, by the kind of their event."""


class _Note(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Returns the task's note, which has colours of its own."""
        note: Text = task.fields["note"]
        return note


@contextmanager
def run_bars(manifest: Manifest, already: int, line_of: Callable[[Tell], str]) -> Iterator[Callable[[Tell], None]]:
    """A function that counts each event in the bars. It prints the events for which `line_of` has a line above them.

    `already` is the number of the run's results that are in the index before the first event.
    """
    count = RunCount(manifest, already)
    console = err()
    progress = Progress(
        TextColumn("{task.description:<10}", markup=False),
        BarColumn(bar_width=BAR_CHARS if console.width >= WIDE_CHARS else BAR_CHARS_NARROW),
        MofNCompleteColumn(),
        _Note(table_column=Column(no_wrap=True)),
        Elapsed(),
        console=console,
    )
    bars = {name: progress.add_task(visible_line(name), total=0, note=styled("waits")) for name in manifest.regions}
    everything = progress.add_task("all", total=count.most, completed=count.results, note=_all(count))

    def show(tell: Tell) -> None:
        count.take(tell)
        if line := line_of(tell):
            progress.console.print(styled((line, STYLES.get(tell.kind, ""))))
        if tell.region in bars:
            _draw(progress, bars[tell.region], count, tell.region)
        for name, bar in bars.items():  # a slot that moved away changes the total of another region
            progress.update(bar, total=count.expected(name))
        progress.update(everything, completed=count.results, total=count.most, note=_all(count))

    with progress:
        yield show


def _draw(progress: Progress, bar: TaskID, count: RunCount, name: str) -> None:
    region = count.regions[name]
    parts: list[Part] = [f"{region.dispatched} dispatched, {region.started} started"]
    if region.failed:
        parts += [", ", (f"{region.failed} failed", FAILED)]
    progress.update(bar, completed=region.results, note=styled(*parts))


def _all(count: RunCount) -> Text:
    failed, stopped = len(count.failed_slots), len(count.stopped_slots)
    parts: list[Part] = [count.what]
    if stopped:
        parts.append(f", {counted(stopped, 'slot')} stopped")
    if failed:
        parts += [", ", (f"{counted(failed, 'slot')} failed", FAILED)]
    return styled(*parts)
