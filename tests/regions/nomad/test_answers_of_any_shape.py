"""Whatever a region decode, reading it gives a value or one of the errors that `NomadRegion` makes UnexpectedAnswer of."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regions.nomad import decode, task_history
from regions.nomad.json_types import NOT_OF_NOMADS_SHAPE
from tests.examples import examples

ALLOCATION: dict[str, Any] = {
    "ID": "a",
    "Name": "train.main[0]",
    "JobID": "train",
    "TaskGroup": "main",
    "ClientStatus": "complete",
    "DesiredStatus": "run",
    "ModifyIndex": 7,
    "TaskStates": {
        "t": {
            "State": "dead",
            "Failed": False,
            "StartedAt": "2026-01-01T00:00:00Z",
            "Events": [{"Type": "Terminated", "ExitCode": 1, "Time": 1_700_000_000_000_000_000, "Details": {}}],
        }
    },
    "AllocatedResources": {"Tasks": {"t": {"Cpu": {"CpuShares": 5}, "Memory": {"MemoryMB": 5}}}},
}
READERS: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {
    "allocation": (decode.allocation_from_json, ALLOCATION),
    "story": (task_history.allocation_story, ALLOCATION),
    "node": (
        decode.node_from_json,
        {
            "ID": "n",
            "Name": "n",
            "Datacenter": "d",
            "Status": "ready",
            "NodeResources": {"Cpu": {"CpuShares": 1}},
            "Drivers": {"exec": {"Detected": True, "Healthy": True}},
            "HostVolumes": {"v": {}},
            "NodeClass": "c",
        },
    ),
    "dry run": (
        decode.dry_run_from_json,
        {"JobModifyIndex": 1, "Diff": {"Type": "None"}, "FailedTGAllocs": {"main": {"CoalescedFailures": 1}}},
    ),
    "job": (decode.job_from_json, {"ID": "j", "Meta": {"a": "b"}, "JobModifyIndex": 1, "Status": "dead"}),
    "summary": (decode.summary_from_json, {"Children": {"Dead": 1}, "Summary": {"main": {"Complete": 1}}}),
    "usage": (
        task_history.usage_from_json,
        {"Tasks": {"t": {"ResourceUsage": {"MemoryStats": {"RSS": 1}, "CpuStats": {}}}}},
    ),
    "event": (
        lambda message: decode.events_from_line(json.dumps(message).encode()),
        {"Index": 1, "Events": [{"Topic": "Job", "Type": "t", "Key": "k", "Index": 1, "Payload": {"Job": {}}}]},
    ),
}
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(2**200),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for name, each in inner for place in places(each, (*at, name)))]


def changed(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    found = copy.deepcopy(value)
    inner = found
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = new
    return found


@pytest.mark.parametrize("name", READERS)
def test_the_answer_itself_is_read(name: str) -> None:
    read, answer = READERS[name]
    assert read(answer) is not None


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=examples(150), deadline=None)
@given(data=st.data())
def test_any_value_anywhere_is_read_or_not_of_nomads_shape(name: str, data: st.DataObject) -> None:
    read, answer = READERS[name]
    strange = changed(answer, data.draw(st.sampled_from(places(answer))), data.draw(_VALUES))
    try:
        found = read(strange)
    except NOT_OF_NOMADS_SHAPE:
        return
    hash(getattr(found, "id", None))
    assert found is not None
