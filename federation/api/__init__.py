"""A federation for Python programs and notebooks.

::

    with federation.open("fedml.toml") as fed:
        run = fed.dispatch(slots=20, meta={"epochs": "3"})
        run.wait()
        best = fed.index.list(where="metrics.auc > 0.75", sort="metrics.auc:desc", limit=5)
        fed.index.tag("production", best[0].alloc_id)
        folder = fed.index.get("production")
"""

from __future__ import annotations

from federation.api.curves import CurvePoint, CurvePoints
from federation.api.federation import Federation, open  # noqa: A004 - federation.open reads as it is meant
from federation.api.index import FederatedIndex
from federation.api.results import Results
from federation.api.run import Run
from federation.api.table import Comparison, RunList
from federation.curves import KeepBest

__all__ = [
    "Comparison",
    "CurvePoint",
    "CurvePoints",
    "FederatedIndex",
    "Federation",
    "KeepBest",
    "Results",
    "Run",
    "RunList",
    "open",
]
