"""Jobspecs of ours against what real Nomad makes of them.

The JSON beside each jobspec is the "Job" of `nomad job run -output FILE`, from the version in its name. To record one
anew: run that, keep the value of "Job", and write it with an indentation of one blank.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.hcl import newer_fields, parse_job
from jobs.hcl.parser import parse_body
from jobs.hcl.source import Source
from jobs.hcl.syntax import Body

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
    theirs = pygohcl.loads(jobspec.read_text(encoding="utf-8"))

    ours = parse_body(Source(jobspec.read_text(encoding="utf-8"), jobspec.name))

    assert labels(ours, "variable") == set(theirs.get("variable", {}))
    (label, theirs_job), *others = theirs["job"].items()
    assert others == []
    job = next(block for block in ours.blocks if block.type == "job")
    assert job.labels[0][0] == label
    assert set(job.body.attributes) <= set(theirs_job)
    assert {block.type for block in job.body.blocks} <= set(theirs_job)
    assert labels(job.body, "group") == set(theirs_job["group"])
    for group in job.body.blocks:
        if group.type == "group":
            assert labels(group.body, "task") == set(theirs_job["group"][group.labels[0][0]]["task"])


def labels(body: Body, kind: str) -> set[str]:
    return {block.labels[0][0] for block in body.blocks if block.type == kind}


def test_the_language_needs_the_standard_library_only():
    script = "import sys, jobs.hcl; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*{n.split('.')[0] for n in sys.modules})"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert set(loaded) - set(bare) - {"jobs"} <= sys.stdlib_module_names
    assert not {"asyncio", "csv", "difflib", "uuid", "unittest"} & set(loaded)
