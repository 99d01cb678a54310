"""What real Nomad tells of allocations that ended, in every way that was recorded, and what fedml makes of each.

`tests/conformance/region/test_endings.py` records them (FEDML_RECORD): one file for each version of Nomad.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from federation.run.brain import commands as cmd
from federation.run.brain import events as ev
from federation.run.brain.brain import Brain
from federation.run.brain.causes import Cause, cause_of, has_ended_well
from federation.run.brain.state import newest
from regions.model import Allocation
from regions.nomad.decode import allocation_from_json
from tests.federation.run.brain.test_brain import sent
from tests.federation.run.brain.world import MANIFEST

FOLDER = Path(__file__).parent / "endings"
RECORDED = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
CASES = [
    pytest.param(shape, id=f"{version}-{name.replace(' ', '-')}")
    for version, shapes in RECORDED.items()
    for name, shape in shapes.items()
]


def ending_of(allocation: Allocation, shape: Mapping[str, Any]) -> str:
    """One word for how the allocation ended, as recordings name it."""
    if not allocation.is_over:
        return "running"
    if has_ended_well(allocation, shape["deciding"]):
        return "done"
    return str(cause_of(allocation, is_job_stopped=shape["is_stopped"])[0])


def allocations_of(shape: Mapping[str, Any]) -> list[Allocation]:
    return [allocation_from_json(stub) for stub in shape["allocations"]]


def test_both_references_are_recorded_and_1_6_3_lacks_only_what_it_cannot_do() -> None:
    old, new = RECORDED["1.6.3"], RECORDED["2.0.5"]
    assert {name for name in new if name not in old} == {name for name in new if name.startswith("max_run_duration")}
    assert set(old) - set(new) == {"node lost"}, "a pretended node"
    assert len(old) > 35


@pytest.mark.parametrize("shape", CASES)
def test_each_allocation_ended_as_it_was_meant_to(shape: Mapping[str, Any]) -> None:
    assert [ending_of(one, shape) for one in allocations_of(shape)] == shape["endings"]


@pytest.mark.parametrize("results", ["none", "adopt", "publish"])
@pytest.mark.parametrize("shape", CASES)
def test_a_run_makes_of_it_what_it_is(shape: Mapping[str, Any], results: str) -> None:
    """News first, then the child as Nomad has it; the stores have nothing."""
    found = allocations_of(shape)
    count = 1 + max((one.index for one in found), default=0)
    brain = Brain(replace(MANIFEST, slots=1, results=results, groups={"g": count}))
    child = sent(brain)
    region = brain.slots[0].attempts[0].region
    found = [replace(one, job_id=child) for one in found]
    out = [command for one in found for command in brain.step(ev.AllocationChanged(region, one))]
    status = shape["status"]
    inspected = ev.ChildInspected(
        0, 1, status, tuple(found), is_stopped=shape["is_stopped"], deciding={"g": frozenset(shape["deciding"])}
    )
    out += brain.step(inspected)
    well = {one.id for one in found if ending_of(one, shape) == "done"}
    looked = {command.allocation.id for command in out if isinstance(command, cmd.Look) and command.allocation}
    if results == "adopt":
        assert looked == well
    last = [ending_of(one, shape) for one in newest(tuple(found)).values()]
    is_done = set(last) == {"done"}
    attempt = brain.slots[0].attempts[0]
    brain.step(ev.Looked(0, 1, "", ()))
    if results == "none":
        assert (brain.slots[0].state == "done") == is_done
    if is_done:
        assert attempt.cause is None
    elif status == "gone":
        assert attempt.cause is Cause.VANISHED
    elif status == "dead":
        assert attempt.cause == Cause(next(ending for ending in last if ending != "done"))
    else:
        assert attempt.is_open
