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
from jobs.hcl.schema import BlockType
from jobs.hcl.schema_job import BLOCK_TYPES
from jobs.hcl.source import Source
from jobs.hcl.syntax import Body

GOLDEN = Path(__file__).parent / "golden"
NEWER = GOLDEN / "newer.nomad.hcl"
"""What came after 1.6.3. Its JSON is of 2.0.5."""
JOBSPECS = sorted(path for path in GOLDEN.glob("*.nomad.hcl") if path != NEWER)


def parsed(jobspec: Path) -> dict:
    job = parse_job(jobspec.read_text(encoding="utf-8"), filename=jobspec.name, base_dir=GOLDEN).job
    return json.loads(json.dumps(job))


def recorded(jobspec: Path, version: str) -> dict:
    return json.loads(jobspec.with_suffix("").with_suffix(f".nomad-{version}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("jobspec", JOBSPECS, ids=lambda path: path.name)
def test_is_what_nomad_1_6_makes_of_it(jobspec):
    assert parsed(jobspec) == recorded(jobspec, "1.6.3")


def test_what_is_newer_is_what_nomad_2_0_makes_of_it():
    theirs = without_unset(BLOCK_TYPES["job"], recorded(NEWER, "2.0.5"))
    assert parsed(NEWER) == theirs | {"ConsulToken": None, "VaultToken": None}  # dropped since 1.10


def without_unset(kind: BlockType, block: dict) -> dict:
    """Leaves out what the job doesn't set of the fields that came after 1.6.3, as our parser does."""
    kept = {}
    for field in kind.fields:
        value = block.get(field.api)
        if field.api not in block or (field.omit_absent and value == field.kind.absent):
            continue
        if field.kind.how == "many" and value:
            value = [without_unset(BLOCK_TYPES[field.block], one) for one in value]
        elif field.kind.how == "by_label" and value:
            value = {label: without_unset(BLOCK_TYPES[field.block], one) for label, one in value.items()}
        elif field.kind.how == "one" and value:
            value = without_unset(BLOCK_TYPES[field.block], value)
        kept[field.api] = value
    return kept


def test_what_is_newer_is_reported_for_each_server_that_would_drop_it():
    job = parsed(NEWER)
    newer = {field.path: field.since for field in newer_fields(job, "1.6.3")}

    assert newer["ui"] == "1.8.0"
    assert newer['group "g" / disconnect'] == "1.8.0"
    assert newer['group "g" / task "main" / identity / ttl'] == newer['group "g" / task "main" / identity'] == "1.7.0"
    assert newer['group "g" / task "main" / secret'] == "1.11.0"
    assert newer['group "g" / task "main" / resources / numa'] == "1.7.0"
    assert {field.path for field in newer_fields(job, "1.11.3")} == {
        'group "g" / max_run_duration',
        'group "g" / task "main" / identity / extra_claims',
        'group "g" / task "main" / template / change_script / run_on_first_render',
    }
    assert newer_fields(job, "2.0.5") == []


def test_every_block_and_argument_stands_in_a_golden_jobspec():
    """Nomad's own answer is beside each jobspec, so each field of the schema was seen by a real server at least once."""
    seen: set[tuple[str, str]] = set()
    for path in GOLDEN.glob("*.json"):
        _see(BLOCK_TYPES["job"], json.loads(path.read_text(encoding="utf-8")), seen)
    known = {(kind.name, field.api) for kind in BLOCK_TYPES.values() for field in kind.fields if field.name}
    assert known - seen == {
        ("job", "Secrets"),  # goes to the tasks
        ("job", "Tasks"),  # each gets a group
        ("job", "Vault"),  # goes to the tasks
        ("group", "Vault"),  # goes to the tasks
        ("task_scaling", "Resource"),  # becomes the policy's type
    }


def _see(kind: BlockType, block: dict, seen: set[tuple[str, str]]) -> None:
    for field in kind.fields:
        value = block.get(field.api)
        if value in (None, field.kind.absent):
            continue
        seen.add((kind.name, field.api))
        if field.block:
            for inner in (
                value.values() if field.kind.how == "by_label" else value if isinstance(value, list) else [value]
            ):
                _see(BLOCK_TYPES[field.block], inner, seen)


def test_fields_that_an_older_server_would_drop_are_named():
    job = parsed(GOLDEN / "blocks.nomad.hcl")

    newer = {field.path: field.since for field in newer_fields(job, "1.1.0")}

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
