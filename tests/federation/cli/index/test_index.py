"""`fedml index`: what a person sees, and what a script gets."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from federation.log import Log
from federation.result import Key, ResultFile, ResultRecord
from regions.storage import open_store, store_url
from tests.federation.cli.index import helpers
from tests.federation.cli.index.helpers import DATACENTERS, Cli


class Project(helpers.Project):
    """A project folder with an index, whose results are as small as they can be."""

    def publish(
        self, alloc_id: str, *, region: str = "us", run: str = "run-1", slot: int = 0, version: str = "4"
    ) -> None:
        """A result whose artifact lies in its region's store, committed."""
        store = self.store(region)
        data = f"model of {alloc_id}".encode()
        record = ResultRecord(
            key=Key(run, slot, "train", 0),
            attempt=1,
            job="sales",
            version=version,
            spec_hash="5pec",
            region=region,
            datacenter=DATACENTERS[region],
            node=f"{region}-1",
            alloc_id=alloc_id,
            job_id=f"sales/dispatch-{alloc_id[:4]}",
            store=store_url(self.config.regions[region].datacenters[DATACENTERS[region]].store),
            manifest_sha256="m" * 64,
            files=(ResultFile("model.bin", len(data), hashlib.sha256(data).hexdigest()),),
            created="2026-11-24T10:00:00Z",
            metrics={"roc_auc": 0.74219, "customers": 1165, "train_seconds": 1.5, "loss": float("inf")},
            params={"epochs": "3"},
            environment={"python": "3.11.7"},
        )
        store.put(record.artifact_prefix + "model.bin", data)
        self.index.commit([record])


@pytest.fixture
def project(project: helpers.Project) -> Project:
    return Project(project.root)


@pytest.fixture
def filled(project: Project) -> Project:
    project.index.open_run("run-1", "sales", "4", "5pec", 2, 2)
    project.publish("aaaa1111-0000-4000-8000-000000000000", region="us", slot=0)
    project.publish("bbbb2222-0000-4000-8000-000000000000", region="eu", slot=1)
    project.publish("cccc3333-0000-4000-8000-000000000000", region="eu", slot=1)
    project.publish("dddd4444-0000-4000-8000-000000000000", region="us", run="run-2", version="5")
    return project


def test_an_empty_index_names_what_to_run(project: Project, cli: Cli) -> None:
    assert cli("list") == (
        0,
        "",
        "the index is empty: results of `fedml run` and `fedml dispatch` appear here\n",
    )
    assert json.loads(cli("list", "--json")[1]) == {"schema_version": 1, "revision": 0, "results": []}


def test_list_is_aligned_text_in_a_pipe(filled: Project, cli: Cli) -> None:
    code, out, err = cli("list")

    lines = out.splitlines()
    assert code == 0
    assert " ".join(lines[0].split()) == (
        "version run slot region datacenter allocation state roc_auc loss customers size when"
    )
    assert [line.split()[0] for line in lines[1:]] == ["5", "4", "4", "4"]
    first = lines[-1]
    told = "4 run-1 0 us us-east-1 aaaa1111 committed 0.7422 inf 1165 45 B"
    assert " ".join(first.split()).startswith(told)
    assert len(first) < 180
    assert "file://" not in out
    assert {line.index("us-east-1") for line in lines if "us-east-1" in line} == {lines[0].index("datacenter")}
    assert err == "4 results, revision 5\n"


def test_list_as_json_is_one_object(filled: Project, cli: Cli) -> None:
    code, out, err = cli("list", "--json")

    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["revision"] == 5
    assert [entry["alloc_id"][:4] for entry in document["results"]] == ["dddd", "cccc", "bbbb", "aaaa"]
    entry = document["results"][-1]
    assert entry["metrics"] == {
        "roc_auc": 0.74219,
        "customers": 1165,
        "train_seconds": 1.5,
        "loss": {"$float": "inf"},
    }
    assert (entry["job"], entry["slot"], entry["state"], entry["size_bytes"]) == ("sales", 0, "committed", 45)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--version", "5"], ["dddd"]),
        (["--region", "eu"], ["cccc", "bbbb"]),
        (["--region", "eu", "--state", "committed"], ["bbbb"]),
        (["--run", "run-2"], ["dddd"]),
        (["--run", "run-2", "--region", "us"], ["dddd"]),
        (["--job", "sales", "--limit", "2"], ["dddd", "cccc"]),
        (["--job", "other"], []),
    ],
)
def test_list_is_filtered(filled: Project, cli: Cli, arguments: list[str], found: list[str]) -> None:
    document = json.loads(cli("list", "--json", *arguments)[1])

    assert [entry["alloc_id"][:4] for entry in document["results"]] == found


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--run", "run"], "Error: 'run' means 2 runs:\n  run-2\n  run-1  sales version 4, "),
        (["--run", "rum-1"], "Error: the index knows no run 'rum-1'\n  → did you mean 'run-1'?\n"),
        (["--region", "uss"], "Error: there is no region 'uss' in fedml.toml"),
        (["--tag", "prodution"], "Error: the index has no tag 'prodution'\n  → did you mean 'production'?\n"),
    ],
)
def test_a_run_region_or_tag_that_is_not_there_is_an_error(
    filled: Project, cli: Cli, arguments: list[str], says: str
) -> None:
    filled.index.tag("production", "dddd4444")
    filled.publish("eeee5555-0000-4000-8000-000000000000", run="nightly-1", version="6")
    assert cli("list", "--run", "nightly")[1].count("eeee5555") == 1

    code, out, err = cli("list", *arguments)

    assert (code, out) == (1, "")
    assert err.startswith(says)


def test_what_is_left_out_is_told(filled: Project, cli: Cli) -> None:
    assert cli("list", "--limit", "2")[2] == "2 results, revision 5 (the newest: --limit N shows more)\n"
    assert cli("list", "--limit", "4")[2] == "4 results, revision 5\n"
    assert cli("list", "--version", "9") == (0, "", "nothing in the index matches (revision 5)\n")


def test_wrong_arguments_are_one_clear_error(filled: Project, cli: Cli) -> None:
    code, out, err = cli("list", "--state", "good")
    assert (code, out) == (1, "")
    assert err == "Error: --state good: a result is committed, superseded, late, retired or removed\n"
    assert cli("list", "--limit", "0")[0] == 1


def test_changes_of_a_newer_fedml_are_mentioned(filled: Project, cli: Cli) -> None:
    Log(open_store(filled.config.home), "index/log/", author="newer").append([{"type": "prophesy"}, {"type": "divine"}])

    code, out, err = cli("list")

    assert (code, len(out.splitlines())) == (0, 5)
    assert "changes that a newer fedml wrote have no effect here: 2 (divine, prophesy)" in err


def test_show_tells_the_whole_story_of_a_result(filled: Project, cli: Cli) -> None:
    code, out, _ = cli("show", "bbbb")

    assert code == 0
    for told in (
        "result     bbbb2222-0000-4000-8000-000000000000",
        "version    4 of sales",
        "committed in revision 3",
        "by ann@host",
        "run-1, slot 1, group train[0], attempt 1",
        "region eu, datacenter eu-west-1, node eu-1",
        "sales/dispatch-bbbb, spec 5pec",
        "roc_auc        0.7422",
        "epochs  3",
        "python  3.11.7",
        "model.bin  45 B  sha256 ",
        "cccc3333-0000-4000-8000-000000000000  superseded  attempt 1  eu",
        "get it:  fedml index get bbbb2222",
    ):
        assert told in out


def test_show_of_a_version_tells_its_runs_and_results(filled: Project, cli: Cli) -> None:
    _, out, _ = cli("show", "4")

    assert "run-1  sales  open   2 of 2" in out
    assert "aaaa1111" in out
    assert "bbbb2222" in out
    assert "cccc3333" not in out
    assert "one of them in full:  fedml index show bbbb2222" in out


def test_show_of_a_version_without_results_tells_its_run(project: Project, cli: Cli) -> None:
    project.index.open_run("run-9", "sales", "7", "5pec", 2, 4)

    code, out, _ = cli("show", "7")

    assert code == 0
    assert "run-9  sales  open   0 of 4" in out


def test_show_as_json_holds_records_and_runs(filled: Project, cli: Cli) -> None:
    document = json.loads(cli("show", "sales@4/0", "--json")[1])

    assert document["revision"] == 5
    assert [run["run"] for run in document["runs"]] == ["run-1"]
    [result] = document["results"]
    assert result["alloc_id"].startswith("aaaa")
    assert result["record"]["files"][0]["path"] == "model.bin"


@pytest.mark.parametrize("command", [("list", "--run", "run-1", "--state", "committed"), ("compare", "aaaa", "bbbb")])
def test_results_are_drawn(filled: Project, cli: Cli, command: tuple[str, ...], tmp_path: Path) -> None:
    code, out, err = cli(*command, "--plot", str(tmp_path / "results.svg"))

    assert code == 0, err
    assert out
    assert f"Drawn: {tmp_path / 'results.svg'} (2 of 2)" in err
    assert "2 of 2" in (tmp_path / "results.svg").read_text(encoding="utf-8")
    code, out, err = cli(*command, "--plot", str(tmp_path / "results.pdf"))
    assert (code, out) == (1, "")
    assert "it must end in .svg" in err


@pytest.mark.parametrize("command", ["show", "get"])
def test_what_is_not_there_is_told(filled: Project, cli: Cli, command: str) -> None:
    code, out, err = cli(command, "zzz")

    assert (code, out) == (1, "")
    assert err == "Error: the index has no result, version or tag 'zzz'\n  → fedml index list shows what it has\n"


def test_get_prints_the_folder_that_it_made(filled: Project, cli: Cli) -> None:
    code, out, err = cli("get", "5")

    folder = Path(out.strip())
    assert code == 0
    assert folder == filled.root / "sales-5-dddd4444"
    assert (folder / "model.bin").read_bytes() == b"model of dddd4444-0000-4000-8000-000000000000"
    assert err == f"sales version 5: 1 files, 45 B, from file://{filled.root}/us, verified\n"

    assert "there already, verified" in cli("get", "5")[2]
    document = json.loads(cli("get", "dddd", "--to", "elsewhere", "--json")[1])
    assert document == {
        "schema_version": 1,
        "alloc_id": "dddd4444-0000-4000-8000-000000000000",
        "version": "5",
        "path": str(filled.root / "elsewhere"),
        "files": 1,
        "size_bytes": 45,
        "is_new": True,
    }


def test_get_of_a_version_with_several_results_lists_them(filled: Project, cli: Cli) -> None:
    code, out, err = cli("get", "4")

    assert (code, out) == (1, "")
    assert "'4' means 2 results:" in err
    assert "  aaaa1111  sales version 4, slot 0, us/us-east-1, committed" in err
    assert "→ name one by the beginning of its allocation id, as bbbb2222; or get the best:  fedml index get " in err


def test_get_of_several_results_takes_the_first_by_sort(filled: Project, cli: Cli) -> None:
    code, out, _ = cli("get", "4", "--sort", "region", "--to", "first")
    assert (code, Path(out.strip()).name) == (0, "first")
    regions = [cli("get", "4", "--sort", f"region{order}", "--to", f"r{order}", "--json")[1] for order in ("", ":desc")]
    assert json.loads(regions[0])["alloc_id"] != json.loads(regions[1])["alloc_id"]
    assert "there is no field 'nope'" in cli("get", "4", "--sort", "nope")[2]


def test_get_refuses_a_flipped_byte(filled: Project, cli: Cli) -> None:
    [path] = (filled.root / "us").rglob("000000000/train/0/aaaa*/*/model.bin")
    path.write_bytes(b"M" + path.read_bytes()[1:])

    code, out, err = cli("get", "aaaa")

    assert (code, out) == (1, "")
    assert err.startswith("Error: ")
    assert not (filled.root / "sales-4-aaaa1111").exists()
    assert not list(filled.root.glob(".fedml-get-*"))


def test_get_does_not_write_over_something_else(filled: Project, cli: Cli) -> None:
    (filled.root / "model").mkdir()
    (filled.root / "model" / "mine").write_text("x")

    code, _, err = cli("get", "aaaa", "--to", "model")
    assert code == 1
    assert "holds something else" in err
    assert "--force" in err
    assert cli("get", "aaaa", "--to", "model", "--force")[0] == 0
    assert sorted(path.name for path in (filled.root / "model").iterdir()) == ["mine", "model.bin"]


def test_without_a_project_it_says_how_to_make_one(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FEDML_CONFIG", raising=False)

    code, _, err = cli("list")

    assert code == 1
    assert "no fedml.toml" in err
    assert "fedml init" in err


def test_results_whose_ids_begin_alike_are_told_apart_in_every_table(filled: Project, cli: Cli) -> None:
    twins = [f"ffff5555-0000-4000-{end}-000000000000" for end in ("8000", "9000")]
    for slot, alloc_id in enumerate(twins):
        filled.publish(alloc_id, run="run-9", slot=slot, version="9")
    short = ["ffff5555-0000-4000-8", "ffff5555-0000-4000-9"]
    for place in (0, 1):
        filled.index.tag("production", twins[place])
    listed = cli("list", "--version", "9")[1]
    assert [name for name in short if f" {name} " in listed] == short
    assert all(f" {name} " in cli("tag", "production")[1] for name in short)
    assert all(f" {name}" in cli("compare", *short)[1] for name in short)
    assert all(name in cli("diff", "1")[1] for name in short)
    assert f"index get {short[0]}" in cli("show", short[0])[1]
    err = cli("show", "ffff5555")[1]
    assert all(name in err for name in short)
    assert "means 2 results" in cli("get", "ffff5555")[2]
    assert f"as {short[1]}" in cli("get", "ffff5555")[2]
