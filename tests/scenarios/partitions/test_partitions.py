"""Partitions of the network: each slot gives exactly one result, and the operator is told each state once.

On embedded regions behind relays in every `make test`; with SOAK=1 on real Nomad agents (NOMAD_BIN) in network namespaces.
`-rP` or `-s` shows how long after the cut each state was said.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.conftest import BINARIES, NO_BINARY
from tests.scenarios.partitions.embedded import Embedded
from tests.scenarios.partitions.engine import Engine
from tests.scenarios.partitions.namespaces import Namespaces, why_no_namespaces
from tests.scenarios.partitions.partition import Partition
from tests.scenarios.partitions.partitions import PARTITIONS
from tests.scenarios.partitions.stage import play

IS_SOAK = bool(os.environ.get("SOAK"))
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = Embedded(tmp_path_factory.mktemp("partitions"))
    yield engine
    engine.close()


@pytest.mark.parametrize("partition", PARTITIONS, ids=lambda partition: partition.name)
def test_one_result_a_slot_whatever_is_cut(embedded: Engine, partition: Partition) -> None:
    stage = play(embedded, partition)
    sys.stderr.write(f"{stage.figures()}\n")
    assert not stage.hurt


@pytest.fixture(scope="module", params=BINARIES or [""], ids=lambda binary: Path(binary).name or "nomad")
def agents(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Engine]:
    if not IS_SOAK:
        pytest.skip("real agents in network namespaces: SOAK=1")
    if not request.param:
        pytest.skip(NO_BINARY)
    if reason := why_no_namespaces():
        pytest.skip(reason)
    engine = Namespaces(tmp_path_factory.mktemp("agents"), str(Path(request.param).absolute()))
    yield engine
    engine.close()


@pytest.mark.parametrize("partition", PARTITIONS, ids=lambda partition: partition.name)
def test_one_result_a_slot_on_real_agents(agents: Engine, partition: Partition) -> None:
    if reason := next(filter(None, map(agents.why_not, partition.faults)), ""):
        pytest.skip(reason)
    stage = play(agents, partition)
    sys.stderr.write(f"{stage.figures()}\n")
    assert not stage.hurt


def test_there_are_fourteen_kinds_each_with_a_name_of_its_own() -> None:
    assert len({one.name for one in PARTITIONS}) == len(PARTITIONS)
    assert len({one.name for one in PARTITIONS if one.on_region_lost == "rebind"}) >= 14
