"""The home store lost its index, or a part of it, or is another one: every command says so, none of them writes, and the
remedy that the error names brings back what was there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from federation.cli import run
from tests.federation.cli.index.helpers import CONFIG, Cli, Project

JOB = """
job "sales" {
  type = "batch"
  parameterized {}
  group "train" {
    task "train" {
      driver = "raw_exec"
      config { command = "true" }
    }
  }
}
"""
COMMANDS = [
    "index list",
    "index show 4",
    "index log",
    "index tag production",
    "index tag production a0000000",
    "index note a0000000 again",
    "index retire b0000000",
    "index gc --keep last=1 --grace 0m",
    "index gc --orphans 0m",
    "index sync --yes",
    "index watch --once",
    "index export --to all.jsonl",
    "index copy a0000000 eu",
    "runs list",
    "runs show run-1",
    "runs resume run-1",
    "runs cancel run-1",
    "runs prune --older-than 1h",
    "plan",
    "dispatch",
]


@pytest.fixture
def known(filled: Project, cli: Cli) -> Project:
    """A home whose index this machine knows up to revision 7, with a tag and a note."""
    (filled.root / "sales.nomad.hcl").write_text(JOB)
    filled.home.put("runs/run-1/logs/000000000/1/x.json.gz", b"kept")
    assert cli("tag", "production", "b0000000", "-m", "the best")[0] == 0
    assert cli("note", "a0000000", "looked at")[0] == 0
    assert json.loads(cli("list", "--json")[1])["revision"] == 6
    return filled


def files(*folders: Path) -> dict[str, bytes]:
    """All that lies there, by name."""
    return {str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def delete(project: Project, *prefixes: str) -> None:
    for prefix in prefixes:
        for info in list(project.home.list(prefix)):
            project.home.delete(info.key)


def another_home(project: Project) -> None:
    """The bucket was emptied, and a machine without a catalog began another index there."""
    delete(project, "")
    other = project.another_index()
    for slot in range(7):
        other.open_run(f"run-{9 + slot}", "sales", str(slot + 1), "5pec", 1, 1)
    other.close()


DAMAGE: dict[str, tuple[Callable[[Project], object], str]] = {
    "format.json and index": (lambda one: delete(one, "format.json", "index/"), "holds no index any more"),
    "everything": (lambda one: shutil.rmtree(one.root / "home"), "holds no index any more"),
    "the log": (lambda one: delete(one, "index/log/"), "its log is gone"),
    "an older state": (
        lambda one: delete(one, *(f"index/log/{number:020d}" for number in (4, 5, 6))),
        "its log ends at revision 3",
    ),
    "another home": (another_home, "is another one"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_no_command_harms_a_home_that_lost_its_index(
    known: Project, capfd: pytest.CaptureFixture[str], damage: str
) -> None:
    hurt, what = DAMAGE[damage]
    hurt(known)
    places = [known.root / name for name in ("home", "us", "eu", ".fedml")]
    before = files(*places)

    for command in COMMANDS:
        capfd.readouterr()
        assert run(command.split()) == (255 if command == "plan" else 1), command
        out, err = capfd.readouterr()
        assert (out, err.count("Error:")) == ("", 1), command
        assert "revision 6" in err, command
        assert what in err, command
        assert "nothing was written" in err, command
        assert "rebuild --from-catalog" in err, command
        assert files(*places) == before, command


@pytest.mark.parametrize("damage", ["format.json and index", "everything", "the log", "an older state", "another home"])
def test_the_catalog_of_this_machine_brings_all_of_it_back(known: Project, cli: Cli, damage: str) -> None:
    times = {one["alloc_id"]: one["committed"] for one in json.loads(cli("list", "--json")[1])["results"]}
    DAMAGE[damage][0](known)
    assert cli("list")[0] == 1

    code, out, _ = cli("rebuild", "--from-catalog", "--yes")
    assert code == 0
    assert "(revision 6)" in out
    entries = json.loads(cli("list", "--json")[1])["results"]
    assert {one["alloc_id"]: one["committed"] for one in entries} == times
    assert json.loads(cli("tag", "production", "--json")[1])["history"][0]["alloc_id"].startswith("b0000000")
    assert "looked at" in cli("show", "a0000000")[1]
    if damage == "another home":
        assert {one.run for one in known.another_index("yet-another").runs()} > {"run-1", "run-9", "run-15"}
    assert "isn't lost" in cli("rebuild", "--from-catalog")[2]


def test_verify_names_all_that_is_gone(known: Project, cli: Cli) -> None:
    delete(known, "format.json", "index/")

    code, out, _ = cli("verify")
    assert code == 1
    assert "tail-missing: the log ends at 0, and this machine has read 6 entries" in out
    assert "format-missing" in out
    assert "rebuild --from-catalog" in out


def test_a_machine_that_never_saw_the_index_is_told_by_what_lies_there(
    known: Project, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete(known, "format.json", "index/")
    monkeypatch.setenv("FEDML_CACHE_DIR", str(known.root / "fresh"))
    before = files(known.root / "home")

    code, out, err = cli("list")
    assert (code, out) == (1, "")
    assert "holds runs and no index" in err
    assert "fedml index rebuild" in err
    assert run(["dispatch"]) == 1
    assert "no catalog of the home" in cli("rebuild", "--from-catalog")[2]
    assert "index-lost" in cli("verify")[1]
    assert files(known.root / "home") == before

    [catalog] = (known.root / ".fedml" / "cache" / "index").glob("*.sqlite")
    copy = str(known.root / "copy.sqlite")
    shutil.copy(catalog, copy)
    assert cli("rebuild", "--from-catalog", copy, "--yes")[0] == 0
    assert "b0000000" in cli("tag", "production", "--json")[1]


def test_results_of_an_index_that_is_wholly_gone_keep_versions_from_beginning_anew(
    known: Project, cli: Cli, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The home is empty, this machine never saw it, and the regions' stores hold results."""
    delete(known, "")
    monkeypatch.setenv("FEDML_CACHE_DIR", str(known.root / "fresh"))

    for command, code in (("plan", 255), ("dispatch", 1), ("dispatch --version 4", 1)):
        capfd.readouterr()
        assert run(command.split()) == code
        err = capfd.readouterr().err
        assert "is empty, and the store" in err
        assert "fedml index rebuild" in err
    assert cli("rebuild", "--yes")[0] == 0
    assert len(json.loads(cli("list", "--json")[1])["results"]) == 2


def test_only_format_json_is_gone(known: Project, cli: Cli) -> None:
    """The log says all. The next write makes the same home again, so that catalogs go on."""
    home_id = json.loads(known.home.get("format.json"))["id"]
    known.home.delete("format.json")

    assert len(json.loads(cli("list", "--json")[1])["results"]) == 2
    assert "format-missing" in cli("verify")[1]
    assert cli("note", "a0000000", "again")[0] == 0
    assert json.loads(known.home.get("format.json"))["id"] == home_id
    assert cli("verify")[0] in (0, 1)


def test_a_home_that_lies_elsewhere_than_before(known: Project, cli: Cli) -> None:
    """A typo in `home` is found out, and a home that was moved is known again."""
    path = known.root / "fedml.toml"
    right = path.read_text()
    path.write_text(right.replace("/home", "/hoem"))
    (known.root / "hoem").mkdir()

    code, _, err = cli("list")
    assert code == 1
    assert "is empty, and this machine knows the index of federation 'test'" in err
    assert "mend `home`" in err
    assert run(["dispatch"]) == 1
    assert files(known.root / "hoem") == {}

    (known.root / "hoem").rmdir()
    (known.root / "home").rename(known.root / "hoem")
    assert len(json.loads(cli("list", "--json")[1])["results"]) == 2

    path.write_text(right.replace("/home", "/hmoe"))  # a typo after the move: the place that was read last is named
    code, _, err = cli("list")
    assert (code, f"in file://{known.root}/hoem, at revision" in err) == (1, True), err


def test_a_catalog_of_another_federation_is_refused(known: Project, cli: Cli, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    stranger = Project(other)
    stranger.index.open_run("run-77", "weather", "1", "5pec", 1, 1)
    [catalog] = (other / "another-cache" / "index").glob("*.sqlite")
    delete(known, "format.json", "index/")

    code, _, err = cli("rebuild", "--from-catalog", str(catalog), "--yes")
    assert code == 1
    assert "is of another index" in err
    assert "is not a catalog" in cli("rebuild", "--from-catalog", str(known.root / "fedml.toml"))[2]


def test_two_federations_do_not_share_a_home(known: Project, cli: Cli) -> None:
    known.home.delete("format.json")
    assert cli("note", "a0000000", "again")[0] == 0  # now the home says whose it is
    path = known.root / "fedml.toml"
    path.write_text(CONFIG.format(root=known.root.as_uri()).replace('name = "test"', 'name = "weather"'))
    before = files(known.root / "home")

    for command in (*COMMANDS, "index verify", "index rebuild"):
        assert run(command.split()) == (255 if command == "plan" else 1), command
    code, _, err = cli("list")
    assert code == 1
    assert "belongs to the federation 'test' (regions us, eu), and this fedml.toml is that of 'weather'" in err
    assert 'name = "test"' in err
    assert files(known.root / "home") == before

    path.write_text(path.read_text().replace('name = "weather"\n', ""))
    assert cli("list")[0] == 0, "a folder's name and the same regions: a checkout of the same federation"
