"""Writes what a person asked for (rows of parameters, payloads) to the home store, and gives each slot its inputs from it.

`parameters_of` and `naming` say in what slots differ, for people.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from federation.errors import IndexCorrupt
from federation.home import RunKeys
from federation.manifest import Manifest
from federation.run.brain.commands import Tell
from jobs.errors import FedmlError, ForeignTextError
from jobs.params.file import pack, payload_lines, payload_of, unpack
from jobs.params.sweep import Asks, Inputs, Kept, Payload, Sweep
from jobs.params.values import Value
from regions.storage.errors import NotFound, TooLarge
from regions.storage.store import Create, Store

_PACKED_BYTES_MAX = 512 * 1024 * 1024


def keep_asks(home: Store, run: str, asks: Asks) -> Sweep:
    """Writes the rows and payloads of a run, each as one object, and gives what the manifest says of them."""
    params = _keep(home, RunKeys(run).params, asks.rows.lines) if asks.rows else None
    payloads = _keep(home, RunKeys(run).payloads, payload_lines(asks.payloads)) if asks.payloads else None
    return Sweep(asks.axes, params, payloads, asks.is_paired, asks.in_params)


def inputs_of(manifest: Manifest, home: Store) -> Inputs:
    """Reads what slots differ in. Raises IndexCorrupt where an object is missing or isn't what was written."""
    sweep = manifest.sweep
    payloads = [payload.data for payload in payloads_of(manifest, home)]
    rows = _read(home, sweep.params)
    return Inputs(manifest.meta, manifest.payload, sweep.axes, rows, payloads, sweep.is_paired, sweep.in_params)


def payloads_of(manifest: Manifest, home: Store) -> list[Payload]:
    """Reads the payloads in which slots differ, in their order. Raises IndexCorrupt."""
    try:
        return [payload_of(line) for line in _read(home, manifest.sweep.payloads)]
    except (ValueError, ForeignTextError) as error:
        raise IndexCorrupt(f"a payload of run {manifest.run} can't be read: {error}") from error


def parameters_of(manifest: Manifest, home: Store) -> Callable[[int], Mapping[str, Value]]:
    """A function that gives the parameters of a slot, in which it differs from others. It gives none where they can't be
    read: what is shown of a run doesn't depend on them."""
    sweep = manifest.sweep
    try:
        rows = _read(home, sweep.params)
    except FedmlError:
        return lambda _: {}
    payloads = [b""] * (sweep.payloads.rows if sweep.payloads else 0)
    return Inputs({}, b"", sweep.axes, rows, payloads, sweep.is_paired, sweep.in_params).parameters


def naming(observe: Callable[[Tell], None], parameters: Callable[[int], Mapping[str, Value]]) -> Callable[[Tell], None]:
    """An observer that adds its parameters to each event of a slot."""
    return lambda tell: observe(tell if tell.slot < 0 else replace(tell, params=parameters(tell.slot)))


def _keep(home: Store, key: str, lines: Sequence[bytes]) -> Kept:
    kept, data = pack(key, lines)
    home.put(key, data, Create(), content_type="application/gzip")
    return kept


def _read(home: Store, kept: Kept | None) -> list[bytes]:
    if kept is None:
        return []
    try:
        return unpack(kept, home.get_small(kept.object, limit_bytes=_PACKED_BYTES_MAX))
    except NotFound:
        raise IndexCorrupt(f"{home.url_of(kept.object)} is gone, and with it this run's parameters") from None
    except (ValueError, TooLarge) as error:
        raise IndexCorrupt(f"{home.url_of(kept.object)} isn't what the run was opened with: {error}") from error
