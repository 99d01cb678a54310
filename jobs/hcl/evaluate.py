"""Evaluates a syntax tree. Raises HclError at the place of the mistake."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NoReturn

from jobs.errors import HclError
from jobs.hcl import syntax
from jobs.hcl.limits import Budget, bounded_length
from jobs.hcl.operators import UNKNOWN, apply_binary, apply_unary, example_of
from jobs.hcl.source import did_you_mean, unknown_reference
from jobs.hcl.values import (
    ListValue,
    NotComputed,
    SetValue,
    ValueProblem,
    pairs,
    text,
    to_bool,
    to_string,
    to_whole_number,
    type_name,
    unify,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from jobs.hcl.functions import Function
    from jobs.hcl.source import Source

Names = dict[str, object]


class LazyObject(ABC):
    """A root name (`local`) whose attributes are computed on first use."""

    @abstractmethod
    def names(self) -> Collection[str]: ...

    @abstractmethod
    def attribute(self, name: str) -> object:
        """Computes the attribute. Raises HclError."""

    def all(self) -> dict[str, object]:
        return {name: self.attribute(name) for name in self.names()}


class Evaluator:
    """Computes expressions of one source.

    `names` are the root names that expressions see. With `keep_unknown` any other name is not an error: its text in
    the source stays as a string (`${attr.kernel.name}`), and Nomad fills it in on the node.
    """

    def __init__(
        self,
        source: Source,
        names: Names | None = None,
        functions: Mapping[str, Function] | None = None,
        *,
        keep_unknown: bool = False,
    ) -> None:
        self.source = source
        self.names = names
        self.functions = functions
        self.keep_unknown = keep_unknown
        self.budget = Budget()

    def value(self, node: syntax.Node, names: Names | None = None) -> Any:
        """Returns the value of the expression. `names` of a surrounding `for` come before the root names."""
        self.budget.left -= 1
        if self.budget.left < 0:
            self.spend(0, node)
        return _EVALUATE[type(node)](self, node, self.names if names is None else names)

    def whole_value(self, node: syntax.Node, names: Names | None = None) -> Any:
        """As `value`, for a value that the caller walks through."""
        return self.counted(self.value(node, names), node)

    def counted(self, value: Any, node: syntax.Node) -> Any:
        """Spends steps on everything inside a value, and returns it."""
        if isinstance(value, (str, list, dict)):
            self.converted(self.budget.spend_on, value, node)
        return value

    def spend(self, steps: int, node: syntax.Node) -> None:
        """Counts steps. Raises HclError at the node where the jobspec takes too many."""
        self.converted(self.budget.spend, steps, node)

    def literal(self, node: syntax.Literal, names: Names | None) -> object:
        return node.value

    def parentheses(self, node: syntax.Parentheses, names: Names | None) -> object:
        return self.value(node.inner, names)

    def template(self, node: syntax.Template, names: Names | None) -> str:
        pieces = []
        for part in node.parts:
            piece = self.value(part, names)
            if piece is None:
                self.fail("a null value can't be part of a string", part)
            pieces.append(self.converted(to_string, piece, part))
        return self._joined(pieces, node)

    def template_for(self, node: syntax.TemplateFor, names: Names | None) -> str:
        return self._joined(self.value(node.loop, names), node)

    def _joined(self, pieces: list[str], node: syntax.Node) -> str:
        self.converted(bounded_length, sum(map(len, pieces)), node)
        return str(self.counted(text("".join(pieces)), node))

    def reference(self, node: syntax.Reference, names: Names | None) -> object:
        if names is None:
            self.fail(f'"{node.name}" can\'t be used here: only literal values are possible', node)
        if node.name not in names:
            if self.keep_unknown:
                return unknown_reference(self.source.text, node.start, node.end)
            self.fail(f'there is no name "{node.name}" here', node, hint=did_you_mean(node.name, names))
        value, steps = names[node.name], node.steps
        if isinstance(value, LazyObject):
            if not steps:
                return value.all()
            (name, at), *steps = steps
            if name not in value.names():
                raise self.source.error(
                    f'there is no {node.name} "{name}"', at + 1, hint=did_you_mean(str(name), value.names())
                )
            value = value.attribute(str(name))
        for key, at in steps:
            value = self._element(value, key, at, node.name)
        return value

    def access(self, node: syntax.Access, names: Names | None) -> object:
        value = self.value(node.target, names)
        for key, at in node.steps:
            value = self._element(value, key, at)
        return value

    def index(self, node: syntax.Index, names: Names | None) -> object:
        target = self.value(node.target, names)
        return self._element(target, self.value(node.key, names), node.key.start)

    def _element(self, value: object, key: object, at: int, owner: str = "") -> object:
        if isinstance(value, dict):
            if key is None or isinstance(key, (list, dict)):
                raise self.source.error(f"{type_name(key)} can't be a key", at)
            name = to_string(key)
            if name not in value:
                what = f'variable "{name}"' if owner == "var" else f'attribute "{name}"'
                raise self.source.error(
                    f"there is no {what}", at + (self.source.text[at : at + 1] == "."), hint=did_you_mean(name, value)
                )
            return value[name]
        if isinstance(value, list) and not isinstance(value, SetValue):
            try:
                position = to_whole_number(key)
            except ValueProblem:
                raise self.source.error(f"a list has no element {key!r}: its indexes are numbers", at) from None
            if not 0 <= position < len(value):
                raise self.source.error(f"there is no element {position} in a list of {len(value)}", at)
            return value[position]
        raise self.source.error(f"a {type_name(value)} has no elements or attributes", at)

    def splat(self, node: syntax.Splat, names: Names | None) -> list[object]:
        target = self.value(node.target, names)
        if target is None:
            return []
        items = target if isinstance(target, list) else [target]
        found = [self.value(node.each, {**(names or {}), _ELEMENT: item}) for item in items]
        return ListValue(found) if isinstance(target, (ListValue, SetValue)) else found

    def element(self, node: syntax.Element, names: Names | None) -> object:
        assert names is not None
        return names[_ELEMENT]

    def call(self, node: syntax.Call, names: Names | None) -> object:
        if self.functions is None:
            self.fail("functions can't be used here: only literal values are possible", node)
        function = self.functions.get(node.name)
        if function is None:
            hint = did_you_mean(node.name, self.functions)
            self.fail(f'there is no function "{node.name}"', node, hint=hint)
        if function.lazy is not None:
            return function.lazy(self, node, names)
        args = [self.value(arg, names) for arg in node.args]
        if node.expand_last and args:
            last = args.pop()
            if not isinstance(last, list):
                self.fail('only a list can be expanded with "..."', node.args[-1])
            args.extend(last)
        if len(args) < function.least or (function.most is not None and len(args) > function.most):
            self.fail(f"{node.name}() takes {function.arity()}, not {len(args)}", node)
        if not function.takes_null and None in args:
            position = next(n for n, arg in enumerate(args) if arg is None)
            self.fail(f"argument {position + 1} of {node.name}() is null", node.args[min(position, len(node.args) - 1)])
        self.counted(args, node)
        result = self.converted(lambda given: function.call(*given), args, node, f"{node.name}()")
        return self.counted(text(result) if isinstance(result, str) else result, node)

    def unary(self, node: syntax.Unary, names: Names | None) -> object:
        return self.converted(
            lambda operand: apply_unary(node.operator, operand), self.value(node.operand, names), node
        )

    def binary(self, node: syntax.Binary, names: Names | None) -> object:
        left, right = self.value(node.left, names), self.value(node.right, names)
        self.counted([left, right], node)
        what = f'the operator "{node.operator}"'
        return self.converted(lambda pair: apply_binary(node.operator, *pair), (left, right), node, what)

    def conditional(self, node: syntax.Conditional, names: Names | None) -> object:
        """Returns the chosen result. The other one can't fail; its type counts where Nomad knows it all the same."""
        condition = self.converted(to_bool, self.value(node.condition, names), node.condition)
        chosen, other_node = (node.if_true, node.if_false) if condition else (node.if_false, node.if_true)
        try:
            other = self.value(other_node, names)
        except HclError:
            other = example_of(other_node)
        value = self.value(chosen, names)
        if other is UNKNOWN:
            return value
        self.counted([value, other], node)
        return self.converted(unify, [value, other], node, "both results of a condition must have one type")[0]

    def tuple_literal(self, node: syntax.TupleLiteral, names: Names | None) -> list[object]:
        return [self.value(item, names) for item in node.items]

    def object_literal(self, node: syntax.ObjectLiteral, names: Names | None) -> dict[str, object]:
        return {self._key(key, names): self.value(item, names) for key, item in node.items}

    def _key(self, node: syntax.Node, names: Names | None) -> str:
        key: str = self.converted(to_string, self.value(node, names), node)
        return key

    def loop(self, node: syntax.For, names: Names | None) -> object:
        collection = self.value(node.collection, names)
        if not isinstance(collection, (list, dict)):
            self.fail(f"can't iterate over a {type_name(collection)}", node.collection)
        results: list[object] = []
        by_key: dict[str, Any] = {}
        for key, item in pairs(collection):
            inner = {**(names or {}), node.value_name: item}
            if node.key_name is not None:
                inner[node.key_name] = key
            if node.condition is not None and not self.converted(
                to_bool, self.value(node.condition, inner), node.condition
            ):
                continue
            if node.key is None:
                results.append(self.value(node.value, inner))
                continue
            name = self._key(node.key, inner)
            result = self.value(node.value, inner)
            if node.group:
                by_key.setdefault(name, []).append(result)
            elif name in by_key:
                self.fail(
                    f'two elements have the key "{name}"', node.key, hint='Write "..." after the value to group them.'
                )
            else:
                by_key[name] = result
        return results if node.key is None else by_key

    def converted(self, conversion: Callable[[Any], Any], value: object, node: syntax.Node, what: str = "") -> Any:
        """Converts a value. Raises HclError at the node, with `what` first, where that is not possible."""
        try:
            return conversion(value)
        except ValueProblem as problem:
            error = self.source.error(f"{what}: {problem}" if what else str(problem), node.start)
            error.is_final = isinstance(problem, NotComputed)
            raise error from None

    def fail(self, problem: str, node: syntax.Node, *, hint: str = "") -> NoReturn:
        raise self.source.error(problem, node.start, hint=hint)


_ELEMENT = "*"

_EVALUATE: dict[type[syntax.Node], Callable[[Evaluator, Any, Names | None], Any]] = {
    syntax.Literal: Evaluator.literal,
    syntax.Parentheses: Evaluator.parentheses,
    syntax.Template: Evaluator.template,
    syntax.TemplateFor: Evaluator.template_for,
    syntax.Reference: Evaluator.reference,
    syntax.Access: Evaluator.access,
    syntax.Index: Evaluator.index,
    syntax.Splat: Evaluator.splat,
    syntax.Element: Evaluator.element,
    syntax.Call: Evaluator.call,
    syntax.Unary: Evaluator.unary,
    syntax.Binary: Evaluator.binary,
    syntax.Conditional: Evaluator.conditional,
    syntax.TupleLiteral: Evaluator.tuple_literal,
    syntax.ObjectLiteral: Evaluator.object_literal,
    syntax.For: Evaluator.loop,
}
