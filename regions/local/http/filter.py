"""Compiles `filter` expressions (the language of go-bexpr) to tests of Nomad's objects."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from regions.local.http.messages import Failure
from regions.local.nomad_version import UNDATED, NomadVersion
from regions.local.state.snapshot import Record

Test = Callable[[Record], bool]
_MAX_DEPTH = 100
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*"|`[^`]*`)|(?P<op>==|!=|\(|\))|(?P<number>-?(?:0|[1-9]\d*)(?:\.\d+)?(?=[\s)]|$))"""
    r"""|(?P<name>[A-Za-z][A-Za-z0-9_/]*(?:\.(?:[A-Za-z][A-Za-z0-9_/]*|\d+)|\[\s*(?:"[^"]*"|`[^`]*`)\s*\])*))"""
)
_PART = re.compile(r"""\.?([A-Za-z0-9_/]+)|\[\s*["`]([^"`]*)["`]\s*\]""")
_MAPS = frozenset(
    ("Meta", "Env", "Attributes", "Links", "Drivers", "HostVolumes", "TaskStates", "QueuedAllocations", "TaskResources")
)
"""Objects whose keys are data: a missing key is not an error."""
_OPTIONAL: Record = {
    **dict.fromkeys(("BlockedEval", "NextEval", "PreviousEval", "StatusDescription", "WaitUntil", "NodeID"), ""),
    **dict.fromkeys(("ClientDescription", "DesiredDescription", "FollowupEvalID", "NextAllocation"), ""),
    **dict.fromkeys(("PreviousAllocation", "DeploymentID", "PreemptedByAllocation"), ""),
    **dict.fromkeys(("ClassEligibility", "FailedTGAllocs", "QueuedAllocations", "TaskStates", "RescheduleTracker")),
    **dict.fromkeys(("JobModifyIndex", "SnapshotIndex"), 0),
    "EscapedComputedClass": False,
}
"""Fields that evaluations and allocations omit while empty."""
_IF_ABSENT = {"==": False, "in": False, "empty": True, "matches": False, "nil": True}


def compile_filter(text: str, answers_as: NomadVersion) -> Test:
    """Compiles the expression to a test. Raises Failure (400) in Nomad's words, also when the test is applied to an
    object without the named field."""
    try:
        return _Parser(text, knows_nil=answers_as >= UNDATED).whole()
    except ValueError as error:
        where = "failed to create result paginator: failed to read filter expression"
        raise Failure(400, f"{where}: {error}") from error


class _Parser:
    """Recursive descent over the tokens: or, and, not, parentheses, one comparison."""

    def __init__(self, text: str, *, knows_nil: bool) -> None:
        self._knows_nil = knows_nil
        self._tokens: list[tuple[str, str]] = []
        self._depth = 0
        at, text = 0, text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise ValueError(f"1:{at + 1} ({at}): no match found")
            at = match.end()
            self._tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
        self._at = 0

    def whole(self) -> Test:
        test = self._or()
        if self._at < len(self._tokens):
            raise ValueError(f'no match found, at "{self._tokens[self._at][1]}"')
        return test

    def _word(self, *words: str) -> bool:
        """Skips these words if they come next. Returns whether they did."""
        found = tuple(text for kind, text in self._tokens[self._at : self._at + len(words)] if kind in ("name", "op"))
        if found != words:
            return False
        self._at += len(words)
        return True

    def _take(self) -> tuple[str, str]:
        if self._at == len(self._tokens):
            raise ValueError("no match found, at the end of the expression")
        self._at += 1
        return self._tokens[self._at - 1]

    def _or(self) -> Test:
        tests = [self._and()]
        while self._word("or"):
            tests.append(self._and())
        return tests[0] if len(tests) == 1 else lambda record: any(test(record) for test in tests)

    def _and(self) -> Test:
        tests = [self._not()]
        while self._word("and"):
            tests.append(self._not())
        return tests[0] if len(tests) == 1 else lambda record: all(test(record) for test in tests)

    def _not(self) -> Test:
        is_negated = False
        while self._word("not"):
            is_negated = not is_negated
        test = self._group() if self._word("(") else self._comparison()
        return (lambda record: not test(record)) if is_negated else test

    def _group(self) -> Test:
        """Parses what follows an opening parenthesis. Nomad takes twice as long for each further level."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ValueError(f"parentheses are nested more than {_MAX_DEPTH} deep")
        test = self._or()
        if not self._word(")"):
            raise ValueError("Unmatched parentheses")
        self._depth -= 1
        return test

    def _comparison(self) -> Test:
        first = self._take()
        for words, operator, is_negated in _VALUE_FIRST:
            if self._word(*words):
                path = _selector(self._take())
                return _test(path, operator, _value(first), negated=is_negated, is_lower=self._knows_nil)
        path = _selector(first)
        for words, operator, is_negated in _SELECTOR_FIRST:
            if self._word(*words):
                if operator == "nil" and not self._knows_nil:
                    break
                wanted = "" if operator in ("empty", "nil") else _value(self._take())
                return _test(path, operator, wanted, negated=is_negated, is_lower=self._knows_nil)
        raise ValueError(f'no match found, after "{first[1]}"')


_Forms = tuple[tuple[tuple[str, ...], str, bool], ...]
"""Words, their operator, and whether it is negated."""
_VALUE_FIRST: _Forms = ((("in",), "in", False), (("not", "in"), "in", True))
_SELECTOR_FIRST: _Forms = (
    (("==",), "==", False),
    (("!=",), "==", True),
    (("is", "empty"), "empty", False),
    (("is", "not", "empty"), "empty", True),
    (("is", "nil"), "nil", False),
    (("is", "not", "nil"), "nil", True),
    (("contains",), "in", False),
    (("not", "contains"), "in", True),
    (("matches",), "matches", False),
    (("not", "matches"), "matches", True),
)


def _selector(token: tuple[str, str]) -> list[str]:
    kind, text = token
    if kind == "name":
        return [name or index for name, index in _PART.findall(text)]
    if kind == "text" and text.startswith('"/'):
        return text[2:-1].split("/")
    raise ValueError(f'no match found, expected a selector, got "{text}"')


def _value(token: tuple[str, str]) -> str:
    kind, text = token
    if kind == "op":
        raise ValueError(f'no match found, expected a value, got "{text}"')
    if kind == "text":
        return text[1:-1] if text[0] == "`" else str(json.loads(text))
    return ".".join(_selector(token)) if kind == "name" else text


def _test(path: list[str], operator: str, wanted: str, *, negated: bool, is_lower: bool) -> Test:
    """`is_lower`: whether errors begin with a small letter, as later versions' do."""
    judge = _JUDGES[operator]
    pattern = wanted
    if operator == "matches":
        from jobs.hcl.functions.patterns import compiled  # as Go's: in time that is linear, whatever the pattern
        from jobs.hcl.values import ValueProblem

        try:
            pattern = compiled(wanted)
        except ValueProblem as error:
            reason = str(error).rpartition("regular expression: ")[2]
            begin = "failed" if is_lower else "Failed"
            why = f'{begin} to compile regular expression "{wanted}": error parsing regexp: {reason}'
            raise Failure(400, f"failed to read result page: {why}") from error

    def test(record: Record) -> bool:
        try:
            value = _find(record, path)
            if value is None and operator == "==" and path[-1] in _MAPS:
                value = {}
            found = _IF_ABSENT[operator] if value is _ABSENT else judge(value, pattern)
        except ValueError as error:
            why = str(error)
            raise Failure(
                400, f"failed to read result page: {why[0].lower() + why[1:] if is_lower else why}"
            ) from error
        return found != negated

    return test


_ABSENT = object()


def _find(record: Record, path: list[str]) -> Any:
    """Returns the value at the path, or _ABSENT where a map lacks the key. Raises ValueError."""
    value: Any = record
    for depth, part in enumerate(path):
        if isinstance(value, list) and len(part) < 10 and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, dict) and part in value:
            value = value[part]
        elif not depth and part in _OPTIONAL:
            value = _OPTIONAL[part]
        elif depth == len(path) - 1 and depth and path[depth - 1] in _MAPS:
            return _ABSENT
        else:
            where = f'/{"/".join(path)} at part {depth}: couldn\'t find key: struct field with name "{part}"'
            raise ValueError(f"error finding value in datum: {where}")
    return value


def _equals(value: Any, wanted: str) -> bool:
    if isinstance(value, int) and re.fullmatch(r"[+-]?[0-9]{19,}", wanted) and not -(2**63) <= int(wanted[:30]) < 2**63:
        why = f"strconv.ParseInt: parsing {json.dumps(wanted)}: value out of range"
        raise ValueError(f"error getting match value in expression: {why}")
    try:
        if isinstance(value, bool):
            return value == {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}[wanted.lower()]
        if isinstance(value, int | float):
            return bool(value == type(value)(wanted))
    except (KeyError, ValueError):
        function = "ParseBool" if isinstance(value, bool) else "ParseInt"
        why = f"strconv.{function}: parsing {json.dumps(wanted)}: invalid syntax"
        raise ValueError(f"error getting match value in expression: {why}") from None
    if value is None or isinstance(value, str):
        return (value or "") == wanted
    raise ValueError("unable to find suitable primitive comparison function for matching")


def _has(value: Any, wanted: str) -> bool:
    if isinstance(value, list):
        return any(_equals(item, wanted) for item in value)
    if value is None or isinstance(value, dict | str):
        return wanted in (value or "")
    raise ValueError(f"Cannot perform in/contains operations on type {type(value).__name__}")


def _is_empty(value: Any, _wanted: str) -> bool:
    if value is None or isinstance(value, dict | list | str):
        return not value
    raise ValueError(f"Cannot perform is empty operations on type {type(value).__name__}")


def _is_nil(value: Any, _wanted: str) -> bool:
    if value is None or isinstance(value, dict | list):
        return value is None
    raise ValueError(f"Cannot perform is-nil operations on type {_GO_KINDS[type(value)]}")


_GO_KINDS = {str: "string", bool: "bool", int: "int", float: "float64"}


def _matches(value: Any, pattern: Any) -> bool:
    if value is None or isinstance(value, str):
        return pattern.search(value or "") is not None
    raise ValueError(f"Value of type {type(value).__name__} is not convertible to []byte")


_JUDGES: dict[str, Callable[[Any, Any], bool]] = {
    "==": _equals,
    "in": _has,
    "empty": _is_empty,
    "nil": _is_nil,
    "matches": _matches,
}
