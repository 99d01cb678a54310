"""Parses expressions into a syntax tree, starting at the scanner's position."""

from __future__ import annotations

from jobs.hcl import syntax
from jobs.hcl.scanner import Scanner
from jobs.hcl.templates import TemplateParser
from jobs.hcl.values import ValueProblem, parse_number

_BINDING = {
    "||": 1,
    "&&": 2,
    "==": 3,
    "!=": 3,
    ">=": 4,
    "<=": 4,
    ">": 4,
    "<": 4,
    "+": 5,
    "-": 5,
    "*": 6,
    "/": 6,
    "%": 6,
}
_TWO_CHARACTERS = ("||", "&&", "==", "!=", ">=", "<=")
_CONSTANTS: dict[str, object] = {"true": True, "false": False, "null": None}


class ExpressionParser(TemplateParser, Scanner):
    """Recursive descent over expressions; operators by precedence climbing."""

    def expression(self) -> syntax.Node:
        self.enter()
        condition = self._binary(1)
        if not self.take("?"):
            self.leave()
            return condition
        if_true = self.expression()
        self.expect(":", f'expected ":" and the value for when the condition is false, found {self.found()}')
        if_false = self.expression()
        self.leave()
        return syntax.Conditional(condition.start, if_false.end, condition, if_true, if_false)

    def _operator(self) -> str | None:
        following = self.peek()
        if not following or following not in "|&=!><+-*/%":
            return None
        pair = self.text[self.at : self.at + 2]
        if pair in _TWO_CHARACTERS:
            return pair
        return following if following in _BINDING else None

    def _binary(self, level: int) -> syntax.Node:
        left = self._unary()
        while (operator := self._operator()) is not None and _BINDING[operator] >= level:
            self.at += len(operator)
            right = self._binary(_BINDING[operator] + 1)
            left = syntax.Binary(left.start, right.end, operator, left, right)
        return left

    def _unary(self) -> syntax.Node:
        following = self.peek()
        if following and following in "-!":
            start = self.at
            self.at += 1
            self.enter()
            operand = self._unary()
            self.leave()
            return syntax.Unary(start, operand.end, following, operand)
        return self._steps(self._term())

    def _term(self) -> syntax.Node:
        following = self.peek()
        start = self.at
        if following == '"':
            return self.quoted()
        if following == "[":
            return self._list(start)
        if following == "{":
            return self._object(start)
        if following == "(":
            self.at += 1
            outer, self.newlines_count = self.newlines_count, False
            inner = self.expression()
            self.expect(")", f'expected ")", found {self.found()}')
            self.newlines_count = outer
            return syntax.Parentheses(start, self.at, inner)
        if following == "<" and self.text.startswith("<<", start):
            return self.heredoc()
        if following.isdigit() and (digits := self.take_number()) is not None:
            try:
                return syntax.Literal(start, self.at, parse_number(digits))
            except ValueProblem as problem:
                self.fail(str(problem), start)
        name = self.take_name()
        if name is None:
            self.fail(f"expected a value, found {self.found()}", hint=_hint_for(following))
        end = self.at
        if self.peek() == "(":
            return self._call(name, start)
        if name in _CONSTANTS:
            return syntax.Literal(start, end, _CONSTANTS[name])
        return syntax.Reference(start, end, name)

    def _call(self, name: str, start: int) -> syntax.Call:
        outer, self.newlines_count = self.newlines_count, False
        self.at += 1
        args: list[syntax.Node] = []
        expand_last = False
        while not self.take(")"):
            args.append(self.expression())
            if self.take("..."):
                expand_last = True
                self.expect(")", 'expected ")" after "..."')
                break
            if not self.take(",") and self.peek() != ")":
                self.fail(f'expected "," or ")" in the arguments of {name}(), found {self.found()}')
        self.newlines_count = outer
        return syntax.Call(start, self.at, name, args, expand_last)

    def _list(self, start: int) -> syntax.Node:
        outer, self.newlines_count = self.newlines_count, False
        self.at += 1
        if self.peek_name() == "for":
            loop = self._for(start, "]")
            self.newlines_count = outer
            return loop
        items: list[syntax.Node] = []
        while not self.take("]"):
            items.append(self.expression())
            if not self.take(",") and self.peek() != "]":
                self.fail(f'expected "," or "]" in a list, found {self.found()}')
        self.newlines_count = outer
        return syntax.TupleLiteral(start, self.at, items)

    def _object(self, start: int) -> syntax.Node:
        outer, self.newlines_count = self.newlines_count, False
        self.at += 1
        if self.peek_name() == "for":
            loop = self._for(start, "}")
            self.newlines_count = outer
            return loop
        items: list[tuple[syntax.Node, syntax.Node]] = []
        while not self.take("}"):
            self.newlines_count = True
            key = self._object_key()
            if not self.take("=") and not self.take(":"):
                self.fail(f'expected "=" after the key, found {self.found()}', hint=_hint_for(self.peek()))
            items.append((key, self.expression()))
            if self.peek() not in ("\n", ",", "}"):
                self.fail(f'expected a newline, "," or "}}" in an object, found {self.found()}')
            self.newlines_count = False
            self.take(",")
        self.newlines_count = outer
        return syntax.ObjectLiteral(start, self.at, items)

    def _object_key(self) -> syntax.Node:
        key = self.expression()
        if isinstance(key, syntax.Reference):
            if key.steps:
                self.fail(
                    "a key with dots has to be quoted", key.start, hint='Write "a.b" = …, or (a.b) = … to compute it.'
                )
            return syntax.Literal(key.start, key.end, key.name)
        if isinstance(key, syntax.Literal) and not isinstance(key.value, str):
            return syntax.Literal(key.start, key.end, self.text[key.start : key.end])
        return key

    def _for(self, start: int, closer: str) -> syntax.For:
        self.take_name()
        key_name, value_name = self.loop_names()
        collection = self.expression()
        self.expect(":", f'expected ":" after the collection of "for", found {self.found()}')
        value = self.expression()
        key: syntax.Node | None = None
        if self.take("=>"):
            key, value = value, self.expression()
        if closer == "]" and key is not None:
            self.fail('a "for" in […] makes a list and takes no key', key.start, hint="Use {…} to make an object.")
        if closer == "}" and key is None:
            self.fail('a "for" in {…} makes an object and needs a key', value.start, hint="Write key => value.")
        group = self.take("...")
        if group and closer == "]":
            self.fail('"..." groups the values of an object, not of a list')
        condition: syntax.Node | None = None
        if self.peek_name() == "if":
            self.take_name()
            condition = self.expression()
        self.expect(closer, f'expected "{closer}" at the end of "for", found {self.found()}')
        return syntax.For(start, self.at, key_name, value_name, collection, key, value, condition, group)

    def loop_names(self) -> tuple[str | None, str]:
        """`v in` or `k, v in`, after `for`."""
        key_name, value_name = None, self.take_name()
        if value_name is not None and self.take(","):
            key_name, value_name = value_name, self.take_name()
        if value_name is None:
            self.fail(f'expected the name of a variable after "for", found {self.found()}')
        if self.peek_name() != "in":
            self.fail(f'expected "in" after the variables of "for", found {self.found()}')
        self.take_name()
        return key_name, value_name

    def _steps(self, target: syntax.Node) -> syntax.Node:
        while True:
            following = self.peek()
            place = self.at
            if following == "." and not self.text.startswith("...", place):
                self.at += 1
                if self.take("*"):
                    target = self._attribute_splat(target)
                    continue
                target = self._with_step(target, self._attribute_step(), place)
            elif following == "[":
                self.at += 1
                if self.take("*"):
                    self.expect("]", 'expected "]" after "[*"')
                    element: syntax.Node = syntax.Element(place, self.at)
                    each = self._steps(element)
                    target = syntax.Splat(target.start, self.at, target, each)
                    continue
                outer, self.newlines_count = self.newlines_count, False
                key = self.expression()
                self.expect("]", f'expected "]" after the index, found {self.found()}')
                self.newlines_count = outer
                if isinstance(key, syntax.Literal):
                    target = self._with_step(target, key.value, place)
                else:
                    target = syntax.Index(target.start, self.at, target, key)
            else:
                return target

    def _attribute_step(self) -> str | int:
        self.peek()
        start, digits = self.at, self.take_digits()
        if digits is not None:
            if self.text[self.at : self.at + 1] == "." and self.text[self.at + 1 : self.at + 2].isdecimal():
                self.fail("two indexes can't be chained with dots", start, hint="Write them in brackets, as in [0][1].")
            return digits
        name = self.take_name()
        if name is None:
            self.fail(f'expected a name after ".", found {self.found()}')
        return name

    def _attribute_splat(self, target: syntax.Node) -> syntax.Splat:
        each: syntax.Node = syntax.Element(self.at - 1, self.at)
        end = self.at
        while self.peek() == "." and not self.text.startswith("...", self.at):
            place = self.at
            self.at += 1
            each = self._with_step(each, self._attribute_step(), place)
            end = self.at
        return syntax.Splat(target.start, end, target, each)

    def _with_step(self, target: syntax.Node, key: object, place: int) -> syntax.Node:
        if isinstance(target, (syntax.Reference, syntax.Access)):
            target.steps.append((key, place))
            target.end = self.at
            return target
        return syntax.Access(target.start, self.at, target, [(key, place)])


def _hint_for(following: str) -> str:
    if following == "'":
        return 'Strings are written with double quotes: "…".'
    return ""
