"""Computes the value of each declared variable from its default and the given sources."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jobs.hcl import syntax
from jobs.hcl.evaluate import Evaluator
from jobs.hcl.functions import FUNCTIONS
from jobs.hcl.parser import parse_body, parse_expression
from jobs.hcl.source import Source, did_you_mean
from jobs.hcl.types import Type, convert, read_type, type_of
from jobs.hcl.values import ValueProblem, from_python, parse_number, to_bool

ENVIRONMENT_PREFIX = "NOMAD_VAR_"


@dataclass(frozen=True)
class VariableSource:
    """Values for variables from one source. `name` is its name in errors ("-var", a file's path).

    A str is read as Nomad reads `-var`: literally for a variable of type string, number or without a type, otherwise
    as an HCL expression. Other Python values (bool, int, float, list, dict) are used as they are. With
    `ignore_undeclared`, names that the job doesn't declare are not an error.
    """

    name: str
    values: Mapping[str, object]
    ignore_undeclared: bool = False
    text: Source | None = None
    offsets: Mapping[str, int] = field(default_factory=dict)


class Evaluated(str):
    """A string that is already a value (from a variable file), not an expression."""

    __slots__ = ()


@dataclass(slots=True)
class _Variable:
    name: str
    at: int
    type: Type | None = None
    has_value: bool = False
    value: object = None
    is_inferred: bool = False
    validations: list[syntax.Block] = field(default_factory=list)


def load_var_file(path: Path) -> VariableSource:
    """Reads a file of `name = value` lines, or one JSON object. Raises HclError, also when the file can't be read."""
    return read_var_file(read_text(path), str(path))


def read_var_file(text: str, name: str) -> VariableSource:
    """Reads variables from a text. `name` is its name in errors."""
    source = Source(text, name)
    if text.lstrip().startswith("{"):
        try:
            parsed = json.loads(text, parse_float=parse_number, parse_int=parse_number)
        except (ValueError, RecursionError) as error:
            at = error.pos if isinstance(error, json.JSONDecodeError) else 0
            raise source.error("this is not valid JSON", at) from None
        values = {key: Evaluated(value) if isinstance(value, str) else value for key, value in parsed.items()}
        return VariableSource(name, values, text=source)
    body = parse_body(source)
    for block in body.blocks:
        if block.type == "variable":
            raise source.error("a variable file can't declare variables", block.start, hint="Write name = value here.")
        raise source.error(f'a variable file holds name = value, no blocks such as "{block.type}"', block.start)
    evaluator = Evaluator(source)
    values = {}
    for key, attribute in body.attributes.items():
        try:
            value = evaluator.value(attribute.expression)
        except RecursionError:
            raise source.error("nested too deeply", attribute.start) from None
        values[key] = Evaluated(value) if isinstance(value, str) else value
    offsets = {key: attribute.start for key, attribute in body.attributes.items()}
    return VariableSource(name, values, text=source, offsets=offsets)


def environment_variables(environ: Mapping[str, str]) -> VariableSource:
    """Reads the NOMAD_VAR_name variables of an environment. Ignores those that the job doesn't declare."""
    values = {
        name.removeprefix(ENVIRONMENT_PREFIX): value
        for name, value in environ.items()
        if name.startswith(ENVIRONMENT_PREFIX)
    }
    return VariableSource("the environment", values, ignore_undeclared=True)


def read_text(path: Path) -> str:
    """Reads the text of a file. Raises HclError when it is missing or not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        problem = "not a text in UTF-8"
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or str(error)
    raise Source("", str(path)).error(f"can't be read: {problem}", 0)


def resolve_variables(source: Source, body: syntax.Body, sources: Sequence[VariableSource]) -> dict[str, object]:
    """Returns the value of every declared variable: its default, overridden by each source in turn."""
    variables = _declared(source, body)
    for given in sources:
        for name, value in given.values.items():
            variable = variables.get(name)
            if variable is not None:
                variable.value = _given_value(variable, value, given)
                variable.has_value = True
            elif not given.ignore_undeclared:
                hint = did_you_mean(name, variables) or f'Declare it in the job: variable "{name}" {{ }}'
                raise _where(given, name).error(
                    f'the job declares no variable "{name}", which {given.name} sets',
                    given.offsets.get(name, 0),
                    hint=hint,
                )
    for variable in variables.values():
        if not variable.has_value:
            raise source.error(
                f'the variable "{variable.name}" has no value',
                variable.at,
                hint=f"Give it one (-var {variable.name}=…), or a default here.",
            )
        _validate(source, variable)
    return {name: variable.value for name, variable in variables.items()}


def _declared(source: Source, body: syntax.Body) -> dict[str, _Variable]:
    variables: dict[str, _Variable] = {}
    for block in body.blocks:
        found: list[_Variable] = []
        if block.type == "variable":
            found = [_declaration(source, block)]
        elif block.type == "variables":
            for attribute in block.body.attributes.values():
                value = Evaluator(source).value(attribute.expression)
                found.append(_Variable(attribute.name, attribute.start, type_of(value), True, value, is_inferred=True))
        for variable in found:
            if variable.name in variables:
                line, _ = source.position(variables[variable.name].at)
                raise source.error(f'the variable "{variable.name}" is already declared on line {line}', variable.at)
            variables[variable.name] = variable
    return variables


def _declaration(source: Source, block: syntax.Block) -> _Variable:
    if len(block.labels) != 1:
        raise source.error('"variable" takes one label, its name', block.start)
    name, at = block.labels[0]
    if not name.replace("-", "_").isidentifier() or name.startswith("-"):
        raise source.error(f'"{name}" can\'t be the name of a variable', at)
    variable = _Variable(name, block.start)
    arguments = block.body.attributes
    known = ("default", "type", "description")
    for argument in arguments.values():
        if argument.name not in known:
            hint = did_you_mean(argument.name, [*known, "validation"])
            raise source.error(f'there is no argument "{argument.name}" in "variable"', argument.start, hint=hint)
    for inner in block.body.blocks:
        if inner.type != "validation":
            raise source.error(f'there is no block "{inner.type}" in "variable"', inner.start)
        if inner.labels:
            raise source.error('a "validation" block takes no label', inner.labels[0][1])
        variable.validations.append(inner)
    if "type" in arguments:
        variable.type = read_type(source, arguments["type"].expression)
    default = arguments.get("default")
    if default is not None:
        evaluator = Evaluator(source)
        variable.value = value = evaluator.value(default.expression)
        variable.has_value = True
        if variable.type is None:
            variable.type, variable.is_inferred = type_of(value), True
        else:
            wanted, what = variable.type, f'the default of "{name}"'
            variable.value = evaluator.converted(lambda given: convert(given, wanted), value, default.expression, what)
    return variable


def _given_value(variable: _Variable, value: object, given: VariableSource) -> object:
    where = _where(given, variable.name)
    try:
        if isinstance(value, str) and not isinstance(value, Evaluated):
            if variable.type is None or variable.type.kind in ("string", "number"):
                value = str(value)
            else:
                where = Source(value, where.filename)
                value = Evaluator(where).value(parse_expression(where))
        else:
            value = from_python(value)
        if variable.type is None:
            return value
        if variable.is_inferred and variable.type.kind == "object" and isinstance(value, dict):
            unknown = [key for key in value if key not in dict(variable.type.fields)]
            if unknown:
                raise ValueProblem(f'its default has no attribute "{unknown[0]}"; declare its type to allow more')
        return convert(value, variable.type)
    except ValueProblem as problem:
        hint = "Declare the variable's type to allow others than that of its default." if variable.is_inferred else ""
        at = given.offsets.get(variable.name, 0)
        raise where.error(f'the variable "{variable.name}": {problem}', at, hint=hint) from None


def _where(given: VariableSource, name: str) -> Source:
    """Returns the text that an error about this value points into."""
    if given.text is not None:
        return given.text
    return Source("", f"{given.name} {name}")


def _validate(source: Source, variable: _Variable) -> None:
    evaluator = Evaluator(source, {"var": {variable.name: variable.value}}, FUNCTIONS)
    for block in variable.validations:
        arguments = block.body.attributes
        for name in ("condition", "error_message"):
            if name not in arguments:
                raise source.error(f'"validation" lacks its argument "{name}"', block.start)
        condition = arguments["condition"].expression
        _check_references(source, variable.name, condition)
        holds = evaluator.converted(to_bool, evaluator.value(condition), condition, "the condition")
        message = _message(source, arguments["error_message"].expression)
        if not holds:
            raise source.error(f'the value of "{variable.name}" is not valid: {message}', variable.at)


def _check_references(source: Source, name: str, condition: syntax.Node) -> None:
    """Refuses a condition that refers to anything but its variable, or not to it."""
    references = list(syntax.references(condition))
    for reference in references:
        if reference.name != "var" or [key for key, _ in reference.steps[:1]] != [name]:
            raise source.error(f'the condition of "{name}" can refer to var.{name} only', reference.start)
    if not references:
        raise source.error(f'the condition of "{name}" doesn\'t refer to var.{name}', condition.start)


def _message(source: Source, node: syntax.Node) -> str:
    """Reads the error message of a validation. Before 2.0.5 Nomad required an English sentence."""
    message = Evaluator(source).value(node)
    if not isinstance(message, str) or not message.strip():
        raise source.error("the error message is empty", node.start, hint='As in "The count is at least 1."')
    return message
