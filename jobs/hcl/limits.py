"""Limits that keep a small jobspec from taking all time and memory: a few lines can multiply values without end."""

from __future__ import annotations

from jobs.hcl.numbers import NotComputed

TEXT_CHARS_MAX = 4 * 1024 * 1024
STEPS_MAX = 2_000_000
CHARS_A_STEP = 64
BLOCK_STEPS = 100


def bounded_length(chars: int) -> int:
    """Returns the length of a text that is to be built. Raises NotComputed for more than TEXT_CHARS_MAX."""
    if chars > TEXT_CHARS_MAX:
        raise NotComputed(f"the text has more than {TEXT_CHARS_MAX:,} characters")
    return chars


class Budget:
    """Counts the steps of one parse: nodes evaluated, elements and characters produced. Raises NotComputed."""

    def __init__(self, steps: int = STEPS_MAX) -> None:
        self.left = steps

    def spend(self, steps: int = 1) -> None:
        self.left -= steps
        if self.left < 0:
            raise NotComputed(
                f"the jobspec takes more than {STEPS_MAX:,} steps to compute: its values multiply one another"
            )

    def spend_on(self, value: object) -> None:
        """Spends a step on each element inside the value, however often it is shared, and on every 64 characters."""
        stack = [value]
        while stack:
            item = stack.pop()
            if isinstance(item, str):
                self.spend(len(item) // CHARS_A_STEP)
            elif isinstance(item, list):
                self.spend(len(item))
                stack.extend(item)
            elif isinstance(item, dict):
                self.spend(len(item))
                stack.extend(item.values())
