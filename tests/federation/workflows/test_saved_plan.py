"""Saved plans: what they were made for comes back, and what moved meanwhile is named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from federation.deploy.prepare import JobRequest
from federation.errors import FormatTooNew, PlanMoved, UsageError
from federation.manifest import RunCode
from federation.ui.plan_view import plan_document
from federation.workflows.plan import preview
from federation.workflows.request import CodeRequest, FailedSlots, Placing, RunRequest
from federation.workflows.saved_plan import SavedPlan, keep_plan, read_plan
from jobs.params.file import read_asks
from tests.federation.plan.planning import FakeApp


@pytest.fixture
def app(tmp_path: Path) -> FakeApp:
    return FakeApp(tmp_path)


def kept(app: FakeApp, request: RunRequest, to: Path, **sources: Path) -> SavedPlan:
    made = preview(app.app, request)
    keep_plan(to, app.app, made, plan_document(made, app.config), {name: str(path) for name, path in sources.items()})
    return read_plan(to)


def test_the_request_comes_back_as_it_was(app: FakeApp, tmp_path: Path) -> None:
    params = tmp_path / "p.csv"
    params.write_text("depth\n3\n5\n")
    payloads = tmp_path / "payloads"
    payloads.mkdir()
    (payloads / "a").write_bytes(b"\xff")
    request = RunRequest(
        JobRequest("job.nomad.hcl", ("a=1",), (), ("us", "eu")),
        8,
        "next",
        {"model_version": "x"},
        asks=read_asks(['lr="0,1",2'], params, payloads),
        placing=Placing("pack", {"us": 9}, {"eu": 1}, 7200, None, 60, True),
    )
    saved = kept(app, replace(request, meta={}), tmp_path / "plan.json", params=params, payload_dir=payloads)
    placing = saved.request.placing
    assert placing.deadline_s is not None
    assert 7190 < placing.deadline_s <= 7200
    as_asked = replace(request, meta={}, version=None)
    assert replace(saved.request, placing=replace(placing, deadline_s=7200)) == as_asked
    saved.check(app.app, preview(app.app, saved.request))


def test_a_plan_of_code_is_not_saved_without_its_code(app: FakeApp, tmp_path: Path) -> None:
    """It would name a registered job by the name of the code's job."""
    code = CodeRequest(RunCode("a" * 64, ("python", "train.py"), "none", "job"), {})
    made = preview(app.app, RunRequest(JobRequest(), 4))
    assert made.request is not None
    failed = FailedSlots("01a2", (1,))
    made = replace(made, request=replace(made.request, code=code, failed_of=failed))
    with pytest.raises(UsageError, match="can't be saved") as caught:
        keep_plan(tmp_path / "plan.json", app.app, made, {}, {})
    assert "fedml dispatch --failed-of 01a2" in caught.value.hint
    assert not (tmp_path / "plan.json").exists()


def other_spec(app: FakeApp) -> None:
    app.spec_hash = "abc" * 20


def changed_job(app: FakeApp) -> None:
    app.regions["eu"].index = 9


def silent(app: FakeApp) -> None:
    app.regions["eu"].is_silent = True


def version_taken(app: FakeApp) -> None:
    app.index.open_run("01a21000-0000-7000-8000-000000000001", "train", None, "5ec", 1, 1)


@pytest.mark.parametrize(
    ("move", "told"),
    [
        (other_spec, "the jobspec is another (spec 5ec5ec5ec5ec, now abcabcabcabc)"),
        (changed_job, "region eu: the registered job changed (JobModifyIndex 7, now 9)"),
        (silent, "region eu was ready, and is unreachable"),
        (version_taken, "the next version was 1, and is 2"),
    ],
)
def test_what_moved_is_named(app: FakeApp, tmp_path: Path, move: Callable[[FakeApp], None], told: str) -> None:
    saved = kept(app, RunRequest(JobRequest(), 4), tmp_path / "plan.json")
    move(app)
    with pytest.raises(PlanMoved) as caught:
        saved.check(app.app, preview(app.app, saved.request))
    assert caught.value.message == f"plan.json is out of date: {told}; nothing was dispatched"


def test_a_version_that_another_run_got_meanwhile(app: FakeApp, tmp_path: Path) -> None:
    saved = kept(app, RunRequest(JobRequest(), 4, "4"), tmp_path / "plan.json")
    app.index.open_run("01a21000-0000-7000-8000-000000000001", "train", "4", "5ec", 1, 1)
    with pytest.raises(PlanMoved, match="version 4 had 0 runs, and has 1"):
        saved.check(app.app, preview(app.app, saved.request))


def test_free_room_may_change(app: FakeApp, tmp_path: Path) -> None:
    saved = kept(app, RunRequest(JobRequest(), 4), tmp_path / "plan.json")
    app.regions["eu"].free = 0
    now = preview(app.app, saved.request)
    saved.check(app.app, now)
    assert {one.region: one.now for one in now.plan.placements} == {"us": 4}


def test_parameters_that_changed_meanwhile(app: FakeApp, tmp_path: Path) -> None:
    params = tmp_path / "p.csv"
    params.write_text("depth\n3\n5\n")
    kept(app, RunRequest(JobRequest(), asks=read_asks((), params)), tmp_path / "plan.json", params=params)
    params.write_text("depth\n3\n6\n")
    with pytest.raises(PlanMoved, match=r"p\.csv changed; nothing was dispatched"):
        read_plan(tmp_path / "plan.json")


def edited(data: dict[str, Any]) -> None:
    data["request"]["slots"] = 5


def newer(data: dict[str, Any]) -> None:
    data["format"] = 99


def unsigned(data: dict[str, Any]) -> None:
    del data["sha256"]


@pytest.mark.parametrize(
    ("edit", "error", "told"),
    [
        (edited, PlanMoved, "was changed since it was written"),
        (newer, FormatTooNew, "has format 99, this fedml knows 1"),
        (unsigned, UsageError, "is not a plan"),
    ],
)
def test_a_file_that_was_edited(
    app: FakeApp, tmp_path: Path, edit: Callable[[dict[str, Any]], None], error: type[Exception], told: str
) -> None:
    path = tmp_path / "plan.json"
    kept(app, RunRequest(JobRequest(), 4), path)
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))
    with pytest.raises(error, match=told):
        read_plan(path)


@pytest.mark.parametrize("name", ["job", "regions", "request", "runs_of_version", "version"])
@pytest.mark.parametrize("value", [None, [], {"us": None}, 7.5, {"sources": [], "sweep": 1}])
def test_a_plan_of_another_shape_whose_hash_was_written_anew_is_one_error(
    app: FakeApp, tmp_path: Path, name: str, value: Any
) -> None:
    path = tmp_path / "plan.json"
    kept(app, RunRequest(JobRequest(), 4), path)
    data = json.loads(path.read_text())
    del data["sha256"]
    data[name] = value
    digest = hashlib.sha256(json.dumps(data, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
    path.write_text(json.dumps({**data, "sha256": digest}))
    with pytest.raises(UsageError, match=r"plan\.json can't be used"):
        read_plan(path)


def test_what_is_no_plan_at_all(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    for text in ("", "[]", "{}", '{"sha256": 1, "format": "x"}', "\xff", "[" * 100_000, '{"format": NaN}', "9" * 9_999):
        path.write_text(text)
        with pytest.raises(UsageError, match="is not a plan"):
            read_plan(path)
    with pytest.raises(UsageError, match="No such file"):
        read_plan(tmp_path / "nowhere.json")


def test_a_plan_says_all_of_it(app: FakeApp, tmp_path: Path) -> None:
    kept(app, RunRequest(JobRequest(), 4), tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json", instead_of=RunRequest(JobRequest(), meta={})).request.slots == 4
    for other in (RunRequest(JobRequest(), 4, meta={}), RunRequest(JobRequest(regions=("us",)), meta={})):
        with pytest.raises(UsageError, match="--plan already says what is dispatched"):
            read_plan(tmp_path / "plan.json", instead_of=other)


def test_a_folder_that_is_not_there(app: FakeApp, tmp_path: Path) -> None:
    made = preview(app.app, RunRequest(JobRequest(), 4))
    with pytest.raises(UsageError, match=r"--out .*No such file"):
        keep_plan(tmp_path / "nowhere" / "plan.json", app.app, made, {}, {})
