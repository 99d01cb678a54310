"""Table of the language's functions by name, except those that read files."""

from __future__ import annotations

from jobs.hcl.functions.collections import COLLECTION_FUNCTIONS
from jobs.hcl.functions.encoding import ENCODING_FUNCTIONS
from jobs.hcl.functions.function import Function
from jobs.hcl.functions.lazy import LAZY_FUNCTIONS
from jobs.hcl.functions.networks import NETWORK_FUNCTIONS
from jobs.hcl.functions.numbers import NUMBER_FUNCTIONS
from jobs.hcl.functions.strings import STRING_FUNCTIONS
from jobs.hcl.functions.times import TIME_FUNCTIONS

__all__ = ["FUNCTIONS", "Function"]

FUNCTIONS: dict[str, Function] = {
    **COLLECTION_FUNCTIONS,
    **ENCODING_FUNCTIONS,
    **LAZY_FUNCTIONS,
    **NETWORK_FUNCTIONS,
    **NUMBER_FUNCTIONS,
    **STRING_FUNCTIONS,
    **TIME_FUNCTIONS,
}
