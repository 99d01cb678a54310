"""Jobspecs of ours against what real Nomad makes of them.

The JSON beside each jobspec is the "Job" of `nomad job run -output FILE`, from the version in its name. To record one
anew: run that, keep the value of "Job", and write it with an indentation of one blank.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.hcl import newer_fields, parse_job

GOLDEN = Path(__file__).parent / "golden"
JOBSPECS = sorted(GOLDEN.glob("*.nomad.hcl"))


def parsed(jobspec: Path) -> dict:
    job = parse_job(jobspec.read_text(encoding="utf-8"), filename=jobspec.name, base_dir=GOLDEN).job
    return json.loads(json.dumps(job))


def recorded(jobspec: Path, version: str) -> dict:
    return json.loads(jobspec.with_suffix("").with_suffix(f".nomad-{version}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("jobspec", JOBSPECS, ids=lambda path: path.name)
def test_is_what_nomad_1_6_makes_of_it(jobspec):
    assert parsed(jobspec) == recorded(jobspec, "1.6.3")


@pytest.mark.parametrize("name", ["expressions", "story", "training"])
def test_holds_all_that_nomad_1_1_makes_of_it(name):
    jobspec = GOLDEN / f"{name}.nomad.hcl"
    job = parsed(jobspec)

    assert without_newer(job, recorded(jobspec, "1.1.2")) == recorded(jobspec, "1.1.2")
    assert newer_fields(job, "1.1.2") == []


def without_newer(ours, theirs):
    """Ours, without the keys that the older server doesn't know."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return {key: without_newer(value, theirs[key]) for key, value in ours.items() if key in theirs}
    if isinstance(ours, list) and isinstance(theirs, list):
        return [without_newer(a, b) for a, b in zip(ours, theirs, strict=True)]
    return ours


def test_fields_that_an_older_server_would_drop_are_named():
    job = parsed(GOLDEN / "blocks.nomad.hcl")

    newer = {field.path: field.since for field in newer_fields(job, "1.1.2")}

    assert newer["node_pool"] == "1.6.0"
    assert newer['multiregion / region "us" / node_pool'] == "1.6.0"
    assert newer['group "web" / task "server" / identity'] == "1.5.0"
    assert newer['group "web" / task "server" / template / uid'] == "1.3.3"
    assert newer['group "web" / network / hostname'] == "1.1.5"
    assert newer['group "web" / service / check / tls_server_name'] == "1.6.0"
    assert newer_fields(job, "v1.6.3") == []
    assert "node_pool" in {field.path for field in newer_fields(job, "1.5.17+ent")}


@pytest.mark.parametrize("jobspec", JOBSPECS, ids=lambda path: path.name)
def test_another_parser_finds_the_same_blocks(jobspec):
    pygohcl = pytest.importorskip("pygohcl")
    job = parsed(jobspec)

    theirs = pygohcl.loads(jobspec.read_text(encoding="utf-8"))

    body = next(iter(theirs["job"].values()))
    groups = body["group"]
    names = set(groups) if isinstance(groups, dict) else {name for group in groups for name in group}
    assert names <= {group["Name"] for group in job["TaskGroups"]}
    assert set(theirs["job"]) == {jobspec.name.removesuffix(".nomad.hcl")} or "sales-close-prediction" in theirs["job"]
