"""Tests enter, the units in which workers get them leave: a file's tests stay together and share what it sets up.

Files in `APART` are long, or wait more than they work: each of their tests is a unit of its own. Tests of the regions'
conformance share the engine that they ask, whatever their file is.
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
_ENGINE = re.compile(r"tests/conformance/\S+\[(embedded-\d+\.\d+\.\d+|nomad-\d+\.\d+\.\d+)")


def unit_of(nodeid: str) -> str:
    """The name of the test's unit."""
    path = nodeid.partition("::")[0]
    if path in APART:
        return nodeid
    engine = _ENGINE.match(nodeid)
    return engine[1] if engine else path


class Units(LoadScopeScheduling):
    """Gives workers unit after unit, in the order of the collection: long ones come first there."""

    def __init__(self, config: pytest.Config, log: object = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)
