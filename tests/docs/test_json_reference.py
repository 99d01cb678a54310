"""`docs/reference/json.md` names exactly the keys that the documents have."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args

import pytest

import federation
from federation.app import PreparedJob
from federation.capacity import CapacitySnapshot, RegionCapacity
from federation.cli import session
from federation.config.model import Config
from federation.deploy.job_diff import JobDiff, RegionJob
from federation.deploy.outcome import Deployed, Deployment
from federation.index import RunRow
from federation.plan import Room, plan
from federation.run.brain.commands import Tell, TellKind
from federation.ui.job_view import deployment_document, job_diff_document
from federation.ui.plan_view import plan_document
from federation.ui.regions_view import region_document, regions_document
from federation.ui.run_progress import progress_display
from federation.ui.run_story_view import story_document
from federation.ui.run_view import outcome_document
from federation.workflows.drive import RunOutcome
from federation.workflows.plan import Preview
from federation.workflows.region_report import RegionReport
from federation.workflows.region_state import RegionState
from federation.workflows.run_reader import RunStory
from jobs.spec import JobShape
from regions.model import Datacenter, Region, StoreConfig
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
    (region,) = regions_document(snapshot.regions.values())["regions"]
    known = region_document(
        RegionReport(
            Region("us", ("http://127.0.0.1:9",), {}), RegionCapacity("us", "1.6.3", 1, 5), "", RegionState("us"), {}
        )
    )
    assert documented() == [
        list(region),
        [key for key in known if key not in region],
        list(planned),
        list(planned["regions"][0]),
        list(outcome),
        ["revision", "total", "states", "runs"],
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


OTHER_NAMES = {"entries", "free", "queued", "number", "dry_run", "is_dry", "schema"}
"""Names that documents had for things that have one name now."""


def keys_in(source: str) -> set[str]:
    """The texts that stand as keys of dictionaries in a module."""
    return {
        key.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }


def test_one_thing_has_one_name_in_all_documents() -> None:
    root = Path(federation.__file__).parent
    sources = [*root.glob("cli/**/*.py"), *root.glob("ui/*.py"), root / "checks/stores/report.py"]
    used = {f"{path.relative_to(root)}: {key}" for path in sources for key in keys_in(path.read_text()) & OTHER_NAMES}
    assert used == {"ui/plan_view.py: free", "ui/plan_view.py: queued"}  # the headings of its table
    names = set(
        re.findall(r"`(\w+)`", PAGE[PAGE.index("One thing has one name") : PAGE.index("## fedml regions list")])
    )
    assert not names & OTHER_NAMES
    assert {"opened", "closed"} <= names & {field.name for field in fields(RunRow)}


def test_a_document_and_a_line_begin_with_their_schema_version(capsys: pytest.CaptureFixture[str]) -> None:
    def event() -> None:
        with progress_display(MANIFEST, as_json=True) as observe:
            observe(Tell("bound", "us"))

    for show in (
        lambda: session.answer_json({"a": 1}),
        lambda: session.answer_json_rows({"a": 1}, "rows", [{}]),
        lambda: session.answer_json_line({"a": 1}),
        event,
    ):
        show()
        assert next(iter(json.loads(capsys.readouterr().out).items())) == ("schema_version", 1)
