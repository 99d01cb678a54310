"""Arithmetic functions."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, DivisionByZero, InvalidOperation, Overflow

from jobs.hcl.functions.function import Function
from jobs.hcl.values import ARITHMETIC, MAX_EXPONENT, ValueProblem, number, to_number, to_whole_number

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
MAX_RANGE = 1024
MAX_DIGITS = 1024


def absolute(value: object) -> int | Decimal:
    given = to_number(value)
    return -given if given < 0 else given


def ceiling(value: object) -> int:
    return int(Decimal(to_number(value)).to_integral_value(ROUND_CEILING))


def floor(value: object) -> int:
    return int(Decimal(to_number(value)).to_integral_value(ROUND_FLOOR))


def logarithm(value: object, base: object) -> int | Decimal:
    import math

    try:
        return number(Decimal(repr(math.log(to_number(value)) / math.log(to_number(base)))))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ValueProblem("this logarithm is not defined") from None


def power(base: object, exponent: object) -> int | Decimal:
    raised_to = Decimal(to_number(exponent))
    if abs(raised_to) > MAX_EXPONENT:
        raise ValueProblem("the exponent is too large")
    try:
        result = ARITHMETIC.power(Decimal(to_number(base)), raised_to)
    except (InvalidOperation, Overflow, DivisionByZero):
        raise ValueProblem("this power is not defined") from None
    return number(result)


def parse_integer(text: object, base: object) -> int:
    if not isinstance(text, str):
        raise ValueProblem("the number has to be given as a string")
    digits, radix = text, to_whole_number(base)
    if not 2 <= radix <= 62:
        raise ValueProblem("the base is from 2 to 62")
    sign = -1 if digits.startswith("-") else 1
    body = digits[1:] if digits[:1] in ("-", "+") else digits
    if radix <= 36:
        body = body.lower()
    if not body or len(body) > MAX_DIGITS or any(digit not in _DIGITS[:radix] for digit in body):
        raise ValueProblem(f'"{digits[:40]}" is not an integer in base {radix}')
    value = 0
    for digit in body:
        value = value * radix + _DIGITS.index(digit)
    return sign * value


def signum(value: object) -> int:
    given = to_whole_number(value)
    return int(given > 0) - int(given < 0)


def largest(*values: object) -> int | Decimal:
    return max(map(to_number, values))


def smallest(*values: object) -> int | Decimal:
    return min(map(to_number, values))


def span(*limits: object) -> list[int | Decimal]:
    """`range(limit)`, `range(start, limit)` or `range(start, limit, step)`, of at most 1024 numbers."""
    numbers = [to_number(limit) for limit in limits]
    start, limit = (numbers[0], numbers[1]) if len(numbers) > 1 else (0, numbers[0])
    step = numbers[2] if len(numbers) == 3 else (1 if limit >= start else -1)
    if step == 0:
        raise ValueProblem("the step can't be zero")
    if (limit - start) * step < 0:
        raise ValueProblem("the step never reaches the limit")
    found: list[int | Decimal] = []
    while (start < limit) if step > 0 else (start > limit):
        if len(found) == MAX_RANGE:
            raise ValueProblem(f"more than {MAX_RANGE} numbers")
        found.append(start)
        start = number(ARITHMETIC.add(Decimal(start), Decimal(step)))
    return found


NUMBER_FUNCTIONS = {
    "abs": Function(absolute, 1, 1),
    "ceil": Function(ceiling, 1, 1),
    "floor": Function(floor, 1, 1),
    "log": Function(logarithm, 2, 2),
    "max": Function(largest, 1, None),
    "min": Function(smallest, 1, None),
    "parseint": Function(parse_integer, 2, 2),
    "pow": Function(power, 2, 2),
    "range": Function(span, 1, 3),
    "signum": Function(signum, 1, 1),
}
