"""Writes what a person asked for (rows of parameters, payloads) to the home store, and gives each slot its inputs from it."""

from __future__ import annotations

from collections.abc import Sequence

from federation.errors import IndexCorrupt
from federation.home import RunKeys
from federation.manifest import Manifest
from jobs.errors import ForeignTextError
from jobs.params.file import pack, payload_lines, payload_of, unpack
from jobs.params.sweep import Asks, Inputs, Kept, Sweep
from regions.storage.errors import NotFound, TooLarge
from regions.storage.store import Create, Store

_PACKED_BYTES_MAX = 512 * 1024 * 1024


def keep_asks(home: Store, run: str, asks: Asks) -> Sweep:
    """Writes the rows and payloads of a run, each as one object, and gives what the manifest says of them."""
    params = _keep(home, RunKeys(run).params, asks.rows.lines) if asks.rows else None
    payloads = _keep(home, RunKeys(run).payloads, payload_lines(asks.payloads)) if asks.payloads else None
    return Sweep(asks.axes, params, payloads)


def inputs_of(manifest: Manifest, home: Store) -> Inputs:
    """Reads what slots differ in. Raises IndexCorrupt where an object is missing or isn't what was written."""
    sweep = manifest.sweep
    try:
        payloads = [payload_of(line) for line in _read(home, sweep.payloads)]
    except (ValueError, ForeignTextError) as error:
        raise IndexCorrupt(f"a payload of run {manifest.run} can't be read: {error}") from error
    return Inputs(manifest.meta, manifest.payload, sweep.axes, _read(home, sweep.params), payloads)


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
