"""A pattern of where jobs write their results themselves enters, the names of one result's objects leave, and back again.

`{save_path}_v{version}_{alloc_id}.json`: each `{NAME}` stands for one of `FIELDS`, or else for the value of that meta key of
the dispatch. `*` stands for any characters but `/`; a slash at the end for everything below. `{{` and `}}` are braces. With a
scheme (`gs://bucket/…`) a pattern is a place of its own; without, it counts from the datacenter's store. Pure; no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from federation.errors import UsageError

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
"""What a pattern may name besides the dispatch's meta, and what it looks like in an object's name."""

_META_VALUE = ".+"
"""A meta value may be a path."""
_PART = re.compile(r"\{\{|\}\}|\{([A-Za-z0-9_.-]+)\}|([{}])|\*+|[^{}*]+")
_GAP, _BELOW = "[^/]*", ".+"


@dataclass(frozen=True, slots=True)
class Text:
    """It stands as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Field:
    """The value of that name."""

    name: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Any characters but `/`; with `below`, any at all, at the end."""

    below: bool = False


@dataclass(frozen=True)
class Pattern:
    """A parsed pattern. Its text is what `parse` was given."""

    text: str
    parts: tuple[Text | Field | Gap, ...]

    @property
    def meta_keys(self) -> tuple[str, ...]:
        """The meta keys that a dispatch must give for its results to be found, in the pattern's order, each once."""
        names = [part.name for part in self.parts if isinstance(part, Field) and part.name not in FIELDS]
        return tuple(dict.fromkeys(names))

    @property
    def is_place(self) -> bool:
        """Whether it names its own bucket."""
        return "://" in self.text

    def name(self, values: Mapping[str, str]) -> str | None:
        """The one object's name with these values; None where they don't settle it (a `*`, a folder, a missing value)."""
        prefix, is_all = self._known(values)
        return prefix if is_all else None

    def prefix(self, values: Mapping[str, str]) -> str:
        """What all names begin with that these values allow: what to list."""
        return self._known(values)[0]

    def match(self, name: str, values: Mapping[str, str] | None = None) -> dict[str, str] | None:
        """The values that the name holds, `values` included; None for a name that isn't the pattern's, or is with other
        values only. Where a name can be read in several ways, earlier fields take as much as they can."""
        found = (self._expression if not values else _expression(self.parts, values)).fullmatch(name)
        if found is None:
            return None
        return {**(values or {}), **{field: found[group] for group, field in self._groups.items() if found[group]}}

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
    """The pattern. Raises UsageError for a text that is none, and for one that doesn't tell allocations apart."""
    parts: list[Text | Field | Gap] = []
    for found in _PART.finditer(text):
        if found[1]:
            parts.append(Field(found[1]))
        elif found[2]:
            raise UsageError(
                f"the pattern {text!r} has a single {found[2]!r}", hint="fields are {name}; a brace itself is {{ or }}"
            )
        elif found[0].startswith("*"):
            parts.append(Gap())
        else:
            parts.append(Text({"{{": "{", "}}": "}"}.get(found[0], found[0])))
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
    """Names that the parts allow with these values; a group for each field, `f0`, `f1` … in order."""
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
