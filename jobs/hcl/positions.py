"""Finds the line of a place in a jobspec."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.hcl.parser import parse_body
from jobs.hcl.source import Source
from jobs.hcl.syntax import Attribute, Block, Body

Step = tuple[str, str | int | None]
"""Name of a block or argument, and the label of the block, or its number from 1 among those of its name."""


_INHERITED = ("consul", "migrate", "reschedule", "restart", "update", "vault")
"""Blocks that a group or task takes from the block around it."""


class Positions:
    """Lines of the blocks and arguments of one jobspec. The text was parsed before without an error."""

    def __init__(self, text: str, filename: str) -> None:
        self._source = Source(text, filename)
        blocks = parse_body(self._source).blocks
        self._job = next((block for block in blocks if block.type == "job"), None)

    def line(self, place: Sequence[Step]) -> int:
        """Returns the line of the innermost step that stands in the text. An inherited block can stand further out."""
        start, around = (self._job.start, [self._job.body]) if self._job else (0, [])
        for name, key in place:
            candidates = around if name in _INHERITED else around[-1:]
            found = next((found for body in reversed(candidates) if (found := _find(body, name, key))), None)
            if found is None:
                break
            start = found.start
            if not isinstance(found, Block):
                break
            around.append(found.body)
        return self._source.position(start)[0]


def _find(body: Body, name: str, key: str | int | None) -> Attribute | Block | None:
    if key is None and name in body.attributes:
        return body.attributes[name]
    if any(block.type == "dynamic" and block.labels and block.labels[0][0] == name for block in body.blocks):
        return None
    blocks = [block for block in body.blocks if block.type == name]
    if isinstance(key, str):
        return next((block for block in blocks if block.labels and block.labels[0][0] == key), None)
    number = key or 1
    return blocks[number - 1] if number <= len(blocks) else None
