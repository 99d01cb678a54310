"""HCL's syntax tree. Each node has its offsets in the source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Node:
    """Base of all nodes: `start` is the offset of its first character, `end` the one after its last."""

    start: int
    end: int


@dataclass(slots=True)
class Literal(Node):
    """A number, bool, null or string without interpolation."""

    value: object


@dataclass(slots=True)
class Template(Node):
    """A quoted string or heredoc with interpolations: the parts' texts joined."""

    parts: list[Node]


@dataclass(slots=True)
class Parentheses(Node):
    """`(x)`, or `"${x}"` alone: the value of x, whatever its type, but never treated as a literal."""

    inner: Node


@dataclass(slots=True)
class TemplateFor(Node):
    """`%{ for … }…%{ endfor }`: the texts of a For, joined."""

    loop: For


@dataclass(slots=True)
class Reference(Node):
    """`name`, then the steps of `name.attr`, `name["key"]`, `name[0]`; a step is its key and its offset."""

    name: str
    steps: list[tuple[object, int]] = field(default_factory=list)


@dataclass(slots=True)
class Access(Node):
    """Steps on something that isn't a name: `f(x).attr`."""

    target: Node
    steps: list[tuple[object, int]]


@dataclass(slots=True)
class Index(Node):
    """`target[key]` where the key has to be computed."""

    target: Node
    key: Node


@dataclass(slots=True)
class Splat(Node):
    """`target[*].…` or `target.*.…`: `each` is computed for every element, which it sees as an Element."""

    target: Node
    each: Node


@dataclass(slots=True)
class Element(Node):
    """The current element inside a Splat."""


@dataclass(slots=True)
class Call(Node):
    """`name(args)`; with `expand_last` the last argument is a list of arguments (`...`)."""

    name: str
    args: list[Node]
    expand_last: bool


@dataclass(slots=True)
class Unary(Node):
    """`-x` or `!x`."""

    operator: str
    operand: Node


@dataclass(slots=True)
class Binary(Node):
    """Two operands and their operator."""

    operator: str
    left: Node
    right: Node


@dataclass(slots=True)
class Conditional(Node):
    """`condition ? if_true : if_false`, or a template's `%{ if }`."""

    condition: Node
    if_true: Node
    if_false: Node


@dataclass(slots=True)
class TupleLiteral(Node):
    """`[a, b]`"""

    items: list[Node]


@dataclass(slots=True)
class ObjectLiteral(Node):
    """`{ key = value }`; a key that is a bare name is a Literal already."""

    items: list[tuple[Node, Node]]


@dataclass(slots=True)
class For(Node):
    """`[for k, v in collection : value if condition]` or `{for … : key => value...}`."""

    key_name: str | None
    value_name: str
    collection: Node
    key: Node | None
    value: Node
    condition: Node | None
    group: bool


@dataclass(slots=True)
class Attribute(Node):
    """`name = expression`"""

    name: str
    expression: Node


@dataclass(slots=True)
class Block(Node):
    """`type "label" { body }`; each label with its offset."""

    type: str
    labels: list[tuple[str, int]]
    body: Body


@dataclass(slots=True)
class Body(Node):
    """The attributes by name and the blocks in order, of a file or a block."""

    attributes: dict[str, Attribute] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)


def references(node: Any, bound: frozenset[str] = frozenset()) -> Iterator[Reference]:
    """Yields the references of an expression to names outside of it. `bound`: the names of the loops around it."""
    if isinstance(node, Reference) and node.name not in bound:
        yield node
    if isinstance(node, For):
        yield from references(node.collection, bound)
        bound = bound | {node.key_name or "", node.value_name}
        inner: list[Any] = [node.key, node.value, node.condition]
    elif isinstance(node, list | tuple):
        inner = list(node)
    else:
        inner = [getattr(node, name) for name in getattr(node, "__dataclass_fields__", ())]
    for part in inner:
        if isinstance(part, Node | list | tuple):
            yield from references(part, bound)
