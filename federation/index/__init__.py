"""One versioned index of the results of all regions and clouds: `Index`, over a log in the home store."""

from __future__ import annotations

from federation.index.columns import Row
from federation.index.index import Index
from federation.index.rows import RESULT_STATES, OpenedRun, RunRow
from federation.index.validation import checked_name, checked_record, checked_version

__all__ = ["RESULT_STATES", "Index", "OpenedRun", "Row", "RunRow", "checked_name", "checked_record", "checked_version"]
