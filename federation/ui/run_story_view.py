"""Prints one run as it stands: its slots, its attempts, its time. Builds the `--json` documents of these."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from federation.manifest import Manifest, RunCode
from federation.output.streams import write_line
from federation.run.time_spent import PHASES, WHO_LOOKS, TimeSpent
from federation.run.timeline import Timeline
from federation.text import counted, in_words
from federation.ui.console import PLAIN_WIDTH, out, styled, table
from federation.ui.index_table import aligned, when_text
from federation.ui.run_chart import chart
from federation.ui.run_view import named
from federation.ui.slot_failures import failure_lines, failures_document, params_text
from federation.workflows.run_reader import RunStory
from jobs.code_run import with_params
from jobs.spec import FALLBACK_VERSION_KEY

ATTEMPTS_SHOWN = 50


def show_story(story: RunStory) -> None:
    """Prints a run: each slot with its attempts, and why attempts failed."""
    console = out()
    manifest, cancelled = story.manifest, story.cancelled
    by = f" by {cancelled.by} at {when_text(cancelled.at)}" if cancelled else ""
    console.print_line(
        f"Run {named(manifest.run, manifest.name)}: ",
        (story.state, "bold"),
        f"{by}{f' ({story.reason})' if story.reason else ''}, version {manifest.version} of {manifest.job}, "
        f"by {manifest.author} at {manifest.created}",
    )
    if manifest.code is not None:
        console.print_line(_code_text(manifest.code, with_params(manifest.meta)), soft_wrap=True)
    if story.driver is not None and not story.driver.is_driving:
        console.print_line(story.driver.remedy(manifest.run), soft_wrap=True)
    for line in failure_lines(story.failures, story.parameters_of(story.failures)):
        console.print_line(f"  {line}", soft_wrap=True)
    if story.failing:
        console.print_line("Failing now, and not given up:")
    for line in failure_lines(story.failing, story.parameters_of(story.failing)):
        console.print_line(f"  {line}", soft_wrap=True)
    rows: list[tuple[Any, ...]] = [
        (
            number,
            params_text(story.parameters(number)),
            slot.state if slot.state != "open" or slot.attempts else "unbound",
            f"{len(slot.committed)}/{sum(manifest.groups.values())}",
            attempt.number,
            attempt.region,
            attempt.job_id or "-",
            attempt.reason or ("" if attempt.is_open or slot.state == "done" else slot.reason),
        )
        for number, slot in enumerate(story.slots)
        for attempt in slot.attempts
    ]
    if len(rows) > ATTEMPTS_SHOWN:
        bad = [row for row in rows if row[2] != "done" or row[-1]]
        console.print(
            f"{len(rows) - len(bad)} attempts succeeded. Of the others at most {ATTEMPTS_SHOWN} are shown (all: --json)."
        )
        rows = bad[:ATTEMPTS_SHOWN]
    ended = "ended" if manifest.results == "none" else "results"
    columns = ["slot", "parameters", "state", ended, "attempt", "region", "dispatched job", "why it ended"]
    if not any(row[1] for row in rows):
        columns.remove("parameters")
        rows = [(row[0], *row[2:]) for row in rows]
    if rows:
        _show_attempts(columns, rows)


def _code_text(code: RunCode, meta: Mapping[str, str]) -> str:
    """Which code a run has, its commit, its command, and the parameters of all slots, in one line."""
    commit = f", commit {code.git_commit[:10]}{' with changes' if code.git_dirty else ''}" if code.git_commit else ""
    params = params_text(_common_params(meta))
    return f"Code {code.sha256[:12]}{commit}: {shlex.join(code.command)}{f'; all slots: {params}' if params else ''}"


def _common_params(meta: Mapping[str, str]) -> dict[str, str]:
    """The parameters that all slots of code have."""
    return {name: value for name, value in meta.items() if name != FALLBACK_VERSION_KEY}


def _code_document(manifest: Manifest) -> dict[str, Any] | None:
    """What the manifest has of the code, without the jobspec. None for a run of a jobspec of one's own."""
    if manifest.code is None:
        return None
    told = {name: value for name, value in asdict(manifest.code).items() if name != "jobspec"}
    return told | {"params": _common_params(with_params(manifest.meta))}


def _show_attempts(columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    """Prints a table of attempts. On a narrow terminal, it has no dispatched jobs, and reasons stand below their attempt."""
    console = out()
    full = table(columns, rows, numbers=("slot", "attempt"))
    if console.measure(full, options=console.options.update_width(PLAIN_WIDTH)).maximum <= console.width:
        console.print(full)
        return
    heading, *lines = aligned([columns[:-2], *([str(cell) for cell in row[:-2]] for row in rows)]).split("\n")
    write_line(heading)
    for line, row in zip(lines, rows, strict=True):
        write_line(line)
        if row[-1]:
            console.print_line(f"      {row[-1]}", soft_wrap=True)
    write_line("no room for: dispatched job (a wider terminal or --json has it)")


def show_timeline(timeline: Timeline) -> None:
    """Prints a run over time: a bar for each attempt or wave, and where each region's time went."""
    console = out()
    for line in chart(timeline):
        console.print(styled(line), no_wrap=True)
    has_prices = any(region.cost is not None for region in timeline.regions)
    rows = [
        (
            region.region,
            region.attempts,
            region.done,
            region.failed,
            region.peak,
            f"{region.waited_s / max(region.attempts, 1):.1f}",
            f"{region.computed_s / max(region.attempts, 1):.1f}",
            *((("" if region.cost is None else f"{region.cost:.4f}"),) if has_prices else ()),
        )
        for region in timeline.regions
    ]
    columns = (
        "region",
        "attempts",
        "done",
        "failed",
        "at once",
        "waited s",
        "computed s",
        *(("cost",) if has_prices else ()),
    )
    console.print(table(columns, rows, numbers=columns[1:]))
    if timeline.efficiency is not None:
        console.print(
            f"{timeline.took_s:.1f} s. The shortest possible time in the same room is {timeline.bound_s:.1f} s "
            f"({timeline.efficiency:.0%} of the best)."
        )


WORTH_A_LOOK = 0.05
"""Waits that took less of the time of all slots than this aren't pointed out."""


def share(part: float) -> str:
    """`41%`; `<1%` for a little."""
    return "<1%" if 0 < part < 0.005 else f"{part:.0%}"


def spent_line(spent: TimeSpent) -> str:
    """Where the time of all slots went, in one line; empty before any was spent."""
    total_s = spent.total_s
    parts = [
        f"{PHASES[phase]} {share(took_s / total_s)}" for phase, took_s in spent.phases.items() if took_s and total_s
    ]
    return f"Where the time went: {', '.join(parts)}." if parts else ""


def longest_line(spent: TimeSpent) -> str:
    """What took the most time besides computing, and who should look there; empty where that was little."""
    if spent.longest is None:
        return ""
    region, phase = spent.longest
    if spent.regions[region][phase] < WORTH_A_LOOK * spent.total_s:
        return ""
    took = f"{in_words(spent.regions[region][phase])} of all slots together"
    return f"The longest besides computing: {region}, {PHASES[phase]} ({took}). {WHO_LOOKS[phase].capitalize()}."


def show_times(spent: TimeSpent) -> None:
    """Prints where each region's time went, and who should look."""
    console = out()
    phases = [phase for phase, took_s in spent.phases.items() if took_s]
    rows = [
        (region, *(in_words(took[phase]) if took[phase] else "" for phase in phases))
        for region, took in sorted(spent.regions.items())
    ]
    if not rows:
        console.print("No slot has taken any time yet.")
        return
    total = ("all", *(in_words(spent.phases[phase]) for phase in phases))
    columns = ("region", *(PHASES[phase] for phase in phases))
    console.print(table(columns, [*rows, total], numbers=columns[1:]))
    for line in filter(None, (spent_line(spent), longest_line(spent))):
        console.print_line(line, soft_wrap=True)
    if spent.exact < spent.attempts:
        console.print_line(
            f"Nomad's times of {spent.attempts - spent.exact:,} of {counted(spent.attempts, 'attempt')} aren't kept: from the "
            "dispatch to the record they count as computing.",
            soft_wrap=True,
        )


def show_fit(timeline: Timeline) -> None:
    """Prints what tasks used and what they asked for, with the `resources` that would fit if enough attempts were sampled.
    Prints nothing without samples."""
    if not timeline.tasks:
        return
    console = out()
    rows = [
        (
            task.task,
            task.sampled,
            task.cpu_mhz,
            f"{task.used_cpu_mhz:.0f}",
            task.memory_mb,
            f"{task.used_memory_mb:.0f}",
        )
        for task in timeline.tasks
    ]
    columns = ("task", "sampled", "cpu MHz asked", "most used", "memory MB asked", "most used")
    console.print(table(columns, rows, numbers=columns[1:]))
    for task in timeline.tasks:
        cpu_mhz, memory_mb = task.fitting
        if task.is_enough and (cpu_mhz, memory_mb) != (task.cpu_mhz, task.memory_mb):
            console.print_line(
                f"task {task.task}, by the most of {counted(task.sampled, 'sampled attempt')} and a quarter more:  "
                f"resources {{ cpu = {cpu_mhz}, memory = {memory_mb} }}",
                soft_wrap=True,
            )


def timeline_document(timeline: Timeline, spent: TimeSpent) -> dict[str, Any]:
    """The `--json` document of a run over time."""
    return {
        "took_s": timeline.took_s,
        "bound_s": timeline.bound_s,
        "efficiency": timeline.efficiency,
        "regions": [asdict(region) for region in timeline.regions],
        "attempts": [asdict(span) for span in timeline.spans],
        "tasks": [asdict(task) for task in timeline.tasks],
        "time_spent": {**asdict(spent), "total_s": spent.total_s},
    }


def story_document(story: RunStory) -> dict[str, Any]:
    """The `--json` document of a run."""
    manifest = story.manifest
    return {
        "run": manifest.run,
        "name": manifest.name,
        "job": manifest.job,
        "version": manifest.version,
        "state": story.state,
        "reason": story.reason,
        "is_driven": story.driver.is_driving if story.driver else None,
        "opened": manifest.created,
        "author": manifest.author,
        "code": _code_document(manifest),
        "failures": failures_document(story.failures, story.parameters_of(story.failures)),
        "failing": failures_document(story.failing, story.parameters_of(story.failing)),
        "cancelled": asdict(story.cancelled) if story.cancelled else None,
        "slots": [
            {
                "slot": number,
                "params": dict(story.parameters(number)),
                "state": slot.state,
                "reason": slot.reason,
                "committed": sorted(f"{group}[{index}]" for group, index in slot.committed),
                "attempts": [
                    {
                        "attempt": attempt.number,
                        "region": attempt.region,
                        "job_id": attempt.job_id,
                        "reason": attempt.reason,
                    }
                    for attempt in slot.attempts
                ],
            }
            for number, slot in enumerate(story.slots)
        ],
    }
