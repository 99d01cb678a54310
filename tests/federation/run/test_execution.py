"""What the execution of single commands asks of a region."""

from __future__ import annotations

from typing import Any

import pytest

from federation.run.brain import commands as cmd
from federation.run.brain import events as ev
from federation.run.execution import Execution
from federation.run.ports import Ports
from tests.federation.run.brain.faults import Faults
from tests.federation.run.brain.test_brain import MANIFEST
from tests.federation.run.brain.virtual_region import VirtualRegion

SPEC = MANIFEST.spec_hash


class Counting(VirtualRegion):
    """A region that counts what it is asked."""

    def __init__(self) -> None:
        super().__init__("us", 10, Faults(1), SPEC)
        self.asked: list[str] = []

    def job(self, job_id: str) -> dict[str, Any]:
        self.asked.append(job_id)
        return super().job(job_id)

    def jobs(self, prefix: str = "", *, meta: bool = False, is_alive: bool = False) -> list[dict[str, Any]]:
        self.asked.append("list")
        return super().jobs(prefix, meta=meta)


@pytest.fixture
def region() -> Counting:
    return Counting()


@pytest.fixture
def execution(region: Counting) -> Execution:
    none: Any = None
    ports = Ports(
        clients={"us": region},  # type: ignore[dict-item]
        **dict.fromkeys(("run_log", "index", "probe", "ping", "list_allocations", "read", "search", "watch"), none),
        observe=none,
        inputs=lambda slot: ({}, b""),
        sites={},
    )
    return Execution(MANIFEST, ports)


def dispatched(execution: Execution, slots: range) -> tuple[str, ...]:
    """Checks the registered job, then dispatches; the children."""
    execution.do(cmd.CheckParent("us"))
    done = [event for slot in slots for event in execution.do(cmd.Dispatch(slot, 1, "us"))]
    return tuple(event.job_id for event in done if isinstance(event, ev.Acknowledged))


def specs(events: Any) -> dict[str, str]:
    return {event.job_id: event.spec_hash for event in events}


def test_one_request_verifies_all_children_of_an_unchanged_job(region: Counting, execution: Execution) -> None:
    children = dispatched(execution, range(5))
    region.asked.clear()
    assert specs(execution.do(cmd.Verify("us", children))) == {}
    assert region.asked == [MANIFEST.parent_id]


def test_children_of_a_job_that_changed_meanwhile_are_read(region: Counting, execution: Execution) -> None:
    children = dispatched(execution, range(2))
    region.spec_hash = "another"
    late = [event.job_id for slot in (2, 3) for event in execution.do(cmd.Dispatch(slot, 1, "us"))]  # type: ignore[union-attr]
    told = specs(execution.do(cmd.Verify("us", (*children, *late))))
    assert told == dict.fromkeys(children, SPEC) | dict.fromkeys(late, "another")


def test_a_job_that_was_changed_and_put_back_proves_nothing(region: Counting, execution: Execution) -> None:
    execution.do(cmd.CheckParent("us"))
    region.spec_hash = "another"
    (done,) = execution.do(cmd.Dispatch(0, 1, "us"))
    region.spec_hash = SPEC
    assert isinstance(done, ev.Acknowledged)
    assert specs(execution.do(cmd.Verify("us", (done.job_id,)))) == {done.job_id: "another"}


def test_children_that_another_process_made_are_read(region: Counting, execution: Execution) -> None:
    children = dispatched(execution, range(2))
    region.asked.clear()
    again = Execution(MANIFEST, execution._ports)
    assert dispatched(again, range(2)) == children
    region.asked.clear()
    assert specs(again.do(cmd.Verify("us", children))) == dict.fromkeys(children, SPEC)
    assert set(region.asked) == set(children)


def inspected(
    execution: Execution, region: Counting, *, running: frozenset[tuple[int, int]] = frozenset()
) -> list[str]:
    """Inspects children 0 to 4 by lists; what is told of each, `queued` where Nomad holds it."""
    children = {(number, 1): job_id for number, job_id in enumerate(region.children)}
    told = execution.do(cmd.InspectAll("us", children, running))
    assert [(event.slot, event.attempt) for event in told if isinstance(event, ev.ChildInspected)] == list(children)
    return ["queued" if event.is_queued else event.status for event in told if isinstance(event, ev.ChildInspected)]


def test_lists_tell_of_children_that_wait_or_run_and_others_are_asked_for_alone(
    region: Counting, execution: Execution
) -> None:
    dispatched(execution, range(6))
    waiting, hopeless, forgotten, running, started, dead = region.children.values()
    hopeless.fate, forgotten.has_evaluation = "never_placed", False
    running.status, started.status, dead.status = "running", "running", "dead"
    waiting.has_evaluation = hopeless.has_evaluation = True
    told = inspected(execution, region, running=frozenset({(3, 1)}))
    assert told == ["queued", "pending", "unlisted", "running", "running", "unlisted"]
    del region.children[waiting.id]
    children = {(0, 1): waiting.id}
    assert [event.status for event in execution.do(cmd.InspectAll("us", children, frozenset()))] == ["unlisted"]  # type: ignore[union-attr]


def test_a_region_that_does_not_answer_tells_nothing_of_its_children(region: Counting, execution: Execution) -> None:
    dispatched(execution, range(4))
    region.cut = "all"
    assert inspected(execution, region) == ["unknown"] * 4
