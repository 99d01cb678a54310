"""A region's prices, a job and the nodes that fit it enter, the price of one slot leaves. Pure.

Where nodes differ in price, nobody knows which of them Nomad will choose: the highest counts, so that a cost is one that
isn't exceeded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from regions.model import Node, Price, Region
from regions.nomad.resources import devices_of, is_device


def price_per_hour(region: Region, job: Mapping[str, Any], nodes: Iterable[Node]) -> float | None:
    """Of one slot for an hour; None where a node's isn't known. Without nodes (the token may not read them) the region's
    highest."""
    prices = [price for price in region.prices if not price.device or _asks_for(job, price.device)]
    found = {_of_node(node, prices, region.price_per_hour) for node in nodes}
    if not found:
        found = {region.price_per_hour, *(price.per_hour for price in prices)}
        found -= {None} if prices else set()
    return None if None in found else max((price for price in found if price is not None), default=None)


def _of_node(node: Node, prices: Iterable[Price], otherwise: float | None) -> float | None:
    return next((price.per_hour for price in prices if _is_of(price, node)), otherwise)


def _is_of(price: Price, node: Node) -> bool:
    return (
        price.node_class in ("", node.node_class)
        and price.node_pool in ("", node.node_pool)
        and (not price.device or any(is_device(price.device, model) for model in node.devices))
    )


def _asks_for(job: Mapping[str, Any], device: str) -> bool:
    """Whether the job asks for that device: for the very one, or for one of which it is a kind, or the other way round."""
    asked = {name for group in job["TaskGroups"] for name in devices_of(group)}
    return any(
        set(device.split("/")) <= set(name.split("/")) or set(name.split("/")) <= set(device.split("/"))
        for name in asked
    )
