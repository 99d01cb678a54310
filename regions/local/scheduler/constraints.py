"""Evaluates constraints on a node."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from fnmatch import translate
from functools import lru_cache
from typing import Any, NamedTuple

from regions.local.state.snapshot import Record

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def describe(constraint: Record) -> str:
    """Returns the name under which Nomad counts nodes that a constraint filtered out."""
    return f"{constraint['LTarget']} {constraint['Operand']} {constraint['RTarget']}"


def is_unique(constraint: Record) -> bool:
    """Returns whether nodes of one class can differ in it, so that each has to be checked."""
    return "unique." in constraint["LTarget"] or "unique." in constraint["RTarget"]


def resolve(target: str, node: Record) -> str | None:
    """Resolves a target on a node: itself, the value of a `${…}` reference, or None where the node lacks it."""
    if not target.startswith("${"):
        return target
    name = target[2:-1] if target.endswith("}") else target[2:]
    node_fields = {
        "node.unique.id": "ID",
        "node.datacenter": "Datacenter",
        "node.unique.name": "Name",
        "node.class": "NodeClass",
        "node.pool": "NodePool",
    }
    value: str | None = None
    if name in node_fields:
        value = node[node_fields[name]]
    elif name.startswith("attr."):
        value = node["Attributes"].get(name[5:])
    elif name.startswith("meta."):
        value = node["Meta"].get(name[5:])
    return value


def satisfied(constraint: Record, node: Record) -> bool:
    """Returns whether one node satisfies the constraint. Those between allocations (distinct_*) always hold here."""
    left, right = resolve(constraint["LTarget"], node), resolve(constraint["RTarget"], node)
    return satisfied_by(constraint["Operand"], left, right)


def satisfied_by(operand: str, left: str | None, right: str | None) -> bool:
    """Returns whether two resolved values satisfy the operator. None stands for a value that the node lacks."""
    if operand in ("distinct_hosts", "distinct_property"):
        return True
    if operand in ("!=", "not"):
        return left != right
    if operand == "is_set":
        return left is not None
    if operand == "is_not_set":
        return left is None
    if left is None or right is None:
        return False
    if operand in ("=", "==", "is"):
        return left == right
    if operand in _COMPARE:
        return _ordered(operand, left, right)
    if operand in ("version", "semver"):
        return version_matches(left, right, is_semver=operand == "semver")
    if operand == "regexp":
        return re.search(right, left) is not None
    have = {part.strip() for part in left.split(",")}
    want = {part.strip() for part in right.split(",")}
    return bool(have & want) if operand == "set_contains_any" else want <= have


def in_datacenters(node: Record, patterns: list[str]) -> bool:
    """Returns whether the node's datacenter is one of those named, by name or by glob (`us-*`)."""
    name = node["Datacenter"]
    return name in patterns or any("*" in glob and re.match(translate(glob), name) for glob in patterns)


def _ordered(operand: str, left: str, right: str) -> bool:
    """Compares as integers, else as floats, else as texts."""
    for kind in (int, float):
        try:
            return bool(_COMPARE[operand](kind(left), kind(right)))
        except ValueError:
            continue
    return bool(_COMPARE[operand](left, right))


@lru_cache(maxsize=4096)
def version_matches(version: str, wanted: str, *, is_semver: bool = False) -> bool:
    """Returns whether the version matches (`>= 1.2, < 2`). Except by `semver`, which lacks `~>`, a pre-release only
    matches limits on a pre-release of the same version."""
    have = _version(version)
    if have is None:
        return False
    for part in wanted.split(","):
        match = re.fullmatch(r"\s*(=|!=|>=|<=|>|<|~>|)\s*(\S+)\s*", part)
        limit = _version(match.group(2)) if match else None
        if match is None or limit is None or (is_semver and match.group(1) == "~>"):
            return False
        operand = match.group(1) or "="
        if operand in ("=", "!="):
            holds = (have == limit) == (operand == "=")
        elif not is_semver and not have.is_release and (limit.is_release or have.numbers != limit.numbers):
            holds = False
        elif operand == "~>":
            fixed = max(1, len(match.group(2).split("-")[0].split(".")) - 1)
            holds = have >= limit and have.numbers[:fixed] == limit.numbers[:fixed]
        else:
            holds = _COMPARE[operand](have, limit)
        if not holds:
            return False
    return True


class _Version(NamedTuple):
    """A version in its order: a pre-release before its release, its numbers by size and before words."""

    numbers: tuple[int, ...]
    is_release: bool
    pre_release: tuple[tuple[bool, int, str], ...]


def _version(text: str) -> _Version | None:
    match = re.fullmatch(r"v?(\d+(?:\.\d+)*)(?:-([0-9A-Za-z.-]+))?(?:\+\S*)?", text.strip())
    if match is None:
        return None
    numbers = [int(number) for number in match.group(1).split(".")]
    numbers += [0] * (3 - len(numbers))
    parts = match.group(2).split(".") if match.group(2) else []
    words = tuple((False, int(part), "") if part.isdigit() else (True, 0, part) for part in parts)
    return _Version(tuple(numbers), not parts, words)
