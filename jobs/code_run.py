"""Names that `fedml run` and its tasks agree on: meta keys, folders, files, keys in stores. Pure.

The archive for nodes contains this module, so it must also run under Python 3.9.
"""

from __future__ import annotations

import re

CODE_KEY = "fedml_code"
"""Meta: the name of the packed code, the sha256 of the tar within its gzip."""
COMMAND_KEY = "fedml_command"
"""Meta: what the task runs, as JSON (`federation.task.command_line`)."""
PARAMS_KEY = "fedml_params"
"""Meta: the slot's parameters as one JSON object. A job that declares this key takes parameters of any name."""

CODE_FOLDER = "code"
"""In the allocation's shared folder (`$NOMAD_ALLOC_DIR`): the unpacked code. The command's working folder."""
OUTPUT_FOLDER = "output"
"""In the allocation's shared folder: `$FEDML_OUTPUT`. What the command writes there is published."""
METRICS_FILE = "metrics.json"
"""In the output folder: the metrics of the result."""
CURVES_FILE = "metrics.jsonl"
"""In the output folder: one JSON object a line, `{"step": 10, "loss": 0.3}`. The curves of a running or finished task."""


CODE = "code/"
"""In each store: what the keys of packed code, and of the archive that fetches it, begin with."""
_PACKED = re.compile(r"code/([0-9a-f]{64})\.tar\.gz")


def code_object(sha256: str) -> str:
    """Key of the packed code in each store."""
    return f"{CODE}{sha256}.tar.gz"


def code_of(key: str) -> str:
    """The name of the packed code at that key; empty for what isn't packed code."""
    found = _PACKED.fullmatch(key)
    return found[1] if found else ""
