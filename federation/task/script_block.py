"""Finds the block in which a script declares its dependencies (PEP 723). Pure.

The archive for nodes holds this module, so it must also run under Python 3.9.
"""

from __future__ import annotations

import re

_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
"""The expression of PEP 723."""


def script_blocks(text: str) -> list[re.Match[str]]:
    """The blocks `# /// script` of a script; a valid one has at most one. `content` is what stands in it, with its `#`."""
    return [match for match in _BLOCK.finditer(text) if match["type"] == "script"]
