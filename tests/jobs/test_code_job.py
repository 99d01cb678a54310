"""The jobspec of `fedml run`: valid HCL for every driver, the same text for the same settings, no code in it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobs.code_job import DRIVERS, SHA256_VARIABLE, TASK_VARIABLE, URL_VARIABLE, CodeJob, jobspec
from jobs.code_run import CODE_KEY, COMMAND_KEY, PARAMS_KEY
from jobs.hcl import VariableSource
from jobs.load import JobSource
from jobs.nomad_json.canonical import canonical_job
from jobs.nomad_json.problems import NEWEST, OLDEST, problems
from jobs.spec import shape_of

JOB = CodeJob("train")
PROGRAM: dict[str, object] = {TASK_VARIABLE: ["python3", "-I", "-m", "federation.task"]}


def evaluated(text: str, variables: dict[str, object] | None = None) -> dict[str, Any]:
    """The job as JSON, with the variables that fedml sets for a region."""
    return JobSource(Path("train.nomad.hcl"), text, VariableSource("", {})).evaluate(variables or PROGRAM).job


def task(job: dict[str, Any], name: str) -> dict[str, Any]:
    """One of its tasks."""
    found: dict[str, Any] = next(one for one in job["TaskGroups"][0]["Tasks"] if one["Name"] == name)
    return found


@pytest.mark.parametrize("driver", DRIVERS)
def test_servers_of_both_versions_take_it(driver: str) -> None:
    job = replace(
        JOB,
        driver=driver,
        image="python:3.13-slim" if driver in ("docker", "podman") else "",
        memory_max_mb=2048,
        devices=(("nvidia/gpu", 2),),
        cache_volume="uv-cache",
    )
    found = evaluated(jobspec(job))
    for version in (OLDEST, NEWEST):
        assert not problems(canonical_job(found, "us"), version)
    shape = shape_of(found)
    assert (shape.id, shape.meta_required, shape.meta_optional) == ("train", (CODE_KEY, COMMAND_KEY), (PARAMS_KEY,))
    assert shape.groups == {"train": 1}
    config = task(found, "train")["Config"]
    assert [config["command"], *config["args"]] == [*PROGRAM[TASK_VARIABLE], "run"]  # type: ignore[misc]
    assert config.get("image", "") == job.image
    resources = task(found, "train")["Resources"]
    assert (resources["CPU"], resources["MemoryMB"], resources["MemoryMaxMB"]) == (1000, 1024, 2048)
    assert [(one["Name"], one["Count"]) for one in resources["Devices"]] == [("nvidia/gpu", 2)]
    assert task(found, "train")["Env"] == {"UV_CACHE_DIR": "/uv-cache"}


def test_nodes_fetch_the_program_where_they_lack_it() -> None:
    sha256 = "a" * 64
    found = evaluated(jobspec(JOB), {**PROGRAM, URL_VARIABLE: "https://example.com/fedml.pyz", SHA256_VARIABLE: sha256})
    [artifact] = task(found, "train")["Artifacts"]
    assert artifact["GetterSource"] == "https://example.com/fedml.pyz"
    assert artifact["GetterOptions"] == {"checksum": f"sha256:{sha256}"}
    assert not task(evaluated(jobspec(JOB)), "train").get("Artifacts")


def test_the_same_settings_give_the_same_text() -> None:
    assert jobspec(JOB) == jobspec(CodeJob("train"))
    assert jobspec(JOB) != jobspec(replace(JOB, cpu_mhz=2000))


@pytest.mark.parametrize("argument", ["a\"b'c", "${node.unique.name}", "%{ if x }", "ü", "\\u0024", "a\nb"])
def test_a_file_of_its_own_names_code_and_command(argument: str) -> None:
    command = json.dumps({"argv": ["python", argument]}, ensure_ascii=False).replace("${", "\\u0024{")
    found = evaluated(jobspec(JOB, {CODE_KEY: "c" * 64, COMMAND_KEY: command}))
    assert found["Meta"][CODE_KEY] == "c" * 64
    assert "${" not in found["Meta"][COMMAND_KEY]
    assert json.loads(found["Meta"][COMMAND_KEY]) == {"argv": ["python", argument]}
    assert shape_of(found).meta_required == ()


def test_no_text_leaves_its_quotes() -> None:
    image = 'x" }\n${file("/etc/passwd")} %{ if true }'
    found = evaluated(jobspec(replace(JOB, driver="docker", image=image)))
    assert task(found, "train")["Config"]["image"] == image
