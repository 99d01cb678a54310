"""The body of a block goes in; its blocks come out, `dynamic` ones replaced by the blocks that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jobs.hcl import syntax
from jobs.hcl.source import did_you_mean
from jobs.hcl.values import ValueProblem, pairs, to_string, type_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.hcl.evaluate import Evaluator, Names

_ARGUMENTS = ("for_each", "iterator", "labels")


class Found(NamedTuple):
    """A block as written, or one that a `dynamic` block made: with the names that its expressions see."""

    type: str
    labels: list[tuple[str, int]]
    body: syntax.Body
    names: Names | None
    at: int


def expand(evaluator: Evaluator, body: syntax.Body, names: Names | None) -> Iterator[Found]:
    """The blocks in order; `names` are those of a surrounding dynamic block, or None."""
    for block in body.blocks:
        if block.type == "dynamic":
            yield from _made_by(evaluator, block, names)
        else:
            yield Found(block.type, block.labels, block.body, names, block.start)


def _made_by(evaluator: Evaluator, block: syntax.Block, names: Names | None) -> Iterator[Found]:
    source = evaluator.source
    made, content, iterator = _read(evaluator, block)
    for_each = block.body.attributes["for_each"].expression
    labels = block.body.attributes.get("labels")
    items = evaluator.value(for_each, names)
    if not isinstance(items, (list, dict)):
        raise source.error(f'"for_each" goes through a list or a map, not a {type_name(items)}', for_each.start)
    for key, value in pairs(items):
        inner: Names = {**(names or evaluator.names or {}), iterator: {"key": key, "value": value}}
        made_labels: list[tuple[str, int]] = []
        if labels is not None:
            if not isinstance(labels.expression, syntax.TupleLiteral):
                raise source.error('"labels" is a list written out', labels.expression.start)
            made_labels = [(_label(evaluator, node, inner), node.start) for node in labels.expression.items]
        yield Found(made, made_labels, content.body, inner, block.start)


def _read(evaluator: Evaluator, block: syntax.Block) -> tuple[str, syntax.Block, str]:
    """The type of the blocks to make, their content, and the name that stands for the element at hand."""
    source, arguments = evaluator.source, block.body.attributes
    if len(block.labels) != 1:
        raise source.error('"dynamic" takes one label: the type of the blocks that it makes', block.start)
    for argument in arguments.values():
        if argument.name not in _ARGUMENTS:
            hint = did_you_mean(argument.name, _ARGUMENTS)
            raise source.error(f'there is no argument "{argument.name}" in "dynamic"', argument.start, hint=hint)
    if "for_each" not in arguments:
        raise source.error('"dynamic" lacks its argument "for_each"', block.start)
    if [inner.type for inner in block.body.blocks] != ["content"]:
        raise source.error('"dynamic" holds exactly one block, "content"', block.start)
    made = iterator = block.labels[0][0]
    if "iterator" in arguments:
        name = arguments["iterator"].expression
        if not isinstance(name, syntax.Reference) or name.steps:
            raise source.error('"iterator" is a bare name', name.start)
        iterator = name.name
    return made, block.body.blocks[0], iterator


def _label(evaluator: Evaluator, node: syntax.Node, names: Names) -> str:
    try:
        return to_string(evaluator.value(node, names))
    except ValueProblem as problem:
        raise evaluator.source.error(str(problem), node.start) from None
