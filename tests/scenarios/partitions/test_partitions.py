"""Partitions of the network: each slot gives exactly one result, and the operator is told each state once.

On embedded regions behind relays in every `make test`; with SOAK=1 on real Nomad agents (NOMAD_BIN) in network namespaces.
`-rP` or `-s` shows how long after the cut each state was said.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.scenarios.partitions.embedded import Embedded
from tests.scenarios.partitions.engine import Engine
from tests.scenarios.partitions.partition import Partition
from tests.scenarios.partitions.partitions import PARTITIONS
from tests.scenarios.partitions.stage import play

pytestmark = [pytest.mark.xdist_group("scenarios-partitions"), pytest.mark.slow, pytest.mark.timeout(600)]


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
