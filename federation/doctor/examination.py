"""A `Config` enters, all checks leave, regions and stores looked at side by side. Raises nothing but for a bug."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from federation.config import Config
from federation.doctor.check import Check
from federation.doctor.installation import check_installation
from federation.doctor.regions import check_region
from federation.doctor.stores import check_store
from jobs.errors import FedmlError
from regions.model import StoreConfig

Jobs = Mapping[str, Mapping[str, Any] | FedmlError]


def examine(config: Config, jobs: Jobs | None = None) -> list[Check]:
    """The installation, then regions, then stores, in the file's order. `jobs`: the job as each region gets it, or why
    not; a region that isn't in it isn't asked about a job."""
    jobs = jobs or {}
    work: list[Callable[[], list[Check]]] = [
        check_installation,
        *(partial(check_region, region, jobs.get(name)) for name, region in config.regions.items()),
        *(partial(check_store, store, users) for store, users in stores_of(config).items()),
    ]
    with ThreadPoolExecutor(max_workers=len(work)) as pool:
        return [check for found in pool.map(lambda one: one(), work) for check in found]


def stores_of(config: Config) -> dict[StoreConfig, str]:
    """Every store once, with what uses it: `home`, `us/us-east-1`."""
    users: dict[StoreConfig, list[str]] = {config.home: ["home"]}
    for region in config.regions.values():
        for datacenter in region.datacenters.values():
            users.setdefault(datacenter.store, []).append(f"{region.name}/{datacenter.name}")
    return {store: ", ".join(names) for store, names in users.items()}
