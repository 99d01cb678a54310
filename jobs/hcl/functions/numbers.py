"""Arithmetic functions."""

from __future__ import annotations

import math
from typing import Any

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
from jobs.hcl.values import ListValue, NotComputed, ValueProblem, to_number, to_whole_number

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HALF_ROOT = 7.07106781186547524401e-01
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_LOG_SERIES = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)
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
    """Computes the natural logarithm by the steps of FreeBSD's log(), as Go does: libraries differ in the last digit."""
    if value == 0:
        return -math.inf
    if value < 0:
        raise ValueProblem("this logarithm is not defined")
    mantissa, exponent = math.frexp(value)
    if mantissa < _HALF_ROOT:
        mantissa, exponent = mantissa * 2, exponent - 1
    shift = mantissa - 1
    ratio = shift / (2 + shift)
    square = ratio * ratio
    fourth = square * square
    odd = square * _series(fourth, _LOG_SERIES[0::2])
    even = fourth * _series(fourth, _LOG_SERIES[1::2])
    half = 0.5 * shift * shift
    rest = ratio * (half + (odd + even)) + exponent * _LN2_LOW
    return exponent * _LN2_HIGH - ((half - rest) - shift)


def _series(value: float, coefficients: tuple[float, ...]) -> float:
    total = 0.0
    for coefficient in reversed(coefficients):
        total = total * value + coefficient
    return total


def power(base: object, exponent: object) -> Number:
    return from_float(_power(_float(base), _float(exponent)))


def _power(base: float, exponent: float) -> float:
    """Raises to a power by squaring, each step rounded to a float. This is how Go computes it."""
    if exponent == 0 or base == 1:
        return 1.0
    if base == 0:
        return _power_of_zero(base, exponent)
    if abs(exponent) == 0.5 and base > 0:
        return math.sqrt(base) if exponent > 0 else 1 / math.sqrt(base)
    if not exponent.is_integer():
        if base < 0:
            raise ValueProblem("this power is not defined")
        raise NotComputed("with this exponent the last digits depend on the processor; round or pass the value")
    if abs(exponent) >= 2**63:
        return 1.0 if base == -1 else 0.0 if (abs(base) < 1) == (exponent > 0) else math.inf
    result, scale = _power_by_squaring(base, int(abs(exponent)))
    if exponent < 0:
        result, scale = 1 / result, -scale
    try:
        return math.ldexp(result, scale)
    except OverflowError:
        return math.inf


def _power_of_zero(base: float, exponent: float) -> float:
    if exponent < 0:
        return math.inf
    return math.copysign(0.0, base if exponent % 2 == 1 else 1.0)


def _power_by_squaring(base: float, steps: int) -> tuple[float, int]:
    """Returns the power as a float and a power of two that it has to be multiplied by."""
    result, scale = 1.0, 0
    square, square_scale = math.frexp(base)
    while steps:
        if abs(square_scale) > 1 << 12:
            return result, scale + square_scale
        if steps & 1:
            result *= square
            scale += square_scale
        square *= square
        square_scale *= 2
        if abs(square) < 0.5:
            square += square
            square_scale -= 1
        steps >>= 1
    return result, scale


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


def span(*limits: object) -> list[Any]:
    """`range(limit)`, `range(start, limit)` or `range(start, limit, step)`, of at most 1024 numbers."""
    numbers = [to_number(limit) for limit in limits]
    start, limit = (numbers[0], numbers[1]) if len(numbers) > 1 else (counted(0), numbers[0])
    step = numbers[2] if len(numbers) == 3 else counted(1 if limit >= start else -1)
    if step == 0:
        raise ValueProblem("the step can't be zero")
    if exact(limit) != exact(start) and (limit > start) != (step > 0):
        raise ValueProblem("the step never reaches the limit")
    if all(isinstance(given, int) or given.is_whole for given in (start, limit, step)):
        places = range(int(start), int(limit), int(step))
        if abs(int(limit) - int(start)) <= RANGE_ITEMS_MAX * abs(int(step)):
            bits = max(bits_of(start), bits_of(step))
            return ListValue([start if place == start else counted(place, bits) for place in places])
    found: list[Any] = ListValue()
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
