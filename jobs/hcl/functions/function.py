"""A Python callable and its arity go in; a function of the language comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Function(NamedTuple):
    """`call` gets values and raises ValueProblem. `lazy` gets (evaluator, call node, names) and computes by itself."""

    call: Callable[..., Any]
    least: int
    most: int | None
    takes_null: bool = False
    lazy: Callable[..., Any] | None = None

    def arity(self) -> str:
        """How many arguments it takes, in words."""
        if self.most is None:
            return f"at least {self.least} argument{'s' * (self.least != 1)}"
        if self.least == self.most:
            return f"{self.least or 'no'} argument{'s' * (self.least != 1)}"
        return f"{self.least} to {self.most} arguments"
