"""The function regex_replace(): RE2, the regular expressions of Go, by Google's library."""

from __future__ import annotations

import re
from typing import Any

from jobs.hcl.limits import bounded_length
from jobs.hcl.values import NotComputed, ValueProblem, to_string

_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})")
_ANY_BYTE = re.compile(r"(?:[^\\]|\\[^C])*\\C", re.DOTALL)
_GROUP_NAME = re.compile(r"\(\?P?<([^=!>][^>]*)>")


def regex_replace(value: object, pattern: object, replacement: object) -> str:
    """Replaces by a pattern. Go's `$1`, `${1}` and `${name}` stand for the matched groups."""
    whole, template, expression = to_string(value), to_string(replacement), compiled(to_string(pattern))
    pieces: list[str] = []
    at, length = 0, 0
    for found in expression.finditer(whole):
        start, end = found.span()
        inserted = _expanded(template, found) if end > at or start == 0 else ""
        pieces += (whole[at:start], inserted)
        length = bounded_length(length + start - at + len(inserted))
        at = end
    return "".join([*pieces, whole[at:]])


def compiled(pattern: str) -> Any:
    """Compiles a regular expression as Go does. Raises ValueProblem, or NotComputed without the library."""
    try:
        import re2
    except ImportError:
        raise NotComputed("the package google-re2, which this function needs, is missing from this Python") from None
    if _ANY_BYTE.match(pattern):
        raise ValueProblem("this is not a valid regular expression: \\C is not possible")
    for name in _GROUP_NAME.findall(pattern):
        if not (name.isascii() and name.replace("_", "a").isalnum()):
            raise ValueProblem(f'this is not a valid regular expression: "{name[:40]}" can\'t name a group')
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as problem:
        reason = problem.args[0] if problem.args else ""
        shown = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise ValueProblem(f"this is not a valid regular expression: {shown}") from None


def _expanded(template: str, found: Any) -> str:
    """Fills in the matched groups. A group that doesn't exist or didn't match is empty."""

    def group(reference: re.Match[str]) -> str:
        name = reference.group(1) or reference.group(2)
        if name is None:
            return "$"
        is_number = name.isascii() and name.isdigit() and (name == "0" or name[0] != "0") and len(name) < 9
        try:
            return found.group(int(name) if is_number else name) or ""
        except (IndexError, KeyError):
            return ""

    return _REFERENCE.sub(group, template)
