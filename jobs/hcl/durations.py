"""A duration as Nomad writes it ("1h30m", "10s") goes in; nanoseconds come out."""

from __future__ import annotations

import re
from decimal import Decimal

from jobs.hcl.values import ARITHMETIC, ValueProblem

_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = re.compile(r"(\d{0,40}(?:\.\d{0,40})?)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_LARGEST = 2**63 - 1


def parse_duration(text: str) -> int:
    """Nanoseconds, rounded towards zero. Raises ValueProblem unless `text` is a number with a unit, or several."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    total, at = 0, 0
    while at < len(rest):
        part = _PART.match(rest, at)
        if part is None or not part.group(1).strip("."):
            at = -1
            break
        total += int(ARITHMETIC.multiply(Decimal(part.group(1)), Decimal(_NANOSECONDS[part.group(2)])))
        at = part.end()
    if at <= 0:
        raise ValueProblem(f'"{text[:40]}" is no duration: it needs a number and a unit, as in "30s", "5m" or "1h30m"')
    if total > _LARGEST:
        raise ValueProblem(f'the duration "{text[:40]}" is too long')
    return sign * total
