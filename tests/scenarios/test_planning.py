"""Sweeps, saved plans and residency by the real command: what each slot gets, and what is refused before anything is sent."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Callable

import pytest

from tests.scenarios.project import Project, assert_refused, run_id

Refused = Callable[..., None]


def test_each_slot_has_its_row_and_the_index_can_be_asked_by_it(project: Project) -> None:
    job = project.job("rows")
    project.write("rows.csv", 'epochs,note\n1,"a, b"\n2,\n')
    arguments = ("--job", job, "--params", "rows.csv", "--version", "next")
    assert project.fedml("plan", *arguments, "--out", "rows.plan.json").code == 1  # the job would be registered
    done = project.ran("dispatch", "--plan", "rows.plan.json")
    run = run_id(done.err)
    rows = {row["slot"]: row["params"] for row in project.rows("--run", run)}
    assert rows == {0: {"epochs": "1", "note": "a, b"}, 1: {"epochs": "2"}}
    assert [row["slot"] for row in project.rows("--run", run, "--where", "params.epochs > 1")] == [1]
    manifest = json.loads((project.home / "runs" / run / "manifest.json").read_text())
    kept = gzip.decompress((project.home / manifest["sweep"]["params"]["object"]).read_bytes())
    assert hashlib.sha256(kept).hexdigest() == manifest["sweep"]["params"]["sha256"]
    moved = project.fedml("dispatch", "--plan", "rows.plan.json")
    assert_refused(moved, "the registered job changed (JobModifyIndex 0, now", "nothing was dispatched")


def test_each_slot_has_its_payload(project: Project) -> None:
    job = project.job("payloads")
    (project.root / "inputs").mkdir()
    (project.root / "inputs" / "a.txt").write_bytes(b"one")
    (project.root / "inputs" / "b.txt").write_bytes(b"two")
    asked = ("--job", job, "--payload-dir", "inputs")
    done = project.fedml("plan", *asked, "--sweep", "epochs=1,2", "--explain", "3")
    assert done.out.splitlines()[:3] == ["slot 3 of 4 slots", "  parameters: epochs=2", "  payload: b.txt"]
    project.ran("dispatch", *asked, "--regions", "us")
    sent = {
        child["Meta"]["fedml_slot"]: base64.b64decode(child["Payload"]) for child in project.children("us", "payloads")
    }
    assert b"one" in sent["0"]  # Nomad packs payloads by snappy, which leaves short texts as they are
    assert b"two" in sent["1"]


def test_a_job_never_leaves_its_allowed_regions_not_even_for_a_retry(project: Project) -> None:
    project.job("resident", script="exit 3")
    text = (project.root / "resident.nomad.hcl").read_text()
    text = text.replace("  parameterized {", '  meta {\n    fedml_allowed_regions = "eu"\n  }\n\n  parameterized {', 1)
    job = project.write("resident.nomad.hcl", text)
    done = project.fedml("dispatch", "--job", job, "-n", "1")
    assert done.code == 2
    assert "Left out: us: not allowed, the job's meta fedml_allowed_regions allows only eu" in done.err
    bound = [change for change in project.run_log(run_id(done.err)) if change["type"] == "bind"]
    assert {change["region"] for change in bound} == {"eu"}
    assert len(bound) > 1
    assert not [name for region in ("us", "onprem") for name in project.jobs(region) if name.startswith("resident")]
    refusal = project.fedml("dispatch", "--job", job, "--regions", "us,onprem")
    assert refusal.code == 2
    assert "no region can take the job; nothing was dispatched" in refusal.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-n", "1000000000"), ("1,000,000,000 slots are more than a run may have (1,000,000)",)),
        (("--sweep", "epoch=1,2"), ("declares no meta key 'epoch' to sweep over", "did you mean 'epochs'?")),
        (("--sweep", "epochs=1,2", "-n", "3"), ("-n 3 is not a multiple of the 2 combinations",)),
        (("--params", "twice.csv"), ("twice.csv:4: the same row as line 2",)),
        (("--payload-dir", "nowhere"), ("--payload-dir nowhere", "No such file")),
        (("--policy", "cheepest"), ("there is no policy 'cheepest'", "did you mean 'cheapest'?")),
        (("-n", "9", "--cap", "us=1", "--cap", "eu=1", "--cap", "onprem=2"), ("us 1, eu 1, onprem 2",)),
        (("-n", "2", "--minimum", "us=3"), ("the minimums need 3 slots, more than 2: us 3",)),
        (("--deadline", "2020-01-01"), ("--deadline 2020-01-01 is past",)),
        (("--deadline", "1h"), ("needs to know how long a slot runs", "--expected-duration")),
        (("--max-cost", "3", "--expected-duration", "1h"), ("no price is known for us, eu, onprem",)),
        (("--max-cost", "nan"), ("--max-cost nan is not a valid amount",)),
    ],
)
def test_what_can_not_be_planned(
    project: Project, refused: Refused, arguments: tuple[str, ...], said: tuple[str, ...]
) -> None:
    project.write("twice.csv", "epochs\n1\n2\n1\n")
    refused("--job", project.job("unplanned"), *arguments, said=said)


def test_a_deadline_that_can_not_be_kept_is_said_before_anything_is_sent(project: Project) -> None:
    job = project.job("late")
    before = project.traces()
    arguments = ("--job", job, "-n", "2", "--expected-duration", "2h", "--deadline", "1h")
    planned = project.fedml("plan", *arguments)
    assert planned.code == 1
    assert "PROBLEM: the deadline can't be kept: it is 60 min away" in planned.out
    assert_refused(project.fedml("dispatch", *arguments), "the deadline can't be kept", "nothing was dispatched")
    assert project.traces() == before


def test_a_plan_that_was_edited_or_is_none(project: Project) -> None:
    job = project.job("edited")
    project.fedml("plan", "--job", job, "-n", "2", "--out", "edited.plan.json")
    path = project.root / "edited.plan.json"
    before = project.traces()
    path.write_text(path.read_text().replace('"slots": 2', '"slots": 3', 1))
    assert_refused(project.fedml("dispatch", "--plan", "edited.plan.json"), "was changed since it was written")
    path.write_text("{}")
    assert_refused(project.fedml("dispatch", "--plan", "edited.plan.json"), "is not a plan", "fedml plan --out")
    assert_refused(project.fedml("dispatch", "--plan", "edited.plan.json", "-n", "3"), "--plan already says")
    assert project.traces() == before


def test_one_region_is_shown_and_a_region_that_is_not_there_is_refused(project: Project) -> None:
    document = project.ran("regions", "show", "us", "--job", project.job("shown"), "--json").json
    assert (document["region"], document["problem"], document["nodes"]) == ("us", None, 1)
    assert document["node_list"][0]["drivers"] == ["raw_exec"]
    assert_refused(project.fedml("regions", "show", "uss"), "there is no region 'uss'", "did you mean 'us'?")
