"""Checks what slots differ in against what the job declares, each with its place: the option or the line of the file."""

from __future__ import annotations

import json
from collections.abc import Mapping

from jobs.code_run import PARAMS_KEY
from jobs.dispatch_meta import META_BYTES_MAX, check_dispatch, check_payload, dispatch_meta, looks_secret, undeclared
from jobs.errors import InvalidMeta
from jobs.params.sweep import Asks, Inputs, Rows
from jobs.params.values import params_json, text_of, typed
from jobs.spec import JobShape


def check_asks(
    shape: JobShape,
    asks: Asks,
    meta: Mapping[str, str],
    payload: bytes,
    *,
    own: Mapping[str, str] | None = None,
    allow_secrets: bool = False,
) -> dict[str, str]:
    """Checks each slot's meta against the job and returns the meta of all slots, with what the job doesn't declare in its
    `fedml_params`. `own` is what `fedml run` adds. Raises InvalidMeta with its place."""
    checked = _checked_asks(shape, asks, meta, payload, own or {}, allow_secrets=allow_secrets)
    sent = {name: value for name, value in checked.items() if name in shape.declared_meta}
    inner = {name: typed(value) for name, value in checked.items() if name not in sent}
    return {**sent, PARAMS_KEY: params_json(inner)} if inner else sent


def _checked_asks(
    shape: JobShape,
    asks: Asks,
    meta: Mapping[str, str],
    payload: bytes,
    own: Mapping[str, str],
    *,
    allow_secrets: bool,
) -> dict[str, str]:
    if asks.is_empty:
        return check_dispatch(shape, meta, payload, own=own, allow_secrets=allow_secrets)
    for name in _names(asks):
        _check_name(shape, name, meta, allow_secrets=allow_secrets)
    if asks.payloads and payload:
        raise InvalidMeta("--payload and --payload-dir exclude each other", hint="leave one of them out")
    for one in asks.payloads:
        try:
            check_payload(shape, one.data)
        except InvalidMeta as error:
            raise InvalidMeta(f"{one.name}: {error.message}", hint=error.hint) from None
    if not asks.payloads:
        check_payload(shape, payload)
    inputs = Inputs(meta, payload, asks.axes, asks.rows.lines[:1] if asks.rows else ())
    first = _first_meta(shape, asks, inputs, own, allow_secrets=allow_secrets)
    given = {name: value for name, value in first.items() if name not in own}
    base = {name: value for name, value in first.items() if name not in inputs.parameters(0)}
    for axis in asks.axes:
        for value in axis.values:
            dispatch_meta(shape, {**given, axis.name: value}, own=own, allow_secrets=allow_secrets)
    if asks.rows is not None:
        others = {name: value for name, value in given.items() if name not in asks.rows.names}
        _check_rows(shape, asks.rows, others, own, allow_secrets=allow_secrets)
    return base


def _names(asks: Asks) -> list[str]:
    names = [*(asks.rows.names if asks.rows else ()), *(axis.name for axis in asks.axes)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        assert asks.rows is not None
        raise InvalidMeta(f"{twice!r} is in {asks.rows.source} and in --sweep", hint="give it in one place")
    return names


def _check_name(shape: JobShape, name: str, meta: Mapping[str, str], *, allow_secrets: bool) -> None:
    if name in meta:
        raise InvalidMeta(f"-meta {name} is given, and {name} is swept", hint="give it in one place")
    if name == shape.version_key:
        raise InvalidMeta(
            f"{name} carries the version, and a run has one version", hint="start one run for each version: --version"
        )
    if not shape.takes(name):
        raise undeclared(shape, name, " to sweep over", "add it to meta_optional; ")
    if looks_secret(name) and not allow_secrets:
        raise InvalidMeta(
            f"meta key {name!r} looks like a credential, and Nomad shows meta to everyone who can read jobs",
            hint="--allow-secret-meta sends it all the same",
        )


def _check_rows(
    shape: JobShape, rows: Rows, others: Mapping[str, str], sent: Mapping[str, str], *, allow_secrets: bool
) -> None:
    """Checks each row: required keys, paths that stay in their folder, and size."""
    size = sum(len(key.encode()) + len(value.encode()) for key, value in [*others.items(), *sent.items()])
    needed = [key for key in shape.meta_required if key in rows.names]
    paths = [name for name in rows.names if name.lower().endswith(("path", "dir"))]
    for number, line in enumerate(rows.lines):
        if not needed and not paths and size + len(line) <= META_BYTES_MAX:
            continue
        own = {name: text_of(value) for name, value in json.loads(line).items()}
        try:
            dispatch_meta(shape, {**others, **own}, own=sent, allow_secrets=allow_secrets)
        except InvalidMeta as error:
            raise InvalidMeta(f"{rows.where(number)}: {error.message}", hint=error.hint) from None


def _first_meta(
    shape: JobShape, asks: Asks, inputs: Inputs, own: Mapping[str, str], *, allow_secrets: bool
) -> dict[str, str]:
    """The whole meta of the first slot, checked. An error of its row names the row."""
    try:
        return dispatch_meta(shape, inputs(0)[0], own=own, allow_secrets=allow_secrets)
    except InvalidMeta as error:
        if asks.rows is None:
            raise
        raise InvalidMeta(f"{asks.rows.where(0)}: {error.message}", hint=error.hint) from None
