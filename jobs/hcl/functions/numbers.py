"""Arithmetic functions."""

from __future__ import annotations

import math

from jobs.hcl.functions.function import Function
from jobs.hcl.numbers import (
    Number,
    add,
    bits_of,
    counted,
    exact,
    from_float,
    is_negative,
    negated,
    number,
)
from jobs.hcl.values import ValueProblem, to_number, to_whole_number

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
RANGE_ITEMS_MAX = 1024
DIGITS_MAX = 1024


def absolute(value: object) -> Number:
    given = to_number(value)
    return negated(given) if is_negative(given) else given


def ceiling(value: object) -> Number:
    given = to_number(value)
    return number(math.ceil(exact(given)), bits_of(given))


def floor(value: object) -> Number:
    given = to_number(value)
    return number(math.floor(exact(given)), bits_of(given))


def _float(value: object) -> float:
    try:
        return float(to_number(value))
    except OverflowError:
        raise ValueProblem("the number is too large") from None


def logarithm(value: object, base: object) -> Number:
    numerator, denominator = (_logarithm(_float(given)) for given in (value, base))
    if denominator == 0:
        raise ValueProblem("this logarithm is not defined")
    return from_float(numerator / denominator)


def _logarithm(value: float) -> float:
    if value == 0:
        return -math.inf
    if value < 0:
        raise ValueProblem("this logarithm is not defined")
    return math.log(value)


def power(base: object, exponent: object) -> Number:
    return from_float(_power(_float(base), _float(exponent)))


def _power(base: float, exponent: float) -> float:
    """Raises to a power by squaring, each step rounded to a float. This is how Go computes it."""
    if exponent == 0 or base == 1:
        return 1.0
    if base == 0:
        return 0.0 if exponent > 0 else math.inf
    if abs(exponent) == 0.5 and base > 0:
        return math.sqrt(base) if exponent > 0 else 1 / math.sqrt(base)
    fraction, whole = math.modf(abs(exponent))
    if fraction and base < 0:
        raise ValueProblem("this power is not defined")
    if whole >= 2**62:
        raise ValueProblem("the exponent is too large")
    result, scale = 1.0, 0
    if fraction:
        if fraction > 0.5:
            fraction, whole = fraction - 1, whole + 1
        result = math.exp(fraction * math.log(base))
    square, square_scale = math.frexp(base)
    steps = int(whole)
    while steps:
        if abs(square_scale) > 1 << 12:
            scale += square_scale
            break
        if steps & 1:
            result *= square
            scale += square_scale
        square *= square
        square_scale *= 2
        if abs(square) < 0.5:
            square += square
            square_scale -= 1
        steps >>= 1
    if exponent < 0:
        result, scale = 1 / result, -scale
    try:
        return math.ldexp(result, scale)
    except OverflowError:
        return math.inf


def parse_integer(text: object, base: object) -> Number:
    if not isinstance(text, str):
        raise ValueProblem("the number has to be given as a string")
    digits, radix = text, to_whole_number(base)
    if not 2 <= radix <= 62:
        raise ValueProblem("the base is from 2 to 62")
    sign = -1 if digits.startswith("-") else 1
    body = digits[1:] if digits[:1] in ("-", "+") else digits
    if radix <= 36:
        body = body.lower()
    if not body or len(body) > DIGITS_MAX or any(digit not in _DIGITS[:radix] for digit in body):
        raise ValueProblem(f'"{digits[:40]}" is not an integer in base {radix}')
    value = 0
    for digit in body:
        value = value * radix + _DIGITS.index(digit)
    return counted(sign * value)


def signum(value: object) -> Number:
    given = to_whole_number(value)
    return counted(int(given > 0) - int(given < 0))


def largest(*values: object) -> Number:
    return max(map(to_number, values))


def smallest(*values: object) -> Number:
    return min(map(to_number, values))


def span(*limits: object) -> list[Number]:
    """`range(limit)`, `range(start, limit)` or `range(start, limit, step)`, of at most 1024 numbers."""
    numbers = [to_number(limit) for limit in limits]
    start, limit = (numbers[0], numbers[1]) if len(numbers) > 1 else (counted(0), numbers[0])
    step = numbers[2] if len(numbers) == 3 else counted(1 if limit >= start else -1)
    if step == 0:
        raise ValueProblem("the step can't be zero")
    if exact(limit) != exact(start) and (limit > start) != (step > 0):
        raise ValueProblem("the step never reaches the limit")
    found: list[Number] = []
    while (start < limit) if step > 0 else (start > limit):
        if len(found) == RANGE_ITEMS_MAX:
            raise ValueProblem(f"more than {RANGE_ITEMS_MAX} numbers")
        found.append(start)
        start = add(start, step)
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
