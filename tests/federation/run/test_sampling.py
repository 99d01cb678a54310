"""What running allocations take, seen as a sample: one a region at a time, the greatest of each task."""

from __future__ import annotations

import threading
from dataclasses import replace

from federation.run.sampling import Sampler
from regions.errors import NotFound
from regions.model import Allocation
from regions.nomad.task_history import TaskUsage, usage_from_json

RUNNING = Allocation("a1", "job/dispatch-1", "work", 0, "node", "us-1", "running", "run")


class Region:
    """Takes more each time it is asked; `a2` is over already."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.has_been_asked = threading.Event()

    def usage(self, alloc_id: str) -> dict[str, TaskUsage]:
        self.asked.append(alloc_id)
        self.has_been_asked.set()
        if alloc_id == "a2":
            raise NotFound("over", region="us", operation="usage")
        return {"train": TaskUsage(100.0 / len(self.asked), 64.0 * len(self.asked))}


def test_allocations_take_turns_and_the_greatest_is_kept() -> None:
    region = Region()
    sampler = Sampler({"us": region})
    for alloc_id in ("a1", "a2", "a1"):
        sampler.changed("us", replace(RUNNING, id=alloc_id))
    for _ in range(3):
        sampler.sample("us")
    assert region.asked == ["a1", "a2", "a1"]
    assert sampler.taken("a1") == {"train": TaskUsage(100.0, 192.0)}
    assert sampler.taken("a1") == sampler.taken("a2") == {}


def test_one_that_ended_is_not_asked_for() -> None:
    region = Region()
    sampler = Sampler({"us": region})
    sampler.changed("us", RUNNING)
    sampler.changed("us", replace(RUNNING, client_status="complete"))
    sampler.sample("us")
    assert region.asked == []


def test_a_watch_tells_here_too_and_it_samples_while_it_lasts() -> None:
    region, seen = Region(), list[Allocation]()
    sampler = Sampler({"us": region}, every_s=0.01)

    def watch(name: str, on_allocation: object, stop: str) -> None:
        assert (name, stop) == ("us", "stop")
        assert callable(on_allocation)
        on_allocation(RUNNING)

    with sampler:
        sampler.watching(watch)("us", seen.append, "stop")
        assert region.has_been_asked.wait(60)
    assert seen == [RUNNING]


def test_nomads_answer_is_read_whatever_its_driver_measures() -> None:
    answer = {
        "Tasks": {
            "train": {
                "ResourceUsage": {
                    "CpuStats": {"TotalTicks": 412.5},
                    "MemoryStats": {"RSS": 3 * 2**20, "Usage": 0, "MaxUsage": 7 * 2**20},
                }
            },
            "store": {"ResourceUsage": {"CpuStats": None, "MemoryStats": {"RSS": 2**20}}},
        }
    }
    assert usage_from_json(answer) == {"train": TaskUsage(412.5, 7.0), "store": TaskUsage(0.0, 1.0)}
    assert usage_from_json({"Tasks": None}) == {}
