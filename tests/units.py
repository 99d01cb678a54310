"""Divides tests into the units in which workers get them, and orders the units: a file's tests stay together and share what
it sets up.

Files in `APART` are long, or wait more than they work: each of their tests is a unit of its own. Tests of the regions'
conformance share the engine that they ask, whatever their file is. Units in `FIRST` take longest and begin first, so that
all workers end together.
"""

from __future__ import annotations

import re

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

APART = (
    "tests/scenarios/partitions/test_partitions.py",
    "tests/scenarios/test_scripts.py",
    "tests/federation/run/brain/test_chaos.py",
)
FIRST = (
    "embedded-",
    "nomad-",
    "tests/scenarios/partitions/",
    "tests/scenarios/",
    "tests/regions/storage/test_conformance.py",
    "tests/regions/storage/test_slow.py",
    "tests/regions/storage/test_faults.py",
    "tests/regions/storage/test_secrets.py",
    "tests/regions/storage/test_scale.py",
    "tests/regions/storage/test_processes.py",
    "tests/federation/checks/stores/test_promises.py",
    "tests/docs/test_docs.py",
    "tests/federation/index/test_linearizable.py",
    "tests/federation/index/test_histories.py",
    "tests/federation/index/test_time_travel.py",
    "tests/federation/index/maintenance/test_rebuild.py",
    "tests/federation/index/maintenance/test_gc_claims.py",
    "tests/federation/index/catalog/test_checkpoint.py",
    "tests/federation/dev/",
    "tests/federation/task/",
    "tests/federation/output/test_terminal.py",
    "tests/federation/publish/bundle/",
    "tests/attack/",
    "tests/federation/run/brain/",
    "tests/jobs/hcl/test_limits.py",
    "tests/jobs/nomad_json/test_readbacks.py",
    "tests/regions/nomad/",
)
"""How the names of units that take longest begin, the longest first."""
_ENGINE = re.compile(r"tests/conformance/\S+\[(embedded-\d+\.\d+\.\d+|nomad-\d+\.\d+\.\d+)")


def unit_of(nodeid: str) -> str:
    """The name of the test's unit."""
    path = nodeid.partition("::")[0]
    if path in APART:
        return nodeid
    engine = _ENGINE.match(nodeid)
    return engine[1] if engine else path


def place_of(nodeid: str) -> int:
    """The place of the test's unit in `FIRST`; all others come after these."""
    unit = unit_of(nodeid)
    return next((place for place, start in enumerate(FIRST) if unit.startswith(start)), len(FIRST))


class Units(LoadScopeScheduling):
    """Gives workers unit after unit, in the order of the collection."""

    def __init__(self, config: pytest.Config, log: object = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)
