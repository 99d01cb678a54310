"""Makes the request of a dispatch from what a program gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from federation.api.arguments import at_least
from federation.app import JobRequest
from federation.errors import UsageError
from federation.workflows.request import Placing, RunRequest
from jobs.errors import InvalidMeta
from jobs.params.sweep import Asks, Axis, checked_axes
from jobs.params.values import Value, text_of, value_problem


def run_request(
    slots: int | None,
    version: str | int | None,
    regions: Sequence[str] | None,
    job: str,
    variables: Mapping[str, Value] | None,
    meta: Mapping[str, Value] | None,
    sweep: Mapping[str, Sequence[object]] | None,
    params: Sequence[Mapping[str, object]] | None,
    policy: str | None,
) -> RunRequest:
    """Makes the request of these arguments. Raises UsageError and InvalidMeta."""
    given = tuple(f"{name}={text_of(value)}" for name, value in (variables or {}).items())
    texts = {name: text_of(value) for name, value in meta.items()} if meta is not None else None
    at_least("slots", slots, 1)
    if regions is not None and not regions:
        raise UsageError("regions is an empty list", hint="leave it out: then all regions are used")
    return RunRequest(
        JobRequest(job, given, (), tuple(regions or ())),
        slots,
        None if version is None else str(version),
        texts,
        asks=_asks(sweep, params),
        placing=Placing(policy=policy),
    )


def _asks(sweep: Mapping[str, Sequence[object]] | None, params: Sequence[Mapping[str, object]] | None) -> Asks:
    from jobs.params.file import rows_of

    axes = [Axis(name, tuple(_axis_value(name, value) for value in values)) for name, values in (sweep or {}).items()]
    rows = ({name: _plain(value) for name, value in row.items() if value is not None} for row in params or ())
    return Asks(checked_axes(axes), rows_of("params", enumerate(rows, start=1)) if params is not None else None)


def _axis_value(name: str, value: object) -> str:
    plain = _plain(value)
    if problem := value_problem(plain):
        raise InvalidMeta(f"sweep {name!r}: a value {problem}", hint="a parameter is a text or a number")
    return text_of(plain)


def _plain(value: object) -> Value:
    """Converts a NumPy scalar to a Python value. `rows_of` checks other values."""
    item = getattr(value, "item", None)
    return cast("Value", item() if callable(item) else value)
