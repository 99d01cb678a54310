"""Numbers as Nomad computes them: binary floating point with a mantissa of up to 512 bits.

A whole number that 512 bits hold is Python's int. Every other number is a BigFloat: fractions, minus zero, and results
of functions that compute with fewer bits (`pow` with 53, `length` with 64).
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import total_ordering

LITERAL_BITS = 512
"""Precision of literals and of numbers read from text."""
FLOAT_BITS = 53
INTEGER_BITS = 64
EXPONENT_MAX = 4096
"""Limit of the decimal exponent: numbers beyond it have no use in a jobspec, and cost time and memory."""

_NUMBER = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)(?:([eEpP])([+-]?\d{1,9}))?", re.ASCII)


class ValueProblem(Exception):
    """A value can't be used as required. The message says what is required."""


class NotComputed(ValueProblem):
    """fedml refuses to compute what Nomad computes, or what Nomad's versions compute differently.

    `try` and `can` don't catch it: their value would differ from Nomad's.
    """


@total_ordering
class BigFloat:
    """`mantissa · 2^exponent`, rounded to `bits` bits. `negative` tells minus zero from zero."""

    __slots__ = ("bits", "exponent", "mantissa", "negative")

    def __init__(self, mantissa: int, exponent: int, bits: int, *, negative: bool = False) -> None:
        self.mantissa, self.exponent = _rounded(mantissa, exponent, bits)
        self.bits = bits
        self.negative = mantissa < 0 or (mantissa == 0 and negative)
        if abs(self.mantissa.bit_length() + self.exponent) > EXPONENT_MAX * 3.33:
            raise NotComputed("the number is too large or too small")

    @property
    def is_whole(self) -> bool:
        return self.exponent >= 0

    def __int__(self) -> int:
        if self.exponent >= 0:
            return self.mantissa << self.exponent
        whole = abs(self.mantissa) >> -self.exponent
        return -whole if self.mantissa < 0 else whole

    def __float__(self) -> float:
        if self.mantissa == 0:
            return -0.0 if self.negative else 0.0
        return float(self.fraction())

    def fraction(self) -> Fraction:
        """Returns the exact value."""
        if self.exponent >= 0:
            return Fraction(self.mantissa << self.exponent)
        return Fraction(self.mantissa, 1 << -self.exponent)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (int, BigFloat)):
            return NotImplemented
        if isinstance(other, BigFloat):
            return (self.mantissa, self.exponent) == (other.mantissa, other.exponent)
        return self.is_whole and int(self) == other

    def __lt__(self, other: int | BigFloat) -> bool:
        return self.fraction() < exact(other)

    def __hash__(self) -> int:
        return hash(int(self) if self.is_whole else (self.mantissa, self.exponent))

    def __str__(self) -> str:
        digits, point = shortest_digits(self)
        return plain_text(digits, point, self.negative)

    __repr__ = __str__


Number = int | BigFloat
"""A number of the language."""


def exact(value: Number) -> Fraction:
    """Returns the exact value of a number."""
    return value.fraction() if isinstance(value, BigFloat) else Fraction(value)


def bits_of(value: Number) -> int:
    """Returns the precision that a number was computed with."""
    return value.bits if isinstance(value, BigFloat) else LITERAL_BITS


def is_negative(value: Number) -> bool:
    """Returns whether the number has a minus sign. Minus zero has one."""
    return value.negative if isinstance(value, BigFloat) else value < 0


def number(value: Fraction | int, bits: int = LITERAL_BITS, *, negative_zero: bool = False) -> Number:
    """Rounds to `bits` bits. Raises NotComputed."""
    mantissa, exponent = value.numerator, 0
    denominator = value.denominator
    if denominator & (denominator - 1) == 0:
        exponent = 1 - denominator.bit_length()
    else:
        shift = max(0, bits + 2 + denominator.bit_length() - mantissa.bit_length())
        mantissa, rest = divmod(abs(mantissa) << shift, denominator)
        mantissa, exponent = (mantissa << 1) | (rest != 0), -shift - 1
        mantissa = -mantissa if value < 0 else mantissa
    return tidy(BigFloat(mantissa, exponent, bits, negative=negative_zero))


def tidy(value: BigFloat) -> Number:
    """Returns a whole number of full precision as int."""
    if value.bits == LITERAL_BITS and value.exponent >= 0 and not (value.negative and value.mantissa == 0):
        whole = int(value)
        if whole.bit_length() <= LITERAL_BITS:
            return whole
    return value


def from_float(value: float) -> Number:
    """Takes over a float with its 53 bits. Raises NotComputed for infinities and NaN."""
    if value != value or value in (float("inf"), float("-inf")):
        raise NotComputed("the result is not a finite number")
    mantissa, denominator = value.as_integer_ratio()
    return BigFloat(mantissa, 1 - denominator.bit_length(), FLOAT_BITS, negative=str(value).startswith("-"))


def counted(value: int, bits: int = INTEGER_BITS) -> Number:
    """Takes over a whole number that a function counted, of at most 64 bits unless `bits` says more."""
    if bits == LITERAL_BITS:
        return value
    found = BigFloat.__new__(BigFloat)
    found.exponent = (value & -value).bit_length() - 1 if value else 0
    found.mantissa = value >> found.exponent
    found.bits = max(bits, value.bit_length())
    found.negative = value < 0
    return found


def parse(text: str) -> Number | None:
    """Parses a decimal number. None for any other text. Raises NotComputed."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    sign, digits, base, power = found.groups()
    whole, _, fraction = digits.partition(".")
    exponent = int(power or 0)
    if len(digits) > EXPONENT_MAX or abs(exponent) > 2 * EXPONENT_MAX:
        raise NotComputed("the number is too large or too small")
    value = Fraction(int(whole + fraction), 10 ** len(fraction))
    value *= Fraction(2 if base in ("p", "P") else 10) ** exponent
    return number(-value if sign == "-" else value, negative_zero=sign == "-")


def negated(value: Number) -> Number:
    """Changes the sign, also of zero."""
    if isinstance(value, BigFloat):
        return tidy(BigFloat(-value.mantissa, value.exponent, value.bits, negative=not value.negative))
    return -value if value else BigFloat(0, 0, LITERAL_BITS, negative=True)


def add(left: Number, right: Number) -> Number:
    both = is_negative(left) and is_negative(right)
    if (isinstance(left, int) or left.is_whole) and (isinstance(right, int) or right.is_whole):
        total = BigFloat(int(left) + int(right), 0, max(bits_of(left), bits_of(right)), negative=both)
        return tidy(total)
    return number(exact(left) + exact(right), max(bits_of(left), bits_of(right)), negative_zero=both)


def multiply(left: Number, right: Number) -> Number:
    """Multiplies with 512 bits. The product keeps the bits that it needs, and at least those of its factors."""
    minus = is_negative(left) != is_negative(right)
    product = number(exact(left) * exact(right), negative_zero=minus)
    needed = product.mantissa.bit_length() if isinstance(product, BigFloat) else _bits_needed(product)
    bits = max(bits_of(left), bits_of(right), needed)
    return product if bits == LITERAL_BITS else number(exact(product), bits, negative_zero=minus)


def divide(left: Number, right: Number) -> Number:
    """Divides by a number that isn't zero."""
    minus = is_negative(left) != is_negative(right)
    return number(exact(left) / exact(right), max(bits_of(left), bits_of(right)), negative_zero=minus)


def remainder(left: Number, right: Number) -> Number:
    """Returns what is left of `left` after a division that drops the fraction, each step rounded as Nomad does."""
    bits = bits_of(left)
    times = number(int(divide(left, right)), bits)
    product = number(exact(times) * exact(right), bits)
    minus = is_negative(left) and not is_negative(product)
    return number(exact(left) - exact(product), bits, negative_zero=minus)


def plain_text(digits: str, point: int, negative: bool) -> str:
    """Joins digits to a decimal number. `point` is the number of digits before the point."""
    if point <= 0:
        shown = "0" if not digits else "0." + "0" * -point + digits
    elif point >= len(digits):
        shown = digits + "0" * (point - len(digits))
    else:
        shown = f"{digits[:point]}.{digits[point:]}"
    return "-" + shown if negative else shown


def decimal_digits(mantissa: int, exponent: int) -> tuple[str, int]:
    """Returns the exact digits of `mantissa · 2^exponent`, and how many stand before the point. Zero has no digits."""
    if mantissa == 0:
        return "", 0
    digits = str(mantissa << exponent if exponent >= 0 else mantissa * 5**-exponent)
    point = len(digits) + min(exponent, 0)
    return digits.rstrip("0"), point


def rounded_digits(digits: str, point: int, count: int) -> tuple[str, int]:
    """Rounds to `count` digits, halves to the even digit."""
    if count >= len(digits):
        return digits, point
    if count < 0:
        return "", 0
    rest = digits[count:]
    is_half = rest == "5"
    up = (count > 0 and digits[count - 1] in "13579") if is_half else rest[0] >= "5"
    if not up:
        kept = digits[:count].rstrip("0")
        return (kept, point) if kept else ("", 0)
    raised = str(int(digits[:count] or "0") + 1)
    return raised.rstrip("0"), point + len(raised) - max(count, 0)


def shortest_digits(value: Number) -> tuple[str, int]:
    """Returns the fewest digits that identify the number at its precision, and the position of the point."""
    if isinstance(value, int):
        return decimal_digits(abs(value), 0)
    mantissa, exponent = abs(value.mantissa), value.exponent
    digits, point = decimal_digits(mantissa, exponent)
    if not digits:
        return digits, point
    shift = value.bits + 1 - mantissa.bit_length()
    half_steps, scale = mantissa << shift, exponent - shift
    lower, _ = decimal_digits(half_steps - 1, scale)
    upper, _ = decimal_digits(half_steps + 1, scale)
    inclusive = half_steps & 2 == 0
    for place, digit in enumerate(digits):
        low = lower[place] if place < len(lower) else "0"
        high = upper[place] if place < len(upper) else "0"
        may_cut = low != digit or (inclusive and place + 1 == len(lower))
        may_raise = digit != high and (inclusive or int(digit) + 1 < int(high) or place + 1 < len(upper))
        if may_cut and may_raise:
            return rounded_digits(digits, point, place + 1)
        if may_cut:
            return digits[: place + 1].rstrip("0"), point
        if may_raise:
            raised = str(int(digits[: place + 1]) + 1)
            return raised.rstrip("0"), point + len(raised) - place - 1
    return digits, point


def _bits_needed(whole: int) -> int:
    return (whole & -whole).bit_length() and whole.bit_length() - (whole & -whole).bit_length() + 1


def _rounded(mantissa: int, exponent: int, bits: int) -> tuple[int, int]:
    """Rounds a mantissa to `bits` bits, halves to even, and removes its trailing zero bits."""
    size = abs(mantissa)
    surplus = size.bit_length() - bits
    if surplus > 0:
        half, rest = 1 << (surplus - 1), size & ((1 << surplus) - 1)
        size >>= surplus
        size += rest > half or (rest == half and size & 1)
        exponent += surplus
    if size == 0:
        return 0, 0
    zeros = (size & -size).bit_length() - 1
    size >>= zeros
    return (-size if mantissa < 0 else size), exponent + zeros
