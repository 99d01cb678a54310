"""Stops children of runs that are over and that couldn't be reached at the run's end.

A later command that reaches the region does it: the children's own meta says whose they are. Load: one list a region, of
the children that aren't over.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from jobs.errors import FedmlError
from jobs.spec import RUN_KEYS

if TYPE_CHECKING:
    from federation.run.ports import RegionClient


def stop_stale(
    clients: Sequence[RegionClient], job: str, over: Collection[str], *, known: Collection[str] = ()
) -> dict[str, list[str]]:
    """Stop the children of `job` whose run is among `over`, but for the `known` ones, in all regions at once; those
    stopped, by region.

    A region that can't be asked, or refuses, is passed over: the next command tries again.
    """
    if not over or not clients:
        return {}
    with ThreadPoolExecutor(len(clients)) as pool:
        stopped = pool.map(lambda client: _stop_in(client, job, over, known), clients)
        return {client.name: children for client, children in zip(clients, stopped, strict=True) if children}


def _stop_in(client: RegionClient, job: str, over: Collection[str], known: Collection[str]) -> list[str]:
    stopped: list[str] = []
    try:
        for stub in client.jobs(f"{job}/dispatch-", meta=True, is_alive=True):
            child = str(stub["ID"])
            if child in known or stub.get("Status") == "dead" or stub.get("Stop"):
                continue
            meta = stub["Meta"] if stub.get("Meta") is not None else client.job(child).get("Meta")
            if (meta or {}).get(RUN_KEYS[0]) in over:
                client.stop_job(child)
                stopped.append(child)
    except FedmlError:
        return stopped
    return stopped
