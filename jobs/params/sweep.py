"""Computes what each slot of a run is dispatched with, from axes, rows of parameters and payloads. Pure.

Combinations are counted with the rows slowest, then the axes in the given order, then the payloads fastest. Slot i
gets combination i modulo their number, so that the first slots cover all combinations once before any is repeated. Paired
rows and payloads are not combined: slot i gets row i and payload i.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

from jobs.code_run import PARAMS_KEY, params_of
from jobs.errors import InvalidMeta
from jobs.foreign import parse_object
from jobs.frozen import field, frozen
from jobs.params.values import PARAMS_LIMITS, Value, params_json, text_of, typed
from jobs.spec import JobShape

SLOTS_MAX = 1_000_000
"""Limit of one run: each slot is a child in Nomad and an object in a store."""


@frozen
class Axis:
    """One meta key and its values, as written."""

    name: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        """Formats the axis as `--sweep` accepts it."""
        return f"{self.name}={','.join(_quoted(value) for value in self.values)}"


@frozen
class Kept:
    """An object of the home store with rows as gzipped JSON Lines. `sha256` is that of the text before gzip."""

    object: str
    sha256: str
    rows: int


@frozen
class Sweep:
    """The sweep as a manifest records it. The rows themselves are in objects of the home store."""

    axes: tuple[Axis, ...] = ()
    params: Kept | None = None
    payloads: Kept | None = None
    is_paired: bool = False
    """Row i goes with payload i, instead of with every payload."""
    in_params: tuple[str, ...] = ()
    """Names that the job doesn't declare: they go into its `fedml_params`."""

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Sweep:
        """Reads a sweep from JSON. Raises TypeError, ValueError or KeyError."""
        axes, params, payloads = data["axes"], data["params"], data["payloads"]
        in_params = data.get("in_params", [])
        if not all(kept is None or isinstance(kept, dict) for kept in (params, payloads)):
            raise TypeError("sweep")
        if not isinstance(axes, list) or not isinstance(in_params, list):
            raise TypeError("sweep")
        return cls(
            tuple(Axis(str(axis["name"]), tuple(axis["values"])) for axis in axes),
            Kept(**params) if isinstance(params, dict) else None,
            Kept(**payloads) if isinstance(payloads, dict) else None,
            data.get("is_paired") is True,
            tuple(map(str, in_params)),
        )


@frozen
class Rows:
    """A file of parameters: each row as one line of JSON (`{"lr": 0.1}`), with its line number in `source`."""

    source: str
    lines: tuple[bytes, ...]
    numbers: tuple[int, ...]
    names: tuple[str, ...]
    """Every key of any row."""

    def where(self, row: int) -> str:
        """Returns the place of a row: `params.csv:7`."""
        return f"{self.source}:{self.numbers[row]}"


@frozen
class Payload:
    """One payload and the file it came from."""

    name: str
    data: bytes


@frozen
class Asks:
    """Requested differences between slots. Empty: none."""

    axes: tuple[Axis, ...] = ()
    rows: Rows | None = None
    payloads: tuple[Payload, ...] = ()
    is_paired: bool = False
    """Row i goes with payload i. There are as many of both, and no axes."""
    in_params: tuple[str, ...] = ()
    """Names that the job doesn't declare (`for_job`)."""

    def for_job(self, shape: JobShape) -> Asks:
        """The same, for a job: what it doesn't declare goes into its `fedml_params`."""
        names = dict.fromkeys([*(self.rows.names if self.rows else ()), *(axis.name for axis in self.axes)])
        return replace(self, in_params=tuple(name for name in names if name not in shape.declared_meta))

    @property
    def is_empty(self) -> bool:
        """Whether all slots are alike."""
        return not (self.axes or self.rows or self.payloads)

    @property
    def combinations(self) -> int:
        """Number of different slots, at least 1."""
        rows = len(self.rows.lines) if self.rows else 1
        if self.is_paired:
            return rows
        return rows * prod(len(axis.values) for axis in self.axes) * max(1, len(self.payloads))

    def inputs(self, meta: Mapping[str, str], payload: bytes = b"") -> Inputs:
        """What each slot is dispatched with, beside this meta and this payload of all slots."""
        rows = self.rows.lines if self.rows else ()
        return Inputs(
            meta, payload, self.axes, rows, [one.data for one in self.payloads], self.is_paired, self.in_params
        )

    def slots(self, asked: int | None) -> int | None:
        """Returns the number of slots: as asked, which must be a multiple of the combinations; otherwise one for each
        combination; None where neither is given. Raises InvalidMeta."""
        if self.is_empty:
            return asked
        count = self.combinations
        if asked is None:
            return count
        if asked % count:
            more = -(-asked // count)
            raise InvalidMeta(
                f"-n {asked} is not a multiple of the {count} combinations",
                hint=f"-n is the number of slots: without it each combination gets one, -n {count * max(2, more)} gives "
                f"each {max(2, more)}",
            )
        return asked


@frozen
class Inputs:
    """What each slot of a run is dispatched with: `inputs(slot)` gives (meta, payload)."""

    meta: Mapping[str, str]
    """Meta of all slots."""
    payload: bytes = b""
    axes: tuple[Axis, ...] = ()
    lines: Sequence[bytes] = field(default=())
    payloads: Sequence[bytes] = field(default=())
    is_paired: bool = False
    in_params: Sequence[str] = field(default=())
    """Names of parameters that go into the meta `fedml_params`."""

    def __call__(self, slot: int) -> tuple[Mapping[str, str], bytes]:
        """Returns the slot's meta and payload."""
        payload = self.payload_of(slot)
        own = self.parameters(slot)
        meta = {**self.meta, **{name: text_of(value) for name, value in own.items() if name not in self.in_params}}
        if inner := {name: own[name] for name in self.in_params if name in own}:
            alike = {name: typed(text) for name, text in params_of(meta.get(PARAMS_KEY) or "{}").items()}
            meta[PARAMS_KEY] = params_json(alike | inner)
        return meta, self.payloads[payload] if self.payloads else self.payload

    def parameters(self, slot: int) -> dict[str, Value]:
        """Returns the slot's own parameters, typed: integers, numbers, true and false, otherwise text."""
        places, _ = self._places(slot)
        row = places.pop(0)
        values: dict[str, Value] = self._row(row) if self.lines else {}
        for axis, place in zip(self.axes, places, strict=True):
            values[axis.name] = typed(axis.values[place])
        return values

    def payload_of(self, slot: int) -> int:
        """Returns the place of the slot's payload among all payloads."""
        return self._places(slot)[1]

    def _row(self, row: int) -> dict[str, Value]:
        return parse_object(self.lines[row], source=f"row {row + 1} of the run's parameters", limits=PARAMS_LIMITS)

    def _places(self, slot: int) -> tuple[list[int], int]:
        """Returns (row and position on each axis, payload) of a slot: the digits of its number in mixed radix."""
        if self.is_paired:
            place = slot % len(self.payloads)
            return [place], place
        sizes = [max(1, len(self.lines)), *(len(axis.values) for axis in self.axes), max(1, len(self.payloads))]
        digits: list[int] = []
        for size in reversed(sizes):
            slot, digit = divmod(slot, size)
            digits.append(digit)
        payload, *reversed_places = digits
        return reversed_places[::-1], payload


def axes_of(items: Sequence[str]) -> tuple[Axis, ...]:
    """Parses `["lr=0.1,0.01", "depth=3,5"]` to axes. Values are split as a line of CSV: put one that contains a comma
    in double quotes (`'layers="64,32",128'`). White space around a value is dropped. Raises InvalidMeta."""
    axes: list[Axis] = []
    for item in items:
        name, equals, text = item.partition("=")
        name = name.strip()
        if not equals or not name:
            raise InvalidMeta(f"--sweep {item!r} is not of the form key=value,value", hint="write  --sweep lr=0.1,0.01")
        if {"\n", "\r"} & set(text) and '"' not in text:
            raise InvalidMeta(
                f"--sweep {item!r}: a value holds a line break",
                hint="put such a value in double quotes, or use --params",
            )
        try:
            rows = list(csv.reader([text], strict=True, skipinitialspace=True))
        except csv.Error as error:
            raise InvalidMeta(
                f"--sweep {item!r}: {error}", hint="put a value with a comma in double quotes: 'name=\"a,b\",c'"
            ) from None
        values = tuple(value.strip() for row in rows for value in row)
        axes.append(Axis(name, values))
    return checked_axes(axes)


def checked_axes(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """Checks that each name and each value of an axis stands once. Raises InvalidMeta."""
    for axis in axes:
        name, values = axis.name, axis.values
        if sum(other.name == name for other in axes) > 1:
            raise InvalidMeta(
                f"--sweep {name} is given twice", hint=f"write all its values at once: --sweep {name}=…,…"
            )
        if not values or "" in values:
            raise InvalidMeta(f"--sweep {str(axis)!r} has an empty value", hint=f"write  --sweep {name}=1,2,3")
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise InvalidMeta(
                f"--sweep {name} has the value {twice!r} twice",
                hint="give each value once; -n sets the number of slots",
            )
    return tuple(axes)


def _quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'
