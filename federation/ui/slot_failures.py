"""Names a slot by its number and parameters, and groups failed slots by reason: for lines and for `--json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from federation.text import counted, shortened
from jobs.params.values import Value, text_of

Params = Mapping[str, Value]
VALUE_CHARS = 40
LABEL_CHARS = 120
"""Longer texts are cut: a line stays a line."""
REASONS_SHOWN = 10
SLOTS_SHOWN = 10


def params_text(params: Params) -> str:
    """`lr=0.1, depth=5`; long values are cut."""
    shown = (f"{name}={shortened(text_of(value), VALUE_CHARS)}" for name, value in params.items())
    return shortened(", ".join(shown), LABEL_CHARS)


def slot_label(slot: int, params: Params) -> str:
    """`slot 9 (lr=0.1, depth=5)`; without parameters `slot 9`."""
    return f"slot {slot} ({params_text(params)})" if params else f"slot {slot}"


def failure_lines(failures: Mapping[int, str], params: Mapping[int, Params]) -> Iterator[str]:
    """Lines that say which slots failed and why, with the most frequent reason first."""
    groups = by_reason(failures)
    for reason, slots in groups[:REASONS_SHOWN]:
        if len(slots) == 1:
            yield f"{slot_label(slots[0], params.get(slots[0], {}))}: {reason}"
            continue
        shared = shared_params([params.get(slot, {}) for slot in slots])
        yield f"{counted(len(slots), 'slot')}{f', all with {params_text(shared)}' if shared else ''}: {reason}"
        yield from _slot_lines(slots, params)
    if len(groups) > REASONS_SHOWN:
        more = sum(len(slots) for _, slots in groups[REASONS_SHOWN:])
        yield f"… and {counted(more, 'slot')} for {counted(len(groups) - REASONS_SHOWN, 'other reason')}"


def failures_document(failures: Mapping[int, str], params: Mapping[int, Params]) -> list[dict[str, Any]]:
    """The same as JSON: each reason with its slots."""
    return [
        {"reason": reason, "slots": [{"slot": slot, "params": dict(params.get(slot, {}))} for slot in slots]}
        for reason, slots in by_reason(failures)
    ]


def by_reason(failures: Mapping[int, str]) -> list[tuple[str, list[int]]]:
    """The reasons with their slots, the most frequent first."""
    groups: dict[str, list[int]] = {}
    for slot, reason in sorted(failures.items()):
        groups.setdefault(reason, []).append(slot)
    return sorted(groups.items(), key=lambda group: -len(group[1]))


def shared_params(params: Sequence[Params]) -> Params:
    """The parameters that all of these have with the same value; none where they don't differ at all."""
    first = params[0]
    shared = {name: value for name, value in first.items() if all(name in one and one[name] == value for one in params)}
    return shared if len(shared) < len(first) else {}


def _slot_lines(slots: list[int], params: Mapping[int, Params]) -> Iterator[str]:
    if not any(params.get(slot) for slot in slots):
        more = f" and {len(slots) - 3 * SLOTS_SHOWN} more" if len(slots) > 3 * SLOTS_SHOWN else ""
        yield f"  slots {', '.join(map(str, slots[: 3 * SLOTS_SHOWN]))}{more}"
        return
    for slot in slots[:SLOTS_SHOWN]:
        yield f"  {slot_label(slot, params.get(slot, {}))}"
    if len(slots) > SLOTS_SHOWN:
        yield f"  … and {len(slots) - SLOTS_SHOWN} more"
