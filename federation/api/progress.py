"""Counts how far a run is that a thread of this process drives, and shows it: live in a notebook, else as lines."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from federation.api.html import table_html, text_html
from federation.manifest import Manifest
from federation.run.brain.commands import Tell
from federation.streams import write_note
from federation.text import counted
from federation.workflows.runs import RunStory

_STATES: Mapping[str, str] = {"dispatched": "dispatched", "running": "running", "failed": "failed", "retry": "waiting"}
"""What an event makes of its slot."""
COLUMNS = ("dispatched", "running", "done", "failed")


class Progress:
    """How far a run is. Its text is one line; a notebook shows a table with a line for each region. For any thread."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._keys_a_slot = max(1, sum(manifest.groups.values()))
        self._lock = threading.Lock()
        self._slots: dict[int, tuple[str, str]] = {}
        """(state, region) of each slot that is bound and was heard of."""
        self._ended: Counter[int] = Counter()
        self.results = 0
        """How many results are in the index (of a run without results: how many allocations ended well)."""

    @property
    def expected(self) -> int:
        """How many there will be."""
        return self._manifest.expected_keys or self._manifest.slots * self._keys_a_slot

    def begin(self, story: RunStory) -> None:
        """Counts what a run has that is continued."""
        for result in story.results:
            self.observe(Tell("committed", result.region, result.slot, result.attempt))
        for number, slot in enumerate(story.slots):
            if slot.state == "failed":
                self.observe(Tell("failed", slot.last.region if slot.last else "", number))

    def observe(self, tell: Tell) -> None:
        """Counts one event."""
        with self._lock:
            if tell.kind in ("committed", "ended"):
                self.results += 1
                self._ended[tell.slot] += 1
                if self._ended[tell.slot] >= self._keys_a_slot:
                    self._slots[tell.slot] = "done", tell.region
            elif tell.slot >= 0 and tell.kind in _STATES:
                self._slots[tell.slot] = _STATES[tell.kind], tell.region

    def counts(self) -> Mapping[tuple[str, str], int]:
        """How many slots are in each (state, region)."""
        with self._lock:
            return Counter(self._slots.values())

    def __str__(self) -> str:
        counts = self.counts()
        what = "allocations ended" if self._manifest.results == "none" else "results"
        parts = [f"{self.results:,} of {self.expected:,} {what}"]
        numbers: Counter[str] = Counter()
        for (state, _), count in counts.items():
            numbers[state] += count
        shown_states = ("dispatched", "running", "failed")
        parts += [f"{counted(numbers[state], 'slot')} {state}" for state in shown_states if numbers[state]]
        return ", ".join(parts)

    def __repr__(self) -> str:
        return f"<{self}>"

    def _repr_html_(self) -> str:
        counts = self.counts()
        names = dict.fromkeys([*self._manifest.regions, *(region for _, region in counts if region)])
        lines = [(name, *(counts.get((state, name), 0) for state in COLUMNS)) for name in names]
        bar = f'<progress value="{self.results}" max="{self.expected}"></progress>'
        return f"<p>run {text_html(self._manifest.run)}: {bar} {text_html(self)}</p>" + table_html(
            ("region", *COLUMNS), lines
        )


def shown(progress: Progress, *, is_wanted: bool | None) -> Callable[[], None]:
    """Makes the function that shows the progress as it is now: live in a notebook, as a line on standard error elsewhere.
    `is_wanted` None: only in a notebook."""
    if is_wanted is False or (is_wanted is None and not in_notebook()):
        return lambda: None
    last = ""
    handle: Any = None

    def show() -> None:
        nonlocal last, handle
        if str(progress) == last:
            return
        last = str(progress)
        if not in_notebook():
            write_note(last)
        elif handle is None:
            handle = import_module("IPython.display").display(progress, display_id=True)
        else:
            handle.update(progress)

    return show


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
