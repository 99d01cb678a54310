"""The bundled pipeline as its tasks see it: a package called `pipeline`, and a folder to hand over through."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import jobs.examples

EXAMPLE = Path(jobs.examples.__file__).parent / "sales_close_prediction"


@pytest.fixture
def example() -> Path:
    """The folder that `fedml init` copies."""
    return EXAMPLE


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """`import pipeline` works in this process; the shared folder of the allocation is what it gives."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    shared = tmp_path / "alloc"
    monkeypatch.setenv("HANDOVER_DIR", str(shared))
    monkeypatch.delenv("NOMAD_ALLOC_INDEX", raising=False)
    yield shared
    for name in [name for name in sys.modules if name == "pipeline" or name.startswith("pipeline.")]:
        del sys.modules[name]
