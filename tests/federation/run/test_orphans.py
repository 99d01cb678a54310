"""What runs that are over left in their regions is stopped, and nothing else."""

from __future__ import annotations

from typing import Any

from federation.run.orphans import stop_stale
from regions.errors import RegionUnreachable


class Region:
    """A region with children: ID → (run, status)."""

    def __init__(self, name: str, children: dict[str, tuple[str, str]], *, is_down: bool = False) -> None:
        self.name = name
        self.children = children
        self.is_down = is_down
        self.stopped: list[str] = []

    def jobs(self, prefix: str = "", *, meta: bool = False, is_alive: bool = False) -> list[dict[str, Any]]:
        if self.is_down:
            raise RegionUnreachable("connection refused", region=self.name)
        return [
            {"ID": child, "Status": status} for child, (_, status) in self.children.items() if child.startswith(prefix)
        ]

    def job(self, job_id: str) -> dict[str, Any]:
        run, _ = self.children[job_id]
        return {"ID": job_id, "Meta": {"fedml_run": run} if run else None}

    def stop_job(self, job_id: str) -> None:
        self.stopped.append(job_id)


def test_only_living_children_of_runs_that_are_over_are_stopped() -> None:
    us = Region(
        "us",
        {
            "train/dispatch-1-a": ("over", "running"),
            "train/dispatch-1-b": ("over", "dead"),
            "train/dispatch-1-c": ("going", "running"),
            "train/dispatch-1-d": ("", "running"),
            "other/dispatch-1-e": ("over", "running"),
        },
    )
    eu = Region("eu", {"train/dispatch-2-a": ("over", "pending")})
    down = Region("onprem", {"train/dispatch-3-a": ("over", "running")}, is_down=True)
    assert stop_stale([us, eu, down], "train", {"over"}) == {
        "us": ["train/dispatch-1-a"],
        "eu": ["train/dispatch-2-a"],
    }
    assert (us.stopped, eu.stopped, down.stopped) == (["train/dispatch-1-a"], ["train/dispatch-2-a"], [])


def test_without_runs_that_are_over_no_region_is_asked() -> None:
    assert stop_stale([Region("us", {}, is_down=True)], "train", set()) == {}
