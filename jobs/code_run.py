"""Names that `fedml run` and its tasks agree on: meta keys, folders, files, keys in stores. Pure.

The archive for nodes contains this module, so it must also run under Python 3.9.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from jobs.errors import ForeignTextError
from jobs.foreign import kind_of, parse_object
from jobs.json_limits import Limits

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

AT_FAULT = "Error in the code: "
"""How the last line begins that a task writes where its code fails alike in every region."""

CODE = "code/"
"""In each store: what the keys of packed code, and of the archive that fetches it, begin with."""
_PACKED = re.compile(r"code/([0-9a-f]{64})\.tar\.gz")
_LIMITS = Limits(whole_max=10**4300)


def code_object(sha256: str) -> str:
    """Key of the packed code in each store."""
    return f"{CODE}{sha256}.tar.gz"


def code_of(key: str) -> str:
    """The name of the packed code at that key; empty for what isn't packed code."""
    found = _PACKED.fullmatch(key)
    return found[1] if found else ""


def program_object(sha256: str) -> str:
    """Key of the program that runs the code, in stores whose nodes get it from there."""
    return f"{CODE}program-{sha256}.pyz"


def params_of(text: str, *, source: str = PARAMS_KEY) -> dict[str, str]:
    """The parameters in the meta `fedml_params`, each as the text that a person wrote: `{"lr":1e-5}` gives `1e-5`.

    Raises ForeignTextError for what is not one JSON object of texts, numbers, true and false.
    """
    parse_object(text, source=source, limits=_LIMITS)
    values: dict[str, Any] = json.loads(text, parse_int=str, parse_float=str)
    params: dict[str, str] = {}
    for name, value in values.items():
        if not isinstance(value, (str, bool)):
            raise ForeignTextError(f"{source}: {name!a} is {kind_of(value)}, not a text, a number, true or false")
        params[name] = value if isinstance(value, str) else str(value).lower()
    return params


def with_params(meta: Mapping[str, str]) -> dict[str, str]:
    """The meta of a dispatch as people know it: parameters by their names, without what only the tasks of `fedml run` read.

    Raises ForeignTextError.
    """
    own = (CODE_KEY, COMMAND_KEY, PARAMS_KEY)
    return {name: value for name, value in meta.items() if name not in own} | params_of(meta.get(PARAMS_KEY) or "{}")
