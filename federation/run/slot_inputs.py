"""A run's manifest and the home store enter, what each slot is dispatched with leaves; and the way back: what a person asked
for is kept in the home store, before the manifest that names it.
"""

from __future__ import annotations

from collections.abc import Sequence

from federation.errors import IndexCorrupt
from federation.home import RunKeys
from federation.manifest import Manifest
from jobs.errors import ForeignTextError
from jobs.params.file import pack, payload_lines, payload_of, unpack
from jobs.params.sweep import Asks, Inputs, Kept, Sweep
from regions.storage.errors import NotFound
from regions.storage.store import Create, Store


def keep_asks(home: Store, run: str, asks: Asks) -> Sweep:
    """Write the rows and payloads of a run, each as one object, and tell what the manifest is to say of them."""
    params = _keep(home, RunKeys(run).params, asks.rows.lines) if asks.rows else None
    payloads = _keep(home, RunKeys(run).payloads, payload_lines(asks.payloads)) if asks.payloads else None
    return Sweep(asks.axes, params, payloads)


def inputs_of(manifest: Manifest, home: Store) -> Inputs:
    """A pure function of the slot, once it is here. Raises IndexCorrupt where the home store hasn't what was kept."""
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
        return unpack(kept, home.get(kept.object))
    except NotFound:
        raise IndexCorrupt(f"{home.url_of(kept.object)} is gone: nobody knows this run's parameters") from None
    except ValueError as error:
        raise IndexCorrupt(f"{home.url_of(kept.object)} isn't what the run was opened with: {error}") from error
