"""Names that `fedml run` and its tasks agree on: meta keys, folders, files, keys in stores. Pure.

The archive for nodes contains this module, so it must also run under Python 3.9.
"""

from __future__ import annotations

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


def code_object(sha256: str) -> str:
    """Key of the packed code in each store."""
    return f"code/{sha256}.tar.gz"


def program_object(sha256: str) -> str:
    """Key of the program that runs the code, in stores whose nodes get it from there."""
    return f"code/program-{sha256}.pyz"
