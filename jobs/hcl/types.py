"""The syntax tree of a type (`list(string)`) goes in; the Type comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.hcl import syntax
from jobs.hcl.source import did_you_mean
from jobs.hcl.values import ANY, BOOL, NUMBER, STRING, Type

if TYPE_CHECKING:
    from jobs.hcl.source import Source

_PRIMITIVES = {"string": STRING, "number": NUMBER, "bool": BOOL}
_COLLECTIONS = ("list", "set", "map")
_KNOWN = (*_PRIMITIVES, *_COLLECTIONS, "tuple", "object")


def read_type(source: Source, node: syntax.Node, *, allow_any: bool = False) -> Type:
    """The type constraint that an expression writes down; `any` is one only in convert()."""
    name = node.name if isinstance(node, (syntax.Reference, syntax.Call)) else ""
    if isinstance(node, syntax.Reference) and not node.steps:
        if name in _PRIMITIVES:
            return _PRIMITIVES[name]
        if name == "any" and allow_any:
            return ANY
    if isinstance(node, syntax.Call) and len(node.args) == 1 and not node.expand_last:
        arg = node.args[0]
        if name in _COLLECTIONS:
            return Type(name, read_type(source, arg, allow_any=allow_any))
        if name == "tuple" and isinstance(arg, syntax.TupleLiteral):
            return Type(name, items=tuple(read_type(source, item, allow_any=allow_any) for item in arg.items))
        if name == "object" and isinstance(arg, syntax.ObjectLiteral):
            fields = [
                (str(key.value), read_type(source, item, allow_any=allow_any))
                for key, item in arg.items
                if isinstance(key, syntax.Literal)
            ]
            return Type(name, fields=tuple(fields))
    raise source.error("this is no type", node.start, hint=_hint(node, name))


def _hint(node: syntax.Node, name: str) -> str:
    if name == "any":
        return "Leave the type out to take values of any type."
    if name in _COLLECTIONS:
        return f"Say what it holds, as in {name}(string)."
    if isinstance(node, syntax.Literal) and node.value in _KNOWN:
        return "Types are written without quotes."
    near = did_you_mean(name, _KNOWN) if name and name not in _KNOWN else ""
    return near or "Types are string, number, bool, list(…), set(…), map(…), tuple([…]) and object({…})."


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
