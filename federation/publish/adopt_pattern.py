"""Parses patterns of the objects that jobs write themselves, makes object names from them and reads values from names.

`{save_path}_v{version}_{alloc_id}.json`: each `{NAME}` stands for one of `FIELDS`, or for the value of that meta key of the
dispatch. `*` stands for any characters except `/`. A slash at the end means all objects below. `{{` and `}}` are braces.
A pattern with a scheme (`gs://bucket/…`) names its own bucket. Without one it is relative to the datacenter's store. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from federation.errors import UsageError
from jobs.frozen import frozen

UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
FIELDS = {
    "alloc_id": UUID,
    "version": r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}",
    "job": "[^/]+",
    "region": "[^/]+",
    "datacenter": "[^/]+",
    "group": "[^/]+",
    "alloc_index": "[0-9]+",
    "node": "[^/]+",
}
"""Names that a pattern may use besides the dispatch's meta, with the regular expression of their values."""

_META_VALUE = ".+"
"""A meta value may be a path."""
_PART = re.compile(r"\{\{|\}\}|\{([A-Za-z0-9_.-]+)\}|([{}])|\*+|[^{}*]+")
_GAP, _BELOW = "[^/]*", ".+"


@frozen
class Text:
    """A fixed text."""

    text: str


@frozen
class Field:
    """The value of a name."""

    name: str


@frozen
class Gap:
    """Any characters except `/`. With `below`, any characters, at the end."""

    below: bool = False


@dataclass(frozen=True)
class Pattern:
    """A parsed pattern with its text."""

    text: str
    parts: tuple[Text | Field | Gap, ...]

    @property
    def meta_keys(self) -> tuple[str, ...]:
        """The meta keys that a dispatch needs so that its results can be found, in the pattern's order, each once."""
        names = [part.name for part in self.parts if isinstance(part, Field) and part.name not in FIELDS]
        return tuple(dict.fromkeys(names))

    @property
    def is_place(self) -> bool:
        """Whether it names its own bucket."""
        return "://" in self.text

    def name(self, values: Mapping[str, str]) -> str | None:
        """The object's name with these values. None if they don't determine it (a `*`, a folder, a missing value)."""
        prefix, is_all = self._known(values)
        return prefix if is_all else None

    def prefix(self, values: Mapping[str, str]) -> str:
        """The common prefix of all names with these values, for a listing."""
        return self._known(values)[0]

    def match(self, name: str, values: Mapping[str, str] | None = None) -> dict[str, str] | None:
        """The values in the name together with `values`. None if the name does not match the pattern with these values. If
        a name can be read in several ways, earlier fields are as long as possible."""
        match = (self._expression if not values else _expression(self.parts, values)).fullmatch(name)
        if match is None:
            return None
        return {**(values or {}), **{field: match[group] for group, field in self._groups.items() if match[group]}}

    def _known(self, values: Mapping[str, str]) -> tuple[str, bool]:
        known = ""
        for part in self.parts:
            if isinstance(part, Gap):
                return known, False
            text = part.text if isinstance(part, Text) else values.get(part.name, "")
            if not text:
                return known, False
            known += text
        return known, True

    @cached_property
    def _groups(self) -> dict[str, str]:
        names = [part.name for part in self.parts if isinstance(part, Field)]
        return {f"f{number}": name for number, name in enumerate(dict.fromkeys(names))}

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        return _expression(self.parts, {})


def parse(text: str) -> Pattern:
    """Parses a pattern. Raises UsageError for a text that is not a valid pattern, and for one without the allocation's ID."""
    parts: list[Text | Field | Gap] = []
    for token in _PART.finditer(text):
        if token[1]:
            parts.append(Field(token[1]))
        elif token[2]:
            raise UsageError(
                f"the pattern {text!r} has a single {token[2]!r}",
                hint="write a field as {name}, and a brace itself as {{ or }}",
            )
        elif token[0].startswith("*"):
            parts.append(Gap())
        else:
            parts.append(Text({"{{": "{", "}}": "}"}.get(token[0], token[0])))
    if text.endswith("/"):
        parts.append(Gap(below=True))
    if Field("alloc_id") not in parts:
        raise UsageError(
            f"the pattern {text!r} names no {{alloc_id}}, so two allocations could have written the same object",
            hint='write adopt = "gs://bucket/{save_path}_v{version}_{alloc_id}.json", as the job names what it writes',
        )
    if "://" in text and (
        not parts or not isinstance(parts[0], Text) or not re.match(r"file:///.|[a-z0-9]+://[^/]", text)
    ):
        raise UsageError(f"the pattern {text!r} names no bucket", hint="write gs://bucket/… or s3://bucket/…")
    return Pattern(text, tuple(parts))


def _expression(parts: tuple[Text | Field | Gap, ...], values: Mapping[str, str]) -> re.Pattern[str]:
    """Regular expression of the names that have these values, with a group for each field: `f0`, `f1` …"""
    groups: dict[str, str] = {}
    expression = ""
    for part in parts:
        if isinstance(part, Text):
            expression += re.escape(part.text)
        elif isinstance(part, Gap):
            expression += _BELOW if part.below else _GAP
        elif part.name in groups:
            expression += f"(?P={groups[part.name]})"
        else:
            group = groups[part.name] = f"f{len(groups)}"
            known = values.get(part.name)
            expression += f"(?P<{group}>{re.escape(known) if known else FIELDS.get(part.name, _META_VALUE)})"
    return re.compile(expression, re.DOTALL)
