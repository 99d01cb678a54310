"""Applies the language's operators. Raises ValueProblem with what is wrong."""

from __future__ import annotations

from decimal import Decimal

from jobs.hcl.values import ARITHMETIC, ValueProblem, equal, number, to_bool, to_number


def apply_unary(operator: str, operand: object) -> object:
    """Applies `-x` or `!x`."""
    if operator == "!":
        return not to_bool(operand)
    value = to_number(operand)
    return -value if isinstance(value, int) else ARITHMETIC.minus(value)


def apply_binary(operator: str, left: object, right: object) -> object:
    """Applies a comparison, arithmetic or logic. Strings that hold numbers count as numbers, except for == and !=."""
    if operator == "==":
        return equal(left, right)
    if operator == "!=":
        return not equal(left, right)
    if operator == "&&":
        return to_bool(left) & to_bool(right)
    if operator == "||":
        return to_bool(left) | to_bool(right)
    a, b = to_number(left), to_number(right)
    if operator in ("<", "<=", ">", ">="):
        order = (a > b) - (a < b)
        return {"<": order < 0, "<=": order <= 0, ">": order > 0, ">=": order >= 0}[operator]
    return _arithmetic(operator, a, b)


def _arithmetic(operator: str, left: int | Decimal, right: int | Decimal) -> int | Decimal:
    if operator in "/%" and right == 0:
        raise ValueProblem("division by zero")
    a, b = ARITHMETIC.create_decimal(left), ARITHMETIC.create_decimal(right)
    if operator == "+":
        return number(ARITHMETIC.add(a, b))
    if operator == "-":
        return number(ARITHMETIC.subtract(a, b))
    if operator == "*":
        return number(ARITHMETIC.multiply(a, b))
    if operator == "/":
        return number(ARITHMETIC.divide(a, b))
    whole = ARITHMETIC.divide(a, b).to_integral_value(rounding="ROUND_DOWN", context=ARITHMETIC)
    return number(ARITHMETIC.subtract(a, ARITHMETIC.multiply(b, whole)))
