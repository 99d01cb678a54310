"""Applies the language's operators. Raises ValueProblem with what is wrong."""

from __future__ import annotations

from jobs.hcl import syntax
from jobs.hcl.numbers import Number, add, divide, multiply, negated, remainder
from jobs.hcl.values import NotComputed, equal, to_bool, to_number

UNKNOWN = object()
"""Stands for a value of unknown type."""


def example_of(node: syntax.Node) -> object:
    """Returns any value of the type that a failed expression would have, as far as its operator tells. Else UNKNOWN."""
    if isinstance(node, syntax.Parentheses):
        return example_of(node.inner)
    if isinstance(node, (syntax.Template, syntax.TemplateFor)):
        return ""
    if isinstance(node, (syntax.Unary, syntax.Binary)):
        return 0 if node.operator in _OPERATIONS else False
    return UNKNOWN


def apply_unary(operator: str, operand: object) -> object:
    """Applies `-x` or `!x`."""
    if operator == "!":
        return not to_bool(operand)
    return negated(to_number(operand))


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


def _arithmetic(operator: str, left: Number, right: Number) -> Number:
    if operator in "/%" and right == 0:
        raise NotComputed("division by zero")
    return _OPERATIONS[operator](left, right)


_OPERATIONS = {
    "+": add,
    "-": lambda left, right: add(left, negated(right)),
    "*": multiply,
    "/": divide,
    "%": remainder,
}
