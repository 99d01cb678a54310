"""Parses a condition to a tree: comparisons of a field with literals, under and, or, not.

::

    condition  = and-chain { "or" and-chain }
    and-chain  = negation { "and" negation }
    negation   = "not" negation | "(" condition ")" | comparison
    comparison = field ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) literal
               | field [ "not" ] "in" "(" literal { "," literal } ")"
               | field [ "not" ] "like" text
               | field [ "not" ] "between" literal "and" literal
               | field "is" [ "not" ] ( "null" | "nan" )
    literal    = text | number | "true" | "false" | "inf"
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from federation.index.query.tokens import Token, WhereError, tokens
from jobs.frozen import frozen

DEPTH_MAX = 20
"""SQLite's parser has room for about a hundred open things, and each of these opens up to three."""
COMPARISONS_MAX = 500
LITERALS_MAX = 10_000

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "in", "like", "between", "is null", "is nan"]
_SIGNS: dict[str, Operator] = {"=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_WORDS = {"true": True, "false": False, "inf": math.inf}
_KEYWORDS = {"and", "or", "not", "in", "like", "between", "is", "null", "nan", *_WORDS}


@frozen
class Constant:
    """A value as written; `place` for the caret."""

    value: str | int | float | bool
    place: int


@frozen
class Comparison:
    """`is_negated` is the `not` in `not in`, `not like`, `not between`, `is not null`."""

    field: str
    place: int
    operator: Operator
    literals: tuple[Constant, ...]
    is_negated: bool = False


@frozen
class Not:
    part: Tree


@frozen
class Chain:
    """Two or more parts under one `and` or `or`."""

    word: Literal["and", "or"]
    parts: tuple[Tree, ...]


Tree = Comparison | Not | Chain


def parse(text: str) -> Tree:
    """The tree. Raises WhereError, also for one that is too deep or too long."""
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._at = 0
        self._comparisons = 0
        self._literals = 0

    def whole(self) -> Tree:
        tree = self._condition(0)
        if self._next.kind != "end":
            raise self._expected("and, or, or the end")
        return tree

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        self._at += 1
        return token

    def _took(self, *words: str) -> bool:
        if self._next.says(*words):
            self._at += 1
            return True
        return False

    def _demand(self, word: str) -> None:
        if not self._took(word):
            raise self._expected(word)

    def _expected(self, what: str, hint: str = "") -> WhereError:
        found = self._next
        told = "the condition ends" if found.kind == "end" else f"{found.source!r} stands"
        return WhereError(f"{told} where {what} should be", text=self._text, place=found.place, hint=hint)

    def _condition(self, depth: int) -> Tree:
        return self._chain("or", lambda: self._chain("and", lambda: self._negation(depth)))

    def _chain(self, word: Literal["and", "or"], part: Callable[[], Tree]) -> Tree:
        parts = [part()]
        while self._took(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Chain(word, tuple(parts))

    def _negation(self, depth: int) -> Tree:
        if depth > DEPTH_MAX:
            raise WhereError(
                f"more than {DEPTH_MAX} parentheses or nots in one another", text=self._text, place=self._next.place
            )
        if self._took("not"):
            return Not(self._negation(depth + 1))
        if self._took("("):
            tree = self._condition(depth + 1)
            self._demand(")")
            return tree
        return self._comparison()

    def _comparison(self) -> Comparison:
        field = self._next
        if field.kind != "word" or field.source.lower() in _KEYWORDS:
            hint = "the field stands first: region = 'us'" if field.kind in ("text", "number") else ""
            raise self._expected("a field", hint)
        self._comparisons += 1
        if self._comparisons > COMPARISONS_MAX:
            raise WhereError(
                f"more than {COMPARISONS_MAX} comparisons", text=self._text, place=field.place, hint="use in (…)"
            )
        self._at += 1
        sign = _SIGNS.get(self._next.source) if self._next.kind == "sign" else None
        if sign is not None:
            self._at += 1
            return Comparison(field.source, field.place, sign, (self._literal(),))
        if self._took("is"):
            is_negated = self._took("not")
            operator: Operator = "is nan" if self._took("nan") else "is null"
            if operator == "is null":
                self._demand("null")
            return Comparison(field.source, field.place, operator, (), is_negated)
        return self._worded(field, is_negated=self._took("not"))

    def _worded(self, field: Token, *, is_negated: bool) -> Comparison:
        if self._took("in"):
            self._demand("(")
            literals = [self._literal()]
            while self._took(","):
                literals.append(self._literal())
            self._demand(")")
            return Comparison(field.source, field.place, "in", tuple(literals), is_negated)
        if self._took("like"):
            return Comparison(field.source, field.place, "like", (self._literal(),), is_negated)
        if self._took("between"):
            low = self._literal()
            self._demand("and")
            return Comparison(field.source, field.place, "between", (low, self._literal()), is_negated)
        raise self._expected("in, like or between" if is_negated else "a comparison (=, !=, <, in, like, is null …)")

    def _literal(self) -> Constant:
        token = self._next
        self._literals += 1
        if self._literals > LITERALS_MAX:
            raise WhereError(f"more than {LITERALS_MAX} values", text=self._text, place=token.place)
        if token.kind in ("text", "number"):
            return Constant(self._take().value, token.place)
        word = token.source.lower()
        if token.kind == "word" and word in _WORDS:
            self._at += 1
            return Constant(_WORDS[word], token.place)
        hint = ""
        if word in ("null", "nan"):
            hint = f"write: is {word}, or: is not {word}"
        elif token.kind == "word":
            hint = f"texts stand in 'single quotes': '{token.source}'"
        raise self._expected("a value", hint)
