"""Jobspec files, variables and the spec hash."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.errors import HclError, InvalidSpec
from jobs.load import key_values, read_job

JOB = """
variable "count" { default = 1 }
variable "image" { default = "a" }
job "train" {
  type = "batch"
  parameterized {}
  group "g" {
    count = var.count
    task "t" {
      driver = "raw_exec"
      config { command = var.image }
      template {
        data        = file("code.py")
        destination = "local/code.py"
      }
    }
  }
}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code.py").write_text("print(1)\n")
    path = tmp_path / "train.nomad.hcl"
    path.write_text(JOB)
    return path


def image(job: dict[str, object]) -> str:
    return job["TaskGroups"][0]["Tasks"][0]["Config"]["command"]  # type: ignore[index, no-any-return]


def test_precedence_of_variables(file: Path, tmp_path: Path) -> None:
    """default < NOMAD_VAR_* < [regions.NAME.vars] < -var-file < -var"""
    var_file = tmp_path / "vars.hcl"
    var_file.write_text('image = "file"')
    environ = {"NOMAD_VAR_image": "environment"}
    region = {"image": "region", "undeclared": 1}
    assert image(read_job(file).evaluate().job) == "a"
    assert image(read_job(file, environ=environ).evaluate().job) == "environment"
    assert image(read_job(file, environ=environ).evaluate(region, region="us").job) == "region"
    with_file = read_job(file, environ=environ, var_files=[var_file])
    assert image(with_file.evaluate(region, region="us").job) == "file"
    with_flag = read_job(file, environ=environ, var_files=[var_file], variables=["image=flag", "count=2"])
    job = with_flag.evaluate(region, region="us").job
    assert image(job) == "flag"
    assert job["TaskGroups"][0]["Count"] == 2


def test_the_spec_hash_covers_source_files_and_variables_but_not_the_region(file: Path) -> None:
    first = read_job(file).evaluate().spec_hash
    assert read_job(file).evaluate({"image": "region"}, region="us").spec_hash == first
    assert read_job(file, variables=["count=2"]).evaluate().spec_hash != first
    assert read_job(file, environ={"NOMAD_VAR_other": "x"}).evaluate().spec_hash == first
    (file.parent / "code.py").write_text("print(2)\n")
    changed = read_job(file).evaluate().spec_hash
    assert changed != first
    file.write_text(JOB + "\n")
    assert read_job(file).evaluate().spec_hash != changed


def test_files_are_read_from_the_working_folder_not_from_that_of_the_jobspec(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobspec = file.parent / "jobs" / file.name
    jobspec.parent.mkdir()
    file.rename(jobspec)

    assert read_job(jobspec).evaluate().job["TaskGroups"][0]["Tasks"][0]["Templates"][0]["EmbeddedTmpl"] == "print(1)\n"
    monkeypatch.chdir(jobspec.parent)
    with pytest.raises(HclError, match=r"jobs/code\.py can't be read: No such file.*count from the working folder"):
        read_job(jobspec).evaluate()


def test_json_jobs(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps({"Job": {"ID": "x", "Type": "batch"}}))
    assert read_job(path).evaluate().job == {"ID": "x", "Type": "batch"}
    path.write_text('{"Job": {')
    with pytest.raises(InvalidSpec, match=r"job\.json:1:10: broken JSON"):
        read_job(path).evaluate()
    path.write_text("[1]")
    with pytest.raises(InvalidSpec, match="holds no Nomad job"):
        read_job(path).evaluate()


def test_files_that_are_no_jobspecs(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match="there is no jobspec"):
        read_job(tmp_path / "nothing.hcl")
    with pytest.raises(InvalidSpec, match="jobspec"):
        read_job(tmp_path)
    binary = tmp_path / "x.hcl"
    binary.write_bytes(b"job \xff")
    with pytest.raises(InvalidSpec, match="byte 4"):
        read_job(binary)


def test_broken_hcl_names_the_place(tmp_path: Path) -> None:
    path = tmp_path / "x.nomad.hcl"
    path.write_text('job "x" {\n  type = \n}\n')
    with pytest.raises(HclError) as caught:
        read_job(path).evaluate()
    assert str(caught.value).startswith("x.nomad.hcl:2:")
    assert "^" in str(caught.value)


def test_key_values() -> None:
    assert key_values(["a=1", "b=x=y", "c="], "-meta") == {"a": "1", "b": "x=y", "c": ""}
    for wrong in (["a"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(InvalidSpec, match="-meta"):
            key_values(wrong, "-meta")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"ID": ' + "9" * 9_999 + "}"])
def test_json_that_is_nested_too_deep_or_holds_too_long_a_number(tmp_path: Path, text: str) -> None:
    path = tmp_path / "job.json"
    path.write_text(text)
    with pytest.raises(InvalidSpec, match=r"job\.json: a number too long, or nested too deep"):
        read_job(path).evaluate()


UUID = """
variable "image" { default = "a" }
job "train" {
  type = "batch"
  meta {
    run  = uuidv4()
    next = uuidv4()
  }
  parameterized {}
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { image = var.image }
    }
  }
}
"""


def test_uuids_are_those_of_the_spec(tmp_path):
    path = tmp_path / "train.nomad.hcl"
    path.write_text(UUID)
    us, eu = (read_job(path).evaluate({"image": name}, region=name) for name in ("us", "eu"))
    assert us.job["Meta"] == eu.job["Meta"]
    assert us.job["Meta"]["run"] != us.job["Meta"]["next"]
    assert [len(value) for value in us.job["Meta"].values()] == [36, 36]
    path.write_text(UUID + "# another spec")
    assert read_job(path).evaluate().job["Meta"]["run"] != us.job["Meta"]["run"]
    given = read_job(path, variables=["image=b"]).evaluate()
    assert given.job["Meta"]["run"] != read_job(path).evaluate().job["Meta"]["run"]
