"""Maps the syntax tree of a block to Nomad's API JSON, by the table of the block's fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from jobs.hcl import syntax
from jobs.hcl.dynamic import Found, expand
from jobs.hcl.limits import BLOCK_STEPS
from jobs.hcl.rules import FINISHERS, SHORTHANDS
from jobs.hcl.schema import BY_LABEL, INTEGER_RANGES, MANY, TEXT_MAP_OR_ARGUMENT, BlockType, Field
from jobs.hcl.schema_job import BLOCK_TYPES
from jobs.hcl.source import did_you_mean
from jobs.hcl.values import ValueProblem, to_bool, to_duration, to_json, to_string, to_whole_number, type_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.hcl.evaluate import Evaluator, Names


class Mapper:
    """Maps blocks to JSON with one evaluator."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self.source = evaluator.source

    def map_block(self, kind: BlockType, block: Found) -> dict[str, Any]:
        """Returns the JSON of one block. Raises HclError for anything that the block may not contain."""
        self.evaluator.spend(BLOCK_STEPS, block.body)
        mapped: dict[str, Any] = dict(kind.absent)
        self._check_labels(kind, block)
        if kind.label is not None:
            mapped[kind.label.api] = block.labels[0][0]
        self._map_arguments(mapped, kind, block)
        self._map_blocks(mapped, kind, block)
        finish = FINISHERS.get(kind.name)
        if finish is not None:
            try:
                finish(mapped)
            except ValueProblem as problem:
                raise self.source.error(str(problem), block.labels[0][1] if block.labels else block.at) from None
        return mapped

    def _map_arguments(self, mapped: dict[str, Any], kind: BlockType, block: Found) -> None:
        for attribute in block.body.attributes.values():
            field = kind.arguments.get(attribute.name)
            if field is not None:
                value = self.evaluator.whole_value(attribute.expression, block.names)
                mapped[field.api] = self._argument(field, value, attribute.expression)
                continue
            field = kind.blocks.get(attribute.name)
            if field is None or field.kind != TEXT_MAP_OR_ARGUMENT:
                self._unknown_argument(kind, block.type, attribute, field)
            value = self.evaluator.whole_value(attribute.expression, block.names)
            mapped[field.api] = (
                None if value is None else self.evaluator.converted(_read_text_map, value, attribute.expression)
            )
        for field in kind.required:
            if field.name not in block.body.attributes:
                raise self.source.error(f'"{block.type}" lacks its argument "{field.name}"', block.at)

    def _map_blocks(self, mapped: dict[str, Any], kind: BlockType, block: Found) -> None:
        set_at = {name: attribute.start for name, attribute in block.body.attributes.items()}

        def check(made: Found, labels: syntax.Attribute | None) -> None:
            field = kind.blocks.get(made.type)
            if field is None:
                self._unknown_block(kind, block.type, made)
            self._check_dynamic_labels(field, made, labels)

        for inner in expand(self.evaluator, block.body, block.names, check):
            field = kind.blocks.get(inner.type)
            if field is None:
                self._unknown_block(kind, block.type, inner)
            if inner.type in set_at and field.kind not in (MANY, BY_LABEL):
                line, _ = self.source.position(set_at[inner.type])
                problem = f'only one "{inner.type}" is possible here; the first is on line {line}'
                raise self.source.error(problem, inner.at)
            set_at.setdefault(inner.type, inner.at)
            self._map_inner(mapped, field, inner)

    def _map_inner(self, mapped: dict[str, Any], field: Field, inner: Found) -> None:
        how = field.kind.how
        if how in ("one", "many", "by_label"):
            kind = BLOCK_TYPES[field.block]
            value = self._map_shorthand(kind, inner) if kind.name in SHORTHANDS else self.map_block(kind, inner)
            if how == "one":
                mapped[field.api] = value
            elif how == "many":
                mapped[field.api] = mapped.get(field.api) or []
                mapped[field.api].append(value)
            else:
                mapped[field.api] = mapped.get(field.api) or {}
                mapped[field.api][inner.labels[0][0]] = value
            return
        if inner.labels:
            raise self.source.error(f'a "{inner.type}" block takes no label', inner.labels[0][1])
        if how == "free_form":
            mapped[field.api] = self.free_form(inner.body, inner.names)
        elif how == "texts_map":
            mapped[field.api] = self._map_of(_read_strings, inner)
        else:
            mapped[field.api] = self._map_of(to_string, inner)

    def free_form(self, body: syntax.Body, names: Names | None) -> dict[str, Any]:
        """Maps a block whose names a plugin defines (`config`, `policy`).

        Written-out blocks and objects become lists. A name whose value is null is left out.
        """
        return {name: value for name, value in self._free_form(body, names).items() if value is not None}

    def _free_form(self, body: syntax.Body, names: Names | None) -> dict[str, Any]:
        mapped: dict[str, Any] = {}
        for attribute in body.attributes.values():
            value = self.evaluator.whole_value(attribute.expression, names)
            value = self.evaluator.converted(to_json, value, attribute.expression)
            mapped[attribute.name] = [value] if isinstance(attribute.expression, syntax.ObjectLiteral) else value
        blocks: dict[str, list[Any]] = {}
        for block in body.blocks:
            value = self._free_form(block.body, names)
            for label, _ in reversed(block.labels):
                value = {label: [value]}
            blocks.setdefault(block.type, []).append(value)
        return {**mapped, **blocks}

    def _argument(self, field: Field, value: object, node: syntax.Node) -> object:
        how = field.kind.how
        if value is None and field.kind.absent is None and how != "duration":
            return None
        return self.evaluator.converted(
            _refuse_null if value is None else _READERS[how], value, node, f'"{field.name}"'
        )

    def _map_of(self, read: Callable[[object], Any], block: Found) -> dict[str, Any]:
        for inner in block.body.blocks:
            raise self.source.error(f'"{block.type}" holds names and values, no blocks', inner.start)
        return {
            attribute.name: self.evaluator.converted(
                read, self.evaluator.whole_value(attribute.expression, block.names), attribute.expression
            )
            for attribute in block.body.attributes.values()
        }

    def _map_shorthand(self, kind: BlockType, block: Found) -> dict[str, Any]:
        """Maps a constraint or an affinity. `version = ">= 1"` stands for operator and value."""
        self._check_labels(kind, block)
        known = SHORTHANDS[kind.name]
        given: dict[str, object] = {}
        for attribute in block.body.attributes.values():
            read = known.arguments.get(attribute.name)
            if read is None:
                self._unknown_argument(kind, block.type, attribute, None, known.arguments)
            value = self.evaluator.whole_value(attribute.expression, block.names)
            if value is not None:
                what = f'"{attribute.name}"'
                given[attribute.name] = self.evaluator.converted(read, value, attribute.expression, what)
        for inner in expand(
            self.evaluator, block.body, block.names, lambda made, _: self._unknown_block(kind, block.type, made)
        ):
            self._unknown_block(kind, block.type, inner)
        return known.resolve(given)

    def _check_labels(self, kind: BlockType, block: Found) -> None:
        wanted = 1 if kind.label is not None else 0
        if len(block.labels) > wanted:
            takes = "one label only" if wanted else "no label"
            raise self.source.error(f'a "{block.type}" block takes {takes}', block.labels[wanted][1])
        if len(block.labels) < wanted:
            raise self.source.error(
                f'a "{block.type}" block needs a label', block.at, hint=f'{block.type} "name" {{ … }}'
            )

    def _check_dynamic_labels(self, field: Field, made: Found, labels: syntax.Attribute | None) -> None:
        takes_label = field.block in BLOCK_TYPES and BLOCK_TYPES[field.block].label is not None
        if takes_label and labels is None:
            raise self.source.error(f'a dynamic "{made.type}" needs its argument "labels"', made.at)
        if labels is not None and not takes_label:
            raise self.source.error(f'a "{made.type}" block takes no label', labels.start)

    def _unknown_argument(
        self,
        kind: BlockType,
        block: str,
        attribute: syntax.Attribute,
        as_block: Field | None,
        known: dict[str, Any] | None = None,
    ) -> NoReturn:
        name = attribute.name
        if as_block is not None:
            problem, hint = f'"{name}" is a block in "{block}", not an argument', f"Write {name} {{ … }}, without =."
        else:
            problem = f'there is no argument "{name}" in "{block}"'
            hint = did_you_mean(name, known if known is not None else [*kind.arguments, *kind.blocks])
        raise self.source.error(problem, attribute.start, hint=hint)

    def _unknown_block(self, kind: BlockType, block: str, inner: Found) -> NoReturn:
        name = inner.type
        if name in kind.arguments:
            problem, hint = f'"{name}" is an argument in "{block}", not a block', f"Write {name} = …"
        else:
            problem = f'there is no block "{name}" in "{block}"'
            hint = did_you_mean(name, [*kind.blocks, *kind.arguments])
        raise self.source.error(problem, inner.at, hint=hint)


def _refuse_null(_: object) -> NoReturn:
    raise ValueProblem("null is not possible here")


def _read_whole(how: str) -> Callable[[object], object]:
    smallest, largest = INTEGER_RANGES[how]

    def read(value: object) -> int:
        whole = to_whole_number(value)
        if not smallest <= whole <= largest:
            raise ValueProblem(f"a whole number from {smallest} to {largest} is required, not {whole}")
        return whole

    return read


def _read_strings(value: object) -> list[str]:
    if not isinstance(value, list):
        raise ValueProblem(f"a list of strings is required, not a {type_name(value)}")
    return [to_string(item) for item in value]


def _read_ports(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueProblem(f"a list of port numbers is required, not a {type_name(value)}")
    return [_READERS["uint16"](item) for item in value]


def _read_text_map(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueProblem(f"a map of strings is required, not a {type_name(value)}")
    return {key: to_string(item) for key, item in sorted(value.items())}


def _read_duration(value: object) -> object:
    if isinstance(value, str):
        return to_duration(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueProblem(f'a duration such as "30s" is required, not a {type_name(value)}')
    return _READERS["int64"](value)


_READERS: dict[str, Callable[[object], object]] = {
    "string": to_string,
    "bool": to_bool,
    "strings": _read_strings,
    "duration": _read_duration,
    "ports": _read_ports,
    "text_map_argument": _read_text_map,
    **{how: _read_whole(how) for how in INTEGER_RANGES},
}
