"""Shows a run's progress: bars for each region on a terminal, else one line for each event, or JSON Lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace

from federation.manifest import Manifest
from federation.output.json_document import versioned
from federation.output.streams import is_quiet, is_verbose, write_json, write_note
from federation.output.visible import visible_line
from federation.run.brain.commands import Tell
from federation.text import counted
from federation.ui.slot_failures import params_text

SHOWN_ALWAYS = ("failing", "failed", "stopped", "retry", "lost", "back", "region", "cancel")
"""Kinds of events that are also printed as lines above the bars."""
PARAMS_SHOWN = ("failing", "failed", "stopped", "retry")
"""Kinds of events whose lines name the slot's parameters."""


def progress_display(
    manifest: Manifest, *, as_json: bool, already: Callable[[], int] = lambda: 0
) -> AbstractContextManager[Callable[[Tell], None]]:
    """A function that shows each event of the run: as JSON, on a terminal or as plain text. `-q` shows none, but JSON
    is a result. Call it inside the block. `already` gives the number of the run's results that are in the index now."""
    if as_json:
        return nullcontext(_print_json)
    if is_quiet():
        return nullcontext(_print_nothing)
    if not sys.stderr.isatty():
        return nullcontext(_print_line if manifest.code is None or is_verbose() else _print_line_of_code)
    from federation.ui.run_bars import run_bars

    return run_bars(manifest, already(), _line_above)


def event_line(tell: Tell) -> str:
    """One event as a line."""
    where = f"{tell.region:<10}" if tell.region else ""
    slot = f"slot {tell.slot:<5}" if tell.slot >= 0 else ""
    params = f" ({params_text(tell.params)})" if tell.params and tell.kind in PARAMS_SHOWN else ""
    attempt = f" (attempt {tell.attempt})" if tell.attempt > 1 else ""
    if tell.kind == "bound":
        return f"{where} {counted(tell.count, 'slot')} bound"
    said = f"{tell.detail}{attempt}{params}".strip()
    return f"{where} {slot} {tell.kind:<10} {said}".strip()


def _print_line(tell: Tell) -> None:
    if not tell.is_earlier:
        write_note(event_line(tell))


def _print_line_of_code(tell: Tell) -> None:
    """Without Nomad's job of each slot: whoever runs code has the slot's number. A slot of code has one result."""
    if tell.kind == "dispatched":
        tell = replace(tell, detail="")
    elif tell.kind == "committed":
        tell = replace(tell, detail=tell.detail.partition(" ")[2].removeprefix("added").removeprefix(", "))
    _print_line(tell)


def _print_nothing(_: Tell) -> None:
    pass


def _print_json(tell: Tell) -> None:
    fields = asdict(tell)
    write_json(json.dumps(versioned({"event": fields.pop("kind"), **fields}), ensure_ascii=False))


def _line_above(tell: Tell) -> str:
    return visible_line(event_line(tell)) if tell.kind in SHOWN_ALWAYS and not tell.is_earlier else ""
