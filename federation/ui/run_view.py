"""Prints runs: the list, a run's end, what its tasks wrote. Builds the `--json` documents of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from federation.index.rows import OPEN, RunRow
from federation.output.streams import write_block, write_line, write_task_output
from federation.output.visible import visible_line
from federation.text import counted, shortened, size_text
from federation.ui.console import err, out
from federation.ui.index_table import aligned, when_text
from federation.ui.slot_failures import failure_lines, failures_document
from federation.workflows.drive import RunOutcome
from federation.workflows.prune import Pruned
from federation.workflows.run_list import RunList
from federation.workflows.run_output import Written

_CELL_CHARS_MIN = 4
_YEAR_CHARS = len("2026-")


def show_runs(rows: Sequence[RunRow], short: Mapping[str, str]) -> None:
    """Prints one line for each run. On a narrow terminal, names and people are cut off; IDs, states and counts never are."""
    has_names = any(row.name for row in rows)
    heading = ["run", *(("name",) if has_names else ()), "job", "version", "author", "state", "results", "opened"]
    lines = [
        [
            short[row.run],
            *((row.name or "-",) if has_names else ()),
            row.job,
            row.version,
            row.author,
            row.state,
            row.results,
            when_text(row.opened),
        ]
        for row in rows
    ]
    if _width([heading, *lines]) > out().width:
        lines = [[*line[:-1], line[-1][_YEAR_CHARS:]] for line in lines]
    _write_fitted(heading, lines, range(1, heading.index("state")))


def runs_document(found: RunList, revision: int) -> dict[str, Any]:
    """The `--json` document of a list of runs."""
    rows = [
        asdict(row) | {"is_driven": row.run not in found.undriven if row.state == OPEN else None} for row in found.rows
    ]
    return {"revision": revision, "total": found.total, "states": dict(found.states), "runs": rows}


def show_pruned(rows: Sequence[Pruned], short: Mapping[str, str]) -> None:
    """Prints what was pruned of each run, or would be. On a narrow terminal, only the job's name is cut off."""
    heading = ["run", "job", "closed", "objects", "size"]
    lines = [
        [short[row.run], row.job, when_text(row.closed), str(row.objects), size_text(row.size_bytes)] for row in rows
    ]
    _write_fitted(heading, lines, (1,))


def _write_fitted(heading: list[str], lines: list[list[str]], flexible: Sequence[int]) -> None:
    """Prints a table, whose columns in `flexible` are cut off as far as the terminal has no room."""
    room = out().width
    while _width([heading, *lines]) > room:
        widest = max(flexible, key=lambda place: max(len(line[place]) for line in lines))
        chars = max(len(line[widest]) for line in lines) - 1
        if chars < _CELL_CHARS_MIN:
            break
        lines = [[*line[:widest], shortened(line[widest], chars), *line[widest + 1 :]] for line in lines]
    write_block(aligned([heading, *lines]))


def _width(lines: Sequence[Sequence[str]]) -> int:
    return sum(max(map(len, column)) for column in zip(*lines, strict=True)) + 2 * (len(lines[0]) - 1)


def show_outcome(outcome: RunOutcome) -> None:
    """Prints on standard error how a run ended and what to do next."""
    console = err()
    manifest = outcome.manifest
    stopped = f"{len(outcome.stopped):,} stopped by a rule, " if outcome.stopped else ""
    console.print_line(
        f"Run {named(manifest.run, manifest.name)}: ",
        (outcome.state, "bold red" if outcome.state == "failed" else "bold"),
        f", {outcome.done} of {counted(manifest.slots, 'slot')}, {stopped}version {manifest.version} of {manifest.job}",
        soft_wrap=True,
    )
    for line in failure_lines(outcome.failures, outcome.params):
        console.print_line((f"  {line}", "red"), soft_wrap=True)
    for region, attempts in outcome.left.items():
        console.print_line(
            f"{region} did not answer: up to {counted(attempts, 'attempt')} may still run there. The next dispatch that "
            f"reaches {region} stops them, or:  fedml runs resume {manifest.run}. Results that they publish are added "
            "by:  fedml index sync",
            soft_wrap=True,
        )
    if outcome.failures:
        console.print_line(f"What they wrote:  fedml runs logs {manifest.run} --failed", soft_wrap=True)
        again = f"dispatch --failed-of {manifest.run}" if outcome.state == "cancelled" else f"runs retry {manifest.run}"
        console.print_line(f"Try them again:   fedml {again}", soft_wrap=True)
        if manifest.code is not None:
            console.print_line(f"With other code:  fedml run … --failed-of {manifest.run}", soft_wrap=True)
    if outcome.state == "done" and manifest.results == "publish":
        job = f"--job {manifest.job} " if manifest.code is not None else ""  # a folder of scripts has many jobs
        console.print_line(f"See them:  fedml index list {job}--version {manifest.version}", soft_wrap=True)


def outcome_document(outcome: RunOutcome) -> dict[str, Any]:
    """The `--json` document of a run's outcome."""
    manifest = outcome.manifest
    return {
        "event": "end",
        "run": manifest.run,
        "name": manifest.name,
        "job": manifest.job,
        "version": manifest.version,
        "state": outcome.state,
        "reason": outcome.reason,
        "slots": manifest.slots,
        "done": outcome.done,
        "failed": outcome.failed,
        "failures": failures_document(outcome.failures, outcome.params),
        "stopped": [
            {"slot": slot, "params": dict(outcome.params.get(slot, {})), "reason": reason}
            for slot, reason in outcome.stopped.items()
        ],
        "left": dict(outcome.left),
    }


def end_document(row: RunRow) -> dict[str, Any]:
    """The `--json` document of the end of a run that another process drove."""
    return {"event": "end", "run": row.run, "state": row.state, "reason": row.reason}


def end_line(row: RunRow) -> str:
    """How such a run ended, in one line."""
    results = "" if row.results == "-" else f", {counted(row.committed, 'result')}"
    return f"Run {named(row.run, row.name)}: {row.state}{f' ({row.reason})' if row.reason else ''}{results}"


def named(run: str, name: str) -> str:
    """A run's ID with its name, where it has one."""
    return f"{run} ({name})" if name else run


def show_task_output(piece: Written) -> None:
    """Prints one piece of a task's output below a heading."""
    kept = ", kept" if piece.is_kept else ""
    attempt = f", attempt {piece.attempt}" if piece.attempt > 1 else ""
    write_line(f"==> slot {piece.slot}{attempt}, {piece.region}, task {piece.task}, {piece.kind}{kept} <==")
    write_task_output(piece.text.rstrip("\n"))


def show_task_line(piece: Written) -> None:
    """Prints each line of a task's output after the slot and the task."""
    head = visible_line(f"slot {piece.slot} {piece.task} | ")
    for line in piece.text.rstrip("\n").split("\n"):
        write_task_output(head + line)


def exit_code(state: str) -> int:
    """The exit code of a command whose run has this state."""
    return 0 if state in ("done", "open") else 2
