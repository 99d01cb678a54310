"""The syntax tree of a type (`list(string)`) goes in; the Type comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.hcl import syntax
from jobs.hcl.source import did_you_mean
from jobs.hcl.values import ANY, BOOL, NUMBER, STRING, Type

if TYPE_CHECKING:
    from jobs.hcl.source import Source

_PRIMITIVES = {"string": STRING, "number": NUMBER, "bool": BOOL, "any": ANY}
_COLLECTIONS = ("list", "set", "map")


def read_type(source: Source, node: syntax.Node) -> Type:
    """The type constraint that an expression writes down."""
    if isinstance(node, syntax.Reference) and not node.steps:
        if node.name in _PRIMITIVES:
            return _PRIMITIVES[node.name]
        if node.name in _COLLECTIONS:
            return Type(node.name, ANY)
    if isinstance(node, syntax.Call) and len(node.args) == 1 and not node.expand_last:
        arg = node.args[0]
        if node.name in _COLLECTIONS:
            return Type(node.name, read_type(source, arg))
        if node.name == "tuple" and isinstance(arg, syntax.TupleLiteral):
            return Type("tuple", items=tuple(read_type(source, item) for item in arg.items))
        if node.name == "object" and isinstance(arg, syntax.ObjectLiteral):
            fields = [
                (key.value, read_type(source, item)) for key, item in arg.items if isinstance(key, syntax.Literal)
            ]
            return Type("object", fields=tuple((str(name), of) for name, of in fields))
    name = node.name if isinstance(node, (syntax.Reference, syntax.Call)) else ""
    known = [*_PRIMITIVES, *_COLLECTIONS, "tuple", "object"]
    raise source.error(
        "this is no type",
        node.start,
        hint=(did_you_mean(name, known) if name not in known else "")
        or "Types are string, number, bool, any, list(…), set(…), map(…), tuple([…]) and object({…}), without quotes.",
    )


def type_of(value: object) -> Type:
    """The type that a default gives to a variable that declares none."""
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, str):
        return STRING
    if isinstance(value, list):
        return Type("tuple", items=tuple(type_of(item) for item in value))
    if isinstance(value, dict):
        return Type("object", fields=tuple((key, type_of(item)) for key, item in value.items()))
    return ANY if value is None else NUMBER
