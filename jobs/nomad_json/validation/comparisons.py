"""Checks constraints, affinities and spreads."""

from __future__ import annotations

import re
from collections.abc import Iterator

from jobs.nomad_json.validation.patterns import pattern_problem
from jobs.nomad_json.validation.problem import Problem, Record, Version, nested, numbered, quoted

_SETS = ("set_contains", "set_contains_all", "set_contains_any")
_COMPARISONS = ("=", "==", "is", "!=", "not", "<", "<=", ">", ">=")
_DISTINCT = ("distinct_hosts", "distinct_property")
_ATTRIBUTES_CHECKED = (1, 11, 2)
_NODE_FIELDS = ("unique.id", "datacenter", "unique.name", "class", "pool")
_UINT64_MAX = 2**64 - 1


def constraints(blocks: list[Record] | None, version: Version) -> list[Problem]:
    return numbered(blocks, lambda block: constraint(block, version), "constraint", "Constraint {} validation failed: ")


def affinities(blocks: list[Record] | None, version: Version) -> list[Problem]:
    return numbered(blocks, lambda block: _affinity(block, version), "affinity", "Affinity {} validation failed: ")


def spreads(blocks: list[Record] | None) -> list[Problem]:
    return numbered(blocks, _spread, "spread", "Spread {} validation failed: ")


def constraint(block: Record, version: Version) -> Iterator[Problem]:
    operand, target = block["Operand"], block["RTarget"]
    if not operand:
        yield Problem("Missing constraint operand", (("operator", None),))
    if operand in _SETS and not target:
        yield Problem("Set contains constraint requires an RTarget", (("value", None),))
    elif operand == "distinct_property":
        yield from _count(target)
    elif operand in ("is_set", "is_not_set") and target:
        yield Problem(f'Operator "{operand}" does not support an RTarget', (("value", None),))
    elif operand not in (*_SETS, *_DISTINCT, "is_set", "is_not_set"):
        yield from _operator(block, "constraint", f"Unknown constraint type {quoted(operand)}", version)
    if operand != "distinct_hosts":
        yield from _attribute(block["LTarget"], version)


def _affinity(block: Record, version: Version) -> Iterator[Problem]:
    operand, target, weight = block["Operand"], block["RTarget"], block["Weight"]
    if not operand:
        yield Problem("Missing affinity operand", (("operator", None),))
    if operand in _SETS and not target:
        yield Problem("Set contains operators require an RTarget", (("value", None),))
    elif operand not in _SETS:
        yield from _operator(block, "affinity", f"Unknown affinity operator {quoted(operand)}", version)
    if not block["LTarget"]:
        yield Problem("No LTarget provided but is required", (("attribute", None),))
    if weight == 0:
        yield Problem("Affinity weight cannot be zero", (("weight", None),))
    if not -100 <= weight <= 100:
        yield Problem("Affinity weight must be within the range [-100,100]", (("weight", None),))


def _spread(block: Record) -> Iterator[Problem]:
    if not block["Attribute"]:
        yield Problem("Missing spread attribute", (("attribute", None),))
    if not 0 < block["Weight"] <= 100:
        yield Problem("Spread block must have a positive weight from 0 to 100", (("weight", None),))
    seen: set[str] = set()
    targets = block["SpreadTarget"] or ()
    for target in targets:
        value = target["Value"]
        if value in seen:
            yield Problem(f"Spread target value {quoted(value)} already defined", (("target", value),))
        seen.add(value)
        if target["Percent"] > 100:
            text = f"Spread target percentage for value {quoted(value)} must be between 0 and 100"
            yield Problem(text, (("target", value), ("percent", None)))
    total = sum(target["Percent"] for target in targets)
    if total > 100:
        yield Problem(f"Sum of spread target percentages must not be greater than 100%; got {total}%")


def _operator(block: Record, what: str, unknown: str, version: Version) -> Iterator[Problem]:
    operand, target, place = block["Operand"], block["RTarget"], (("value", None),)
    if operand == "regexp":
        if wrong := pattern_problem(target):
            yield Problem(f"Regular expression failed to compile: {wrong}", place)
    elif operand in ("version", "semver"):
        if (malformed := _malformed(target, operand, version)) is not None:
            yield Problem(f"{operand.title()} {what} is invalid: {malformed}", place)
    elif operand in _COMPARISONS:
        if not target:
            yield Problem(f"Operator {quoted(operand)} requires an RTarget", place)
    else:
        yield Problem(unknown, (("operator", None),))


def _count(target: str) -> Iterator[Problem]:
    if not target:
        return
    problem = "invalid syntax" if not re.fullmatch(r"[0-9]+", target) else ""
    if not problem and (len(target) > 40 or int(target) > _UINT64_MAX):
        problem = "value out of range"
    place = (("value", None),)
    if problem:
        text = f"Failed to convert RTarget {quoted(target)} to uint64"
        yield Problem(f"{text}: strconv.ParseUint: parsing {quoted(target)}: {problem}", place)
    elif int(target) < 1:
        yield Problem("Distinct Property must have an allowed count of 1 or greater: 0 < 1", place)


def _attribute(target: str, version: Version) -> Iterator[Problem]:
    place = (("attribute", None),)
    is_checked = version >= _ATTRIBUTES_CHECKED
    if not target:
        new, old = (
            "no attribute provided but is required by operator",
            "No LTarget provided but is required by constraint",
        )
        yield Problem(new if is_checked else old, place)
    elif is_checked and target.startswith("$"):
        if not target.startswith("${"):
            yield Problem(f"attribute {quoted(target)} is missing an opening brace", place)
        elif not target.endswith("}"):
            yield Problem(f"attribute {quoted(target)} is missing a closing brace", place)
        elif not _is_known(target[2:]):
            yield Problem(f"unsupported attribute {quoted(target)}", place)


def _is_known(name: str) -> bool:
    return name.startswith(("attr.", "device.", "meta.")) or name in [f"node.{field}}}" for field in _NODE_FIELDS]


_META = r"(\+[0-9A-Za-z\-~]+(\.[0-9A-Za-z\-~]+)*)?"
_NUMBERS = r"v?([0-9]+(\.[0-9]+)*)"
_AFTER_DIGIT = r"-[0-9]+[0-9A-Za-z\-~]*(\.[0-9A-Za-z\-~]+)*"
_AFTER_LETTER = r"[A-Za-z\-~]+[0-9A-Za-z\-~]*(\.[0-9A-Za-z\-~]+)*"
_VERSIONS = {
    "version": rf"(=|!=|>|<|>=|<=|~>|)\s*{_NUMBERS}({_AFTER_DIGIT}|-?{_AFTER_LETTER})?{_META}",
    "semver": rf"(=|!=|>|<|>=|<=|)\s*{_NUMBERS}({_AFTER_DIGIT}|-{_AFTER_LETTER})?{_META}",
}
"""One condition on a version, as the libraries that Nomad uses read it."""


def _malformed(target: str, operand: str, version: Version) -> str | None:
    word = "malformed" if operand == "version" and version >= (2, 0) else "Malformed"
    for part in target.split(","):
        if not re.fullmatch(rf"[\t\n\f\r ]*{_VERSIONS[operand]}[\t\n\f\r ]*", part, re.ASCII):
            return f"{word} constraint: {part}"
        if any(int(number) >= 2**63 for number in re.findall(r"[0-9]{19,40}", part.split("-")[0])):
            return f"Error parsing version: {part}"
    return None


def device(block: Record, version: Version) -> Iterator[Problem]:
    if not block["Name"]:
        yield Problem("device name must be given as one of the following: type, vendor/type, or vendor/type/name")
    for number, one in enumerate(block["Constraints"] or (), 1):
        heading, place = f"Constraint {number} validation failed: ", ("constraint", number)
        if one["Operand"] in _DISTINCT:
            yield Problem(f"{heading}using unsupported operand {quoted(one['Operand'])}", (place,))
        else:
            yield from nested(constraint(one, version), place, heading=heading)
    yield from affinities(block["Affinities"], version)
