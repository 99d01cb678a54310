"""Puts the code of a run into each store from which a node of the run may fetch it, before anything is dispatched."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from federation.app import App, PreparedJob
from federation.code.pack import PackedCode
from federation.code.upload import put_code
from federation.task.node_program import put_program
from federation.text import counted
from jobs.errors import FedmlError


def put_into_stores(
    app: App, prepared: PreparedJob, regions: Sequence[str], packed: PackedCode, tell: Callable[[str], None]
) -> None:
    """Puts the code into the stores of these regions' datacenters, those of regions that join later too, and says whether it
    was there. Puts the program of the tasks there too, where nodes get it from their store. Raises StoreError; what is written
    by then is used by the next run of the same code."""
    configs = []
    for name in regions:
        rendered, region = prepared.rendered[name], app.config.regions[name]
        if not isinstance(rendered, FedmlError):
            put_program(app.node_program(region), [app.store(each.store) for each in region.datacenters.values()])
            configs += [region.datacenters[datacenter].store for datacenter in rendered["Datacenters"]]
    found = put_code([app.store(config) for config in dict.fromkeys(configs)], packed)
    there, stores = sum(found.values()), counted(len(found), "store")
    if there == len(found):
        tell(f"Code {packed.sha256[:12]} is in {'its store' if there == 1 else f'all {stores}'} already")
    else:
        tell(f"Code {packed.sha256[:12]} put into {stores}" + (f", {there} of which had it" if there else ""))
