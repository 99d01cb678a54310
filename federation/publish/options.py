"""The options of `fedml publish`, declared once: for Typer, for the archive for nodes, and for a plain command line.

Typer and what it needs take longer to import than a folder takes to publish. So what everybody writes (options in full, with
their values, and one path) is read here, and Typer gets the rest: help, mistakes, values that begin with a dash.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

PATH = ("PATH|URL", "A folder, a file, or the URL of objects in a store.")
TEXTS = {
    "--format": ("NAME", "Record the model's format (onnx, pickle)."),
    "--framework": ("NAME", "Record the framework (scikit-learn 1.5.2)."),
    "--data-url": ("URL", "Record the training data's URL. Default: as data.json says."),
    "--data-sha256": ("HEX", "Record the training data's sha256. Default: as data.json says."),
}
"""Options with one value: its name in the help, and the help."""
LISTS = {
    "--metric": ("NAME=VALUE", "Record this metric too, besides those of metrics.json. Repeatable."),
    "--ignore": ("PATTERN", "Leave out files with this name or path (*.tmp, logs/*). Repeatable."),
    "--parent": ("ALLOCATION", "Record that this result was made from the one with this allocation ID. Repeatable."),
}
"""Options that may be repeated."""
CHECK = "Publish nothing. Check whether this task could, and print one line of JSON."


class Given(NamedTuple):
    """The values of one command line."""

    path: str = ""
    format: str = ""
    framework: str = ""
    data_url: str = ""
    data_sha256: str = ""
    metric: Sequence[str] = ()
    ignore: Sequence[str] = ()
    parent: Sequence[str] = ()
    check: bool = False
    json: bool = False


def plain(words: Sequence[str]) -> Given | None:
    """Reads the words after `fedml publish`. None for words that are not plain, and while a shell completes a line."""
    values: dict[str, list[str]] = {name: [] for name in ("", "--check", "--json", *TEXTS, *LISTS)}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if word in ("--check", "--json"):
            values[word].append(word)
        elif name in TEXTS or name in LISTS:
            values[name].append(value if equals else next(rest, "-"))
        else:
            values[""].append(word)
    found = [value for name, given in values.items() if name not in ("--check", "--json") for value in given]
    if len(values[""]) > 1 or any(not value or value[0] == "-" for value in found) or "_FEDML_COMPLETE" in os.environ:
        return None
    fields: dict[str, Any] = {_field(name): values[name][-1] for name in TEXTS if values[name]}
    fields |= {_field(name): values[name] for name in LISTS}
    return Given("".join(values[""]), check=bool(values["--check"]), json=bool(values["--json"]), **fields)


def _field(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")
