"""`fedml index code`: the exact code of a result, from whichever store has it; gc leaves what an open run needs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from federation.code.pack import PackedCode, pack
from federation.code.upload import put_code
from federation.home import RunKeys, read_manifest
from federation.manifest import RunCode
from federation.task.command_line import Command
from jobs.code_run import CODE_KEY, COMMAND_KEY, code_object
from tests.federation.cli.index.helpers import Cli, Project

RESULT = "a0000000"


@pytest.fixture
def packed(tmp_path: Path) -> PackedCode:
    source = tmp_path / "source"
    source.mkdir()
    (source / "train.py").write_text("print(1)\n")
    return pack(source, tmp_path / "packs")


@pytest.fixture
def made(project: Project, packed: PackedCode) -> Project:
    """A run of that code, open, with one result."""
    project.open_run("run-1")
    code = RunCode(packed.sha256, ("python", "train.py"), "none", "")
    manifest = replace(read_manifest(project.home, "run-1"), code=code)
    project.home.put(RunKeys("run-1").manifest, manifest.to_json())
    record = project.published("a", region="us", slot=0)
    project.index.commit([replace(record, environment={**record.environment, "code_sha256": packed.sha256})])
    return project


def test_the_code_comes_out_as_it_was_packed(made: Project, packed: PackedCode, cli: Cli, tmp_path: Path) -> None:
    put_code([made.store("us")], packed)
    code, out, err = cli("code", RESULT)
    assert (code, out) == (0, f"{tmp_path / f'sales-4-{RESULT}-code'}\n")
    assert f"sales version 4: code {packed.sha256[:12]}, 1 file, verified" in err
    assert (Path(out.strip()) / "train.py").read_text() == "print(1)\n"

    code, out, _ = cli("code", RESULT, "--to", "there", "--json")
    said = json.loads(out)
    assert (code, said["sha256"], said["files"], said["path"]) == (0, packed.sha256, 1, str(tmp_path / "there"))
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["train.py"]


def test_code_that_only_the_record_names_is_not_called_verified(made: Project, packed: PackedCode, cli: Cli) -> None:
    """A jobspec that `fedml run --write` made is dispatched as any other."""
    put_code([made.store("us")], packed)
    manifest = replace(read_manifest(made.home, "run-1"), code=None)
    made.home.put(RunKeys("run-1").manifest, manifest.to_json())
    code, _, err = cli("code", RESULT)
    assert (code, "verified" in err, "as its record says" in err) == (0, False, True)


def test_another_store_does_as_well(made: Project, packed: PackedCode, cli: Cli) -> None:
    put_code([made.store("eu")], packed)
    assert cli("code", RESULT)[0] == 0


def test_a_folder_that_holds_something_is_left_alone(
    made: Project, packed: PackedCode, cli: Cli, tmp_path: Path
) -> None:
    put_code([made.store("us")], packed)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "work.py").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("mine", "file", "."):
        code, _, err = cli("code", RESULT, "--to", name)
        assert code == 1
        assert "holds something already" in err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["work.py"]
    (tmp_path / "empty").mkdir()
    assert cli("code", RESULT, "--to", "empty")[0] == 0


def test_code_that_was_changed_in_the_store_is_refused(
    made: Project, packed: PackedCode, cli: Cli, tmp_path: Path
) -> None:
    made.store("us").put(code_object(packed.sha256), b"something else")
    code, _, err = cli("code", RESULT, "--to", "there")
    assert code == 1
    assert "isn't the code that it is named for" in err
    assert not (tmp_path / "there").exists()


def test_code_that_is_gone_is_said(made: Project, cli: Cli) -> None:
    code, _, err = cli("code", RESULT)
    assert code == 1
    assert "is gone" in err


def test_a_result_of_a_jobspec_has_no_code(filled: Project, cli: Cli) -> None:
    for command in ("code", "reproduce"):
        code, _, err = cli(command, RESULT)
        assert code == 1
        assert "wasn't made by fedml run" in err
        assert "fedml index lineage a0000000" in err


def test_a_record_that_names_other_code_than_the_manifest_isnt_believed(made: Project, cli: Cli) -> None:
    manifest = read_manifest(made.home, "run-1")
    assert manifest.code is not None
    other = replace(manifest, code=replace(manifest.code, sha256="b" * 64))
    made.home.put(RunKeys("run-1").manifest, other.to_json())
    code, _, err = cli("code", RESULT)
    assert code == 1
    assert "and its run's manifest" in err


@pytest.mark.parametrize("shown", ["echo harmless", "python train.py"])
def test_a_manifest_that_shows_another_command_than_its_slots_get_is_not_reproduced(
    made: Project, packed: PackedCode, cli: Cli, shown: str
) -> None:
    put_code([made.store("us")], packed)
    manifest = read_manifest(made.home, "run-1")
    assert manifest.code is not None
    meta = {CODE_KEY: packed.sha256, COMMAND_KEY: Command(("rm", "-rf", "/data")).to_json()}
    if shown == "python train.py":
        meta = {CODE_KEY: packed.sha256}
    code = replace(manifest.code, command=tuple(shown.split()))
    made.home.put(RunKeys("run-1").manifest, replace(manifest, code=code, meta=meta).to_json())
    done, _, err = cli("reproduce", RESULT)
    assert done == 1
    assert "Error: the manifest of run run-1" in err
    assert "unexpected" not in err


@pytest.mark.parametrize("claimed", ["../../runs/x", "b" * 63, "B" * 64])
def test_a_name_that_isnt_one_is_no_key(project: Project, cli: Cli, claimed: str) -> None:
    record = project.published("a", run="run-9")
    project.index.commit([replace(record, environment={"code_sha256": claimed})])
    code, _, err = cli("code", RESULT)
    assert code == 1
    assert "says code" in err


def test_gc_leaves_the_code_of_open_runs_and_results(made: Project, packed: PackedCode, cli: Cli) -> None:
    made.open_run("run-2")
    manifest = read_manifest(made.home, "run-2")
    made.home.put(
        RunKeys("run-2").manifest,
        replace(manifest, code=RunCode("c" * 64, ("python", "x.py"), "none", "")).to_json(),
    )
    put_code([made.store("us")], packed)
    for letter in "cd":
        made.store("us").put(code_object(letter * 64), b"packed")
    code, out, _ = cli("gc", "--orphans", "0s", "--yes")
    assert code == 0
    assert f"us/code/{'d' * 64}.tar.gz  6 B that no result and no open run names: removed" in out
    assert {info.key for info in made.store("us").list("code/")} == {
        code_object(packed.sha256),
        code_object("c" * 64),
    }


def test_results_are_found_by_their_code(made: Project, packed: PackedCode, cli: Cli) -> None:
    code, out, _ = cli("list", "--where", f"code like '{packed.sha256[:8]}%'", "--json")
    assert code == 0
    assert [each["code"] for each in json.loads(out)["results"]] == [packed.sha256]
