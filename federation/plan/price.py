"""Computes the price of one slot from a region's prices, a job and the nodes that fit it. Pure.

If nodes differ in price, the highest counts: Nomad may choose any of them, and the cost must not be exceeded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from regions.model import Node, Price, Region
from regions.nomad.resources import devices_of, is_device


def price_per_hour(region: Region, job: Mapping[str, Any], nodes: Iterable[Node]) -> float | None:
    """The price of one slot for an hour. None if a node's price isn't known. Without nodes (the token may not read them),
    the region's highest price."""
    prices = [price for price in region.prices if not price.device or _asks_for(job, price.device)]
    hourly = {_of_node(node, prices, region.price_per_hour) for node in nodes}
    if not hourly:
        hourly = {region.price_per_hour, *(price.per_hour for price in prices)}
        hourly -= {None} if prices else set()
    return None if None in hourly else max((price for price in hourly if price is not None), default=None)


def _of_node(node: Node, prices: Iterable[Price], otherwise: float | None) -> float | None:
    return next((price.per_hour for price in prices if _is_of(price, node)), otherwise)


def _is_of(price: Price, node: Node) -> bool:
    return (
        price.node_class in ("", node.node_class)
        and price.node_pool in ("", node.node_pool)
        and (not price.device or any(is_device(price.device, model) for model in node.devices))
    )


def _asks_for(job: Mapping[str, Any], device: str) -> bool:
    """Whether the job asks for the device: by the same name, or by a more or less specific one."""
    asked = {name for group in job["TaskGroups"] for name in devices_of(group)}
    return any(
        set(device.split("/")) <= set(name.split("/")) or set(name.split("/")) <= set(device.split("/"))
        for name in asked
    )
