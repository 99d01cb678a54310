"""Prices: by node class, pool and device; where nodes differ the highest, where one isn't known none."""

from __future__ import annotations

from typing import Any

import pytest

from federation.plan.price import price_per_hour
from regions.model import Node, Price, Region
from tests.federation.plan.planning import node

CPU, GPU = node(node_class="cpu"), node(node_class="gpu", node_pool="ml", devices={"nvidia/gpu/A100": 1})


def job(device: str = "") -> dict[str, Any]:
    resources = {"Devices": [{"Name": device, "Count": 1}]} if device else {}
    return {"TaskGroups": [{"Name": "g", "Tasks": [{"Name": "t", "Resources": resources}]}]}


@pytest.mark.parametrize(
    ("prices", "all_nodes", "asked", "nodes", "price"),
    [
        ((), 0.5, "", [CPU], 0.5),
        ((), None, "", [CPU], None),
        ((Price(3, node_class="gpu"),), 0.5, "", [CPU], 0.5),
        ((Price(3, node_class="gpu"),), 0.5, "", [CPU, GPU], 3),
        ((Price(3, node_class="gpu"),), None, "", [CPU, GPU], None),
        ((Price(3, node_class="gpu"),), None, "", [GPU], 3),
        ((Price(3, node_pool="ml"), Price(1, node_class="cpu")), None, "", [CPU, GPU], 3),
        ((Price(3, node_pool="ml", node_class="cpu"),), 1, "", [GPU], 1),
        ((Price(4, device="nvidia/gpu"),), 0.5, "gpu", [GPU], 4),
        ((Price(4, device="gpu"),), 0.5, "nvidia/gpu/A100", [GPU], 4),
        ((Price(4, device="nvidia/gpu"),), 0.5, "", [GPU], 0.5),
        ((Price(4, device="nvidia/gpu/H100"),), 0.5, "gpu", [GPU], 0.5),
        ((Price(3, node_class="gpu"),), 0.5, "", [], 3),
        ((), 0.5, "", [], 0.5),
        ((), None, "", [], None),
    ],
)
def test_the_price_of_a_slot(
    prices: tuple[Price, ...], all_nodes: float | None, asked: str, nodes: list[Node], price: float | None
) -> None:
    region = Region("us", ("https://us:4646",), {}, price_per_hour=all_nodes, prices=prices)
    assert price_per_hour(region, job(asked), nodes) == price
