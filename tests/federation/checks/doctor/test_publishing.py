"""Whether something in a job publishes."""

from __future__ import annotations

from typing import Any

import pytest

from federation.check import Outcome
from federation.checks.doctor.publishing import check_publishing
from jobs.errors import InvalidSpec


def job(*tasks: dict[str, Any]) -> dict[str, Any]:
    """A job with one group for each task."""
    groups = [{"Name": f"g{number}", "Tasks": [{"Name": "t", **task}]} for number, task in enumerate(tasks)]
    return {"ID": "train", "TaskGroups": groups}


BY_COMMAND = {"Config": {"command": "/opt/bin/fedml", "args": ["publish", "out"]}}
BY_SCRIPT = {"Config": {"command": "/bin/sh", "args": ["-c", "python train.py &&\nexec fedml publish out"]}}
BY_TEMPLATE = {"Config": {}, "Templates": [{"EmbeddedTmpl": "#!/bin/sh\nfedml \\\n  publish model"}]}
BY_ARCHIVE = {"Config": {"command": "python3", "args": ["local/fedml-publish.pyz", "model"]}}
BY_MODULE = {"Config": {"command": "python3", "args": ["-m", "federation", "publish", "model"]}}
NOTHING = {"Config": {"command": "python3", "args": ["train.py"]}, "Env": None}


@pytest.mark.parametrize("task", [BY_COMMAND, BY_SCRIPT, BY_TEMPLATE, BY_ARCHIVE, BY_MODULE])
def test_a_job_that_publishes(task: dict[str, Any]) -> None:
    (check,) = check_publishing("publish", {"us": job(task)})
    assert check.outcome is Outcome.OK


def test_a_group_without_it_is_named_with_the_remedy() -> None:
    (check,) = check_publishing("publish", {"eu": InvalidSpec("x"), "us": job(BY_COMMAND, NOTHING)})
    assert check.outcome is Outcome.WARNING
    assert "nothing in group g1 calls `fedml publish`" in check.detail
    assert "fedml publish DIR" in check.remedy


@pytest.mark.parametrize("results", ["none", "adopt"])
def test_runs_that_publish_nothing_need_none(results: str) -> None:
    assert check_publishing(results, {"us": job(NOTHING)}) == []


def test_a_job_that_no_region_can_have_is_not_judged() -> None:
    assert check_publishing("publish", {"us": InvalidSpec("x")}) == []
