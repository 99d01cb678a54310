"""`docs/reference/json.md` names exactly the keys that the documents have."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args

from federation.app import PreparedJob
from federation.capacity import CapacitySnapshot, RegionCapacity
from federation.config.model import Config
from federation.deploy.job_diff import JobDiff, RegionJob
from federation.deploy.rollout import Deployed, Deployment
from federation.index import RunRow
from federation.plan import Room, plan
from federation.run.brain.commands import TellKind
from federation.ui.job_view import deployment_document, job_diff_document
from federation.ui.plan_view import plan_document
from federation.ui.run_view import outcome_document, story_document
from federation.workflows.plan import Preview
from federation.workflows.runs import RunOutcome, RunStory
from jobs.spec import JobShape
from regions.model import Datacenter, StoreConfig
from tests.federation.run.brain.world import MANIFEST

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "json.md").read_text()


def documented() -> list[list[str]]:
    """Return the keys of each table of the page, in order."""
    return [re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) for table in PAGE.split("| key | meaning |")[1:]]


def test_every_key_is_documented_and_nothing_else() -> None:
    shape = JobShape("train", (), (), "optional", "model_version", {"g": 1}, {"g": 1})
    snapshot = CapacitySnapshot({"us": RegionCapacity("us", "1.6.3", 1, 5)})
    store = StoreConfig("file:///x")
    config = SimpleNamespace(regions={"us": SimpleNamespace(datacenters={"dc1": Datacenter("dc1", store)})})
    preview = Preview(PreparedJob(Path("x"), shape, "5ec", {"us": {}}), snapshot, plan(2, [Room("us", 5)]), "4", 0)
    planned: Any = plan_document(preview, cast(Config, config))
    outcome = outcome_document(RunOutcome(MANIFEST, "done", "", 6, 0, {}, {}))
    story = story_document(RunStory(MANIFEST, "done", "", ()))
    deployed = deployment_document(Deployment("train", "5ec", (Deployed("us", "registered"),)))
    compared = job_diff_document(JobDiff("train", "5ec", (RegionJob("us"),), {}))
    assert documented() == [
        list(planned),
        list(planned["regions"][0]),
        list(outcome),
        ["revision", "runs"],
        list(story),
        list(deployed),
        list(deployed["regions"][0]),
        list(compared),
        list(compared["regions"][0]),
    ]


def test_every_key_of_a_listed_run_is_documented() -> None:
    line = next(line for line in PAGE.splitlines() if line.startswith("| `runs` |"))
    assert {field.name for field in fields(RunRow)} == set(re.findall(r"`(\w+)`", line)) - {"runs"}


def test_every_event_is_documented() -> None:
    line = PAGE[PAGE.index("Each line has `event`") : PAGE.index("The last one is")]
    assert set(get_args(TellKind)) <= set(re.findall(r"`(\w+)`", line))
