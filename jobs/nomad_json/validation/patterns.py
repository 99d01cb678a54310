"""Says what is wrong with a regular expression, in the words of Go."""

from __future__ import annotations

from jobs.hcl.functions.patterns import compiled
from jobs.hcl.values import NotComputed, ValueProblem

_WORDS = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid repetition size": "invalid repeat count",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
    "trailing \\": "trailing backslash at end of expression",
}
"""What the library for C++ says → what Go's says."""


def pattern_problem(pattern: str) -> str:
    """Returns what is wrong with a regular expression, or ""."""
    try:
        compiled(pattern)
    except NotComputed:
        return ""  # the server checks it
    except ValueProblem as problem:
        reason, _, part = str(problem).partition("expression: ")[2].partition(": ")
        return f"error parsing regexp: {_WORDS.get(reason, reason)}: `{part}`"
    return ""
