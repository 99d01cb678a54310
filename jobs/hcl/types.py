"""Type constraints such as `list(string)`: parses them and converts values to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.frozen import frozen
from jobs.hcl import syntax
from jobs.hcl.source import did_you_mean
from jobs.hcl.values import ListValue, MapValue, ValueProblem, described, make_set, to_bool, to_number, to_string, unify

if TYPE_CHECKING:
    from jobs.hcl.source import Source


@frozen
class Type:
    """A type constraint: `of` for list, set and map; `items` for tuple; `fields` for object."""

    kind: str
    of: Type | None = None
    items: tuple[Type, ...] = ()
    fields: tuple[tuple[str, Type], ...] = ()

    def __str__(self) -> str:
        if self.of is not None:
            return f"{self.kind} of {self.of}"
        return self.kind


STRING = Type("string")
NUMBER = Type("number")
BOOL = Type("bool")
ANY = Type("any")

_PRIMITIVES = {"string": STRING, "number": NUMBER, "bool": BOOL}
_COLLECTIONS = ("list", "set", "map")
_KNOWN = (*_PRIMITIVES, *_COLLECTIONS, "tuple", "object")


def read_type(source: Source, node: syntax.Node, *, allow_any: bool = False) -> Type:
    """Reads a type constraint from an expression. Only convert() may use `any`."""
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
    raise source.error("this is not a valid type", node.start, hint=_hint(node, name))


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
    """Returns the type of a variable that declares only a default."""
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, str):
        return STRING
    if isinstance(value, list):
        return Type("tuple", items=tuple(type_of(item) for item in value))
    if isinstance(value, dict):
        return Type("object", fields=tuple((key, type_of(item)) for key, item in value.items()))
    return ANY if value is None else NUMBER


def convert(value: object, wanted: Type) -> object:
    """Converts the value to the type. null stays null. Raises ValueProblem where no conversion exists."""
    kind = wanted.kind
    if value is None or kind == "any":
        return value
    if kind == "string":
        return to_string(value)
    if kind == "number":
        return to_number(value)
    if kind == "bool":
        return to_bool(value)
    if kind in ("list", "set"):
        return _convert_sequence(value, wanted)
    if kind == "tuple":
        if not isinstance(value, list) or len(value) != len(wanted.items):
            raise ValueProblem(f"a list of exactly {len(wanted.items)} elements is required, not {described(value)}")
        return [convert(item, of) for item, of in zip(value, wanted.items, strict=True)]
    if not isinstance(value, dict):
        raise ValueProblem(f"{'a map' if kind == 'map' else 'an object'} is required, not {described(value)}")
    if kind == "map":
        items = unify(list(value.values())) if wanted.of == ANY else value.values()
        return MapValue((key, _element(item, wanted, f'"{key}"')) for key, item in zip(value, items, strict=True))
    missing = [name for name, _ in wanted.fields if name not in value]
    if missing:
        raise ValueProblem("the object lacks " + ", ".join(f'"{name}"' for name in missing))
    return {name: _element_of(value[name], of, f'"{name}"') for name, of in wanted.fields}


def _convert_sequence(value: object, wanted: Type) -> object:
    if not isinstance(value, list):
        raise ValueProblem(f"a {wanted} is required, not {described(value)}")
    converted = [_element(item, wanted, f"element {n}") for n, item in enumerate(value)]
    if _holds_any(wanted):
        converted = unify(converted)
    return make_set(converted) if wanted.kind == "set" else ListValue(converted)


def _holds_any(wanted: Type) -> bool:
    return wanted == ANY or (wanted.of is not None and _holds_any(wanted.of))


def _element(item: object, wanted: Type, place: str) -> object:
    assert wanted.of is not None
    return _element_of(item, wanted.of, place)


def _element_of(item: object, of: Type, place: str) -> object:
    try:
        return convert(item, of)
    except ValueProblem as problem:
        raise ValueProblem(f"{place}: {problem}") from None
