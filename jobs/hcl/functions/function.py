"""The type of a function of the language."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Function(NamedTuple):
    """A function of the language with its arity.

    `call` gets values and raises ValueProblem. `lazy` gets (evaluator, call node, names) and evaluates its arguments
    itself.
    """

    call: Callable[..., Any]
    least: int
    most: int | None
    takes_null: bool = False
    lazy: Callable[..., Any] | None = None

    def arity(self) -> str:
        """Describes how many arguments it takes."""
        if self.most is None:
            return f"at least {self.least} argument{'s' * (self.least != 1)}"
        if self.least == self.most:
            return f"{self.least or 'no'} argument{'s' * (self.least != 1)}"
        return f"{self.least} to {self.most} arguments"
