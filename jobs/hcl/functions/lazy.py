"""Functions that evaluate their own arguments: `try`, `can` and `convert`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from jobs.errors import HclError
from jobs.hcl.functions.function import Function
from jobs.hcl.types import convert, read_type
from jobs.hcl.values import ValueProblem

if TYPE_CHECKING:
    from jobs.hcl import syntax
    from jobs.hcl.source import Source

Names = dict[str, object]


class Evaluator(Protocol):
    """The part of `jobs.hcl.evaluate.Evaluator` that these functions use."""

    source: Source

    def value(self, node: syntax.Node, names: Names | None = None) -> Any: ...
    def fail(self, problem: str, node: syntax.Node, *, hint: str = "") -> NoReturn: ...


def _never(*_: object) -> Any:
    raise ValueProblem("can't be called here")


def try_in_turn(evaluator: Evaluator, node: syntax.Call, names: Names | None) -> Any:
    """Returns the value of the first argument that can be computed."""
    failure: HclError | None = None
    for arg in node.args:
        try:
            return evaluator.value(arg, names)
        except HclError as error:
            if error.is_final:
                raise
            failure = error
    raise evaluator.source.error(
        "no argument of try() has a value" + (f": {failure.problem}" if failure else ""), node.start
    )


def can(evaluator: Evaluator, node: syntax.Call, names: Names | None) -> bool:
    """Returns whether the argument can be computed."""
    if len(node.args) != 1:
        evaluator.fail("can() takes 1 argument", node)
    try:
        evaluator.value(node.args[0], names)
    except HclError as error:
        if error.is_final:
            raise
        return False
    return True


def convert_to(evaluator: Evaluator, node: syntax.Call, names: Names | None) -> Any:
    """`convert(value, type)`."""
    if len(node.args) != 2:
        evaluator.fail("convert() takes 2 arguments: a value and a type", node)
    wanted = read_type(evaluator.source, node.args[1], allow_any=True)
    try:
        return convert(evaluator.value(node.args[0], names), wanted)
    except ValueProblem as problem:
        evaluator.fail(f"convert(): {problem}", node.args[0])


LAZY_FUNCTIONS = {
    "can": Function(_never, 1, 1, lazy=can),
    "convert": Function(_never, 2, 2, lazy=convert_to),
    "try": Function(_never, 1, None, lazy=try_in_turn),
}
