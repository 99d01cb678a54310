"""A run's outcome enters, what a person (or `--json`) reads of it leaves."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from federation.run.timeline import Timeline
from federation.text import counted
from federation.ui.console import err, out, styled, table
from federation.ui.run_chart import chart
from federation.workflows.drive import RunOutcome
from federation.workflows.runs import RunStory

FAILURES_SHOWN = 10
ATTEMPTS_SHOWN = 50


def show_outcome(outcome: RunOutcome) -> None:
    """Print how a run ended and what to do next (on stderr: the data is in the index)."""
    console = err()
    manifest = outcome.manifest
    console.print_line(
        f"Run {manifest.run}: ",
        (outcome.state, "bold"),
        f", {outcome.done} of {counted(manifest.slots, 'slot')}, version {manifest.version} of {manifest.job}",
        soft_wrap=True,
    )
    for slot, reason in list(outcome.failures.items())[:FAILURES_SHOWN]:
        console.print_line(f"  slot {slot}: {reason}", soft_wrap=True)
    if len(outcome.failures) > FAILURES_SHOWN:
        console.print(f"  … and {len(outcome.failures) - FAILURES_SHOWN} more")
    for region, attempts in outcome.left.items():
        console.print_line(
            f"{region} did not answer: up to {counted(attempts, 'attempt')} may still run there; "
            f"stopped by the next dispatch that reaches it, or:  fedml runs resume {manifest.run}; what they publish all "
            "the same is entered by:  fedml index sync",
            soft_wrap=True,
        )
    if outcome.state == "done" and manifest.results == "publish":
        console.print_line(f"See them:  fedml index list --version {manifest.version}", soft_wrap=True)


def outcome_document(outcome: RunOutcome) -> dict[str, Any]:
    """The outcome as `--json` prints it."""
    manifest = outcome.manifest
    return {
        "event": "end",
        "run": manifest.run,
        "job": manifest.job,
        "version": manifest.version,
        "state": outcome.state,
        "reason": outcome.reason,
        "slots": manifest.slots,
        "done": outcome.done,
        "failed": outcome.failed,
        "failures": {str(slot): reason for slot, reason in outcome.failures.items()},
        "left": dict(outcome.left),
    }


def show_story(story: RunStory) -> None:
    """Print a run: each slot with its attempts, and why those that ended badly did."""
    console = out()
    manifest = story.manifest
    console.print_line(
        f"Run {manifest.run}: ",
        (story.state, "bold"),
        f"{f' ({story.reason})' if story.reason else ''}, version {manifest.version} of {manifest.job}, "
        f"by {manifest.author} at {manifest.created}",
    )
    rows = [
        (
            number,
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
        bad = [row for row in rows if row[1] != "done" or row[6]]
        console.print(
            f"{len(rows) - len(bad)} attempts went well; of the others at most {ATTEMPTS_SHOWN} (all: --json)"
        )
        rows = bad[:ATTEMPTS_SHOWN]
    columns = ("slot", "state", "results", "attempt", "region", "dispatched job", "why it ended")
    if rows:
        console.print(table(columns, rows, numbers=("slot", "attempt")))


def show_timeline(timeline: Timeline) -> None:
    """Print a run over time: each attempt or wave as a bar, and where the time went, per region."""
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
            f"{timeline.took_s:.1f} s; with the room that it had, no less than {timeline.bound_s:.1f} s "
            f"({timeline.efficiency:.0%} of the best)"
        )


def show_fit(timeline: Timeline) -> None:
    """Print what tasks took against what they asked for, and the `resources` that would fit; nothing when none was seen."""
    if not timeline.tasks:
        return
    console = out()
    rows = [
        (one.task, one.sampled, one.cpu_mhz, f"{one.used_cpu_mhz:.0f}", one.memory_mb, f"{one.used_memory_mb:.0f}")
        for one in timeline.tasks
    ]
    columns = ("task", "sampled", "cpu MHz asked", "most used", "memory MB asked", "most used")
    console.print(table(columns, rows, numbers=columns[1:]))
    for one in timeline.tasks:
        cpu_mhz, memory_mb = one.fitting
        if (cpu_mhz, memory_mb) != (one.cpu_mhz, one.memory_mb):
            told = f"task {one.task} would do with:  resources {{ cpu = {cpu_mhz}, memory = {memory_mb} }}"
            console.print_line(told)


def timeline_document(timeline: Timeline) -> dict[str, Any]:
    """A run over time as `--json` prints it."""
    return {
        "took_s": timeline.took_s,
        "bound_s": timeline.bound_s,
        "efficiency": timeline.efficiency,
        "regions": [asdict(region) for region in timeline.regions],
        "attempts": [asdict(span) for span in timeline.spans],
        "tasks": [asdict(one) for one in timeline.tasks],
    }


def story_document(story: RunStory) -> dict[str, Any]:
    """A run as `--json` prints it."""
    manifest = story.manifest
    return {
        "run": manifest.run,
        "job": manifest.job,
        "version": manifest.version,
        "state": story.state,
        "reason": story.reason,
        "created": manifest.created,
        "author": manifest.author,
        "slots": [
            {
                "slot": number,
                "state": slot.state,
                "reason": slot.reason,
                "committed": sorted(f"{group}[{index}]" for group, index in slot.committed),
                "attempts": [
                    {"attempt": one.number, "region": one.region, "job_id": one.job_id, "reason": one.reason}
                    for one in slot.attempts
                ],
            }
            for number, slot in enumerate(story.slots)
        ],
    }


def exit_code(state: str) -> int:
    """The exit code that belongs to a run's state."""
    return 0 if state in ("done", "open") else 2
