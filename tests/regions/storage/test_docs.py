"""docs/reference/stores.md tells of every scheme, parameter, mode and error that there is."""

from __future__ import annotations

import inspect
from pathlib import Path

from regions.storage import BUILT_IN, errors
from regions.storage.url import PARAMETERS

TEXT = Path(__file__).parents[3].joinpath("docs/reference/stores.md").read_text(encoding="utf-8")


def test_every_scheme_and_parameter_is_documented() -> None:
    assert [scheme for scheme in BUILT_IN if f"{scheme}://" not in TEXT] == []
    assert [name for name in PARAMETERS if f"| `{name}` |" not in TEXT] == []


def test_every_error_is_documented_and_no_other() -> None:
    known = {name for name, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__}
    table = TEXT.partition("## Errors")[2].partition("## ")[0]
    told = {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")}
    assert told == known
