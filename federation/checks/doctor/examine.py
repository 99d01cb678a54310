"""Runs all checks of a `Config`, regions and stores side by side. Raises nothing but for a bug."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from federation.check import Check, Outcome
from federation.checks.doctor.files import check_files
from federation.checks.doctor.installation import check_installation
from federation.checks.doctor.publishing import check_publishing
from federation.checks.doctor.regions import check_region
from federation.checks.doctor.stores import check_store
from federation.config.model import Config
from jobs.errors import FedmlError
from regions.model import StoreConfig

Jobs = Mapping[str, Mapping[str, Any] | FedmlError]


def examine(config: Config, jobs: Jobs | FedmlError | None = None) -> list[Check]:
    """Checks the installation, then the job, regions and stores, in the file's order. `jobs`: the job as each region gets
    it, or why not. A region that isn't in it isn't asked about a job. An error: the job can't be used anywhere."""
    if isinstance(jobs, FedmlError):
        problem = Check("job", "jobspec", Outcome.FAILED, jobs.message.partition("\n")[0], jobs.hint)
        installation, *others = _groups(config, {})
        return [*installation, problem, *(check for group in others for check in group)]
    return [check for group in _groups(config, jobs or {}) for check in group]


def _groups(config: Config, jobs: Jobs) -> list[list[Check]]:
    regions = config.regions.items()
    work: list[Callable[[], list[Check]]] = [
        check_installation,
        partial(check_files, config),
        partial(check_addresses, config),
        partial(check_publishing, config.results, jobs),
        *(partial(check_region, region, jobs.get(name), is_dev=_is_dev(config, name)) for name, region in regions),
        *(partial(check_store, store, users) for store, users in stores_of(config).items()),
    ]
    with ThreadPoolExecutor(max_workers=len(work)) as pool:
        return list(pool.map(lambda one: one(), work))


def _is_dev(config: Config, region: str) -> bool:
    return config.dev is not None and region in config.dev.regions


def check_addresses(config: Config) -> list[Check]:
    """Warns of regions that are reached over the same addresses only: when those are down, all of them are out of reach."""
    names: dict[frozenset[str], list[str]] = {}
    for region in config.regions.values():
        names.setdefault(frozenset(region.addresses), []).append(region.name)
    return [
        Check(
            "regions",
            "addresses",
            Outcome.WARNING,
            f"{', '.join(regions)} are reached only over {', '.join(sorted(addresses))}: when that is down, so are all of them",
            "give each region the addresses of its own servers",
        )
        for addresses, regions in names.items()
        if len(regions) > 1
    ]


def stores_of(config: Config) -> dict[StoreConfig, str]:
    """Every store once, with its uses: `home`, `us/us-east-1`."""
    users: dict[StoreConfig, list[str]] = {config.home: ["home"]}
    for region in config.regions.values():
        for datacenter in region.datacenters.values():
            users.setdefault(datacenter.store, []).append(f"{region.name}/{datacenter.name}")
    return {store: ", ".join(names) for store, names in users.items()}
