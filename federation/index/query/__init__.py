"""Compiles a condition as a person writes it (`metrics.auc > 0.75 and region != 'us'`) to SQL with parameters.

text → tokens (`tokens`) → tree (`syntax`) → SQL over the catalog's table of results (`sql`), typed by what fields there
are (`fields`). No part of the text is ever part of the SQL. Everything that is wrong is a `WhereError` with a caret.

Logic is SQL's: a comparison with a missing value (or a NaN) is neither true nor false, and only what is true is found.
"""

from __future__ import annotations

from federation.index.query.fields import Fields
from federation.index.query.order import columns, order
from federation.index.query.sql import Condition, condition
from federation.index.query.tokens import WhereError

__all__ = ["Condition", "Fields", "WhereError", "columns", "condition", "order"]
