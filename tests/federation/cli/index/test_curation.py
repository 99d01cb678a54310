"""`fedml index list --where …`, `tag`, `retire`, `log`, `diff`, `lineage`, `compare`: what a person sees, a script gets."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from federation.cli import run
from federation.config.load import load
from federation.errors import ConfigError
from federation.index import Index
from federation.result import Key, ResultFile, ResultRecord
from regions.storage import open_store, store_url
from regions.storage.errors import Unavailable
from regions.storage.file.store import FileStore

CONFIG = """
[federation]
name = "test"
home = "{root}/home"

[regions.us]
addresses = ["http://127.0.0.1:1"]
[regions.us.datacenters.us-east-1]
store = "{root}/us"
"""

PROTECTED = """
[tags.production]
where = "metrics.auc >= 0.72"
authors = ["ann@*"]
"""

A, B, C = (f"{letter * 4}1111-0000-4000-8000-000000000000" for letter in "abc")


class Project:
    """A project with three results: versions 1 (a), 2 (b) and 2 (c, made from b)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "fedml.toml").write_text(CONFIG.format(root=root.as_uri()))
        self.config = load(root / "fedml.toml")
        self.index = Index(open_store(self.config.home), cache_dir=root / "another-cache", author="ann@host")
        self.index.open_run("run-1", "sales", "1", "5pec", 1, 1)
        small, large = ({"git_commit": "9f3c", "task_memory_mb": size} for size in ("256", "1024"))
        self.publish(A, "1", 0, {"auc": 0.71, "loss": float("nan")}, {"lr": "0.1"}, small)
        self.publish(B, "2", 0, {"auc": 0.74}, {"lr": "0.01"}, large | {"data_sha256": "beef"})
        self.publish(C, "2", 1, {"auc": 0.73}, {"lr": "0.01", "parent": B[:8]}, {"data_url": "s3://d/x.csv"})
        self.index.close_run("run-1", "done")

    def publish(
        self,
        alloc_id: str,
        version: str,
        slot: int,
        metrics: dict[str, float],
        params: dict[str, str],
        environment: dict[str, str],
    ) -> None:
        store = self.config.regions["us"].datacenters["us-east-1"].store
        self.index.commit(
            [
                ResultRecord(
                    key=Key(f"run-{version}", slot, "train", 0),
                    attempt=1,
                    job="sales",
                    version=version,
                    spec_hash="5pec",
                    region="us",
                    datacenter="us-east-1",
                    node="us-1",
                    alloc_id=alloc_id,
                    job_id="sales/dispatch-1",
                    store=store_url(store),
                    manifest_sha256="m" * 64,
                    files=(ResultFile("model.bin", 2000, "0" * 64),),
                    created="2026-11-24T10:00:00Z",
                    metrics=metrics,
                    params=params,
                    environment=environment,
                )
            ]
        )


class Cli:
    """Runs a command line and gives exit code, stdout and stderr."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self._capfd.readouterr()
        code = run(["index", *arguments])
        out, err = self._capfd.readouterr()
        return code, out, err

    def json(self, *arguments: str) -> dict:
        code, out, err = self(*arguments, "--json")
        assert code == 0, err
        document = dict(json.loads(out))
        assert document.pop("schema_version") == 1
        return document


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    for name in ("FEDML_CONFIG", "FEDML_CACHE_DIR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FEDML_AUTHOR", "ann@host")
    return Project(tmp_path)


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], project: Project) -> Cli:
    return Cli(capfd)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--where", "metrics.auc > 0.72 and params.lr in (0.1, 0.01)"], "cb"),
        (["--where", "metrics.loss is nan"], "a"),
        (["--where", "size_bytes = 2kB and version = '1'"], "a"),
        (["--sort", "metrics.auc:desc"], "bca"),
        (["--sort", "metrics.auc", "--limit", "1"], "a"),
        (["--at", "2"], "a"),
        (["--at", "0"], ""),
    ],
)
def test_list_is_filtered_and_sorted(cli: Cli, arguments: list[str], found: str) -> None:
    entries = cli.json("list", *arguments)["results"]

    assert "".join(entry["alloc_id"][0] for entry in entries) == found


def test_columns_are_what_was_asked_for(cli: Cli) -> None:
    fields = "metrics.auc,version,params.lr,metrics.loss,size_bytes,created,tags"
    code, out, err = cli("list", "--columns", fields, "--sort", "version,metrics.auc")

    assert (code, err) == (0, "3 results, revision 5\n")
    assert [line.split() for line in out.splitlines()] == [
        fields.split(","),
        ["0.71", "1", "0.1", "nan", "2.0", "kB", "2026-11-24", "10:00Z", "-"],
        ["0.73", "2", "0.01", "-", "2.0", "kB", "2026-11-24", "10:00Z", "-"],
        ["0.74", "2", "0.01", "-", "2.0", "kB", "2026-11-24", "10:00Z", "-"],
    ]


@pytest.mark.parametrize("option", ["--where", "--sort", "--columns"])
def test_a_field_that_nobody_has_is_told_with_a_caret(cli: Cli, option: str) -> None:
    text = "metrics.acu" + (" > 1" if option == "--where" else "")

    code, out, err = cli("list", option, text)

    assert (code, out) == (1, "")
    problem = f"Error: {option}: no result has the metric 'acu'"
    assert err == f"{problem}\n  {text}\n  ^\n  → did you mean metrics.auc?\n"


def test_the_life_of_a_tag(cli: Cli) -> None:
    assert cli("tag") == (0, "", "there is no tag yet: fedml index tag NAME RESULT\n")
    told = "production points to aaaa1111, version 1 of sales (it pointed to nothing), revision 6\n"
    assert cli("tag", "production", "1", "-m", "first") == (0, "", told)
    assert "aaaa1111-0000" in cli("show", "production")[1]
    moved = cli.json("tag", "production", "bbbb", "--if-current", "1")
    assert moved == {"revision": 7, "name": "production", "alloc_id": B, "previous": A}
    code, _, err = cli("tag", "production", "cccc", "--if-current", "1")
    assert code == 1
    assert "'production' points to bbbb1111, since revision 7 by ann@host, not to aaaa1111" in err
    assert cli("tag", "--rollback", "production", "-m", "slow")[0] == 0
    history = cli.json("tag", "production")
    assert history["alloc_id"] == A
    assert [(move["kind"], move["reason"]) for move in history["history"]] == [
        ("rollback", "slow"),
        ("tag", ""),
        ("tag", "first"),
    ]
    assert cli.json("tag")["tags"][0]["alloc_id"] == A
    assert cli("tag", "production")[1].splitlines()[1].split()[3:6] == ["rollback", "aaaa1111", "bbbb1111"]
    assert cli("untag", "production")[2].startswith("production points to nothing (it pointed to aaaa1111)")
    assert cli("show", "production")[0] == 1


def test_a_protected_tag(cli: Cli, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with (project.root / "fedml.toml").open("a") as file:
        file.write(PROTECTED)

    code, _, err = cli("tag", "production", "1")
    assert code == 1
    assert "doesn't meet  metrics.auc >= 0.72  (metrics.auc is 0.71)" in err
    assert cli("tag", "production", "bbbb")[0] == 0
    monkeypatch.setenv("FEDML_AUTHOR", "bob@laptop")
    assert "bob@laptop isn't among those who may move it" in cli("untag", "production")[2]
    assert cli("tag", "staging", "1")[0] == 0


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('where = "metrics.auc >"', "tags.production.where: the condition ends where a value should be"),
        ("copies = 0", "tags.production.copies"),
        ('wehre = "x"', "tags.production.wehre: unknown key"),
    ],
)
def test_a_wrong_rule_is_told_when_the_file_is_read(project: Project, table: str, problem: str) -> None:
    with (project.root / "fedml.toml").open("a") as file:
        file.write(f"[tags.production]\n{table}\n")

    with pytest.raises(ConfigError, match=problem):
        load(project.root / "fedml.toml")


def test_retire_hides_and_undo_shows_again(cli: Cli) -> None:
    told = "bbbb1111 (sales version 2) is retired, revision 6\n"
    assert cli("retire", "bbbb", "-m", "broken") == (0, "", told)
    assert len(cli.json("list")["results"]) == 2
    assert [entry["alloc_id"] for entry in cli.json("list", "--state", "retired")["results"]] == [B]
    assert "is retired" in cli("tag", "production", "bbbb")[2]
    assert cli.json("retire", "bbbb", "--undo")["results"][0]["state"] == "committed"
    assert len(cli.json("list")["results"]) == 3


def test_notes_are_shown(cli: Cli) -> None:
    assert cli("note", "bbbb", "served since Monday")[2] == "noted on bbbb1111 (sales version 2), revision 6\n"
    assert "ann@host  served since Monday" in cli("show", "bbbb")[1]
    assert cli.json("show", "bbbb")["results"][0]["notes"][0]["text"] == "served since Monday"
    assert cli("note", "bbbb", " ")[0] == 1


def test_log_tells_who_what_and_why(cli: Cli) -> None:
    cli("tag", "production", "bbbb", "-m", "better")

    code, out, err = cli("log", "--limit", "2")

    assert (code, err) == (0, "revision 6 (the newest 2)\n")
    lines = out.splitlines()
    assert lines[0].startswith("revision 6  20")
    assert lines[0].endswith("Z  ann@host: better")
    assert lines[1] == "  tag production → bbbb1111"
    assert lines[3] == "  close run run-1  done"
    entries = cli.json("log")["revisions"]
    assert [entry["revision"] for entry in entries] == [6, 5, 4, 3, 2, 1]
    assert entries[2]["changes"] == [
        {"type": "add", "alloc_id": C, "job": "sales", "version": "2", "run": "run-2", "slot": 1, "region": "us"}
    ]


def test_log_follows_until_interrupted(cli: Cli, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    acts = itertools.chain([lambda: project.index.tag("production", B), lambda: project.index.note(B, "hm")])

    def instead_of_waiting(seconds: float) -> None:
        act = next(acts, None)
        if act is None:
            raise KeyboardInterrupt
        act()

    monkeypatch.setattr("time.sleep", instead_of_waiting)
    code, out, err = cli("log", "--follow", "--limit", "1", "--json")

    assert code == 130
    assert [json.loads(line)["revision"] for line in out.splitlines()] == [5, 6, 7]
    assert err == "revision 5; new ones as they come (Ctrl-C ends)\n"


def test_diff_tells_the_net_of_it(cli: Cli) -> None:
    cli("tag", "production", "aaaa")
    cli("tag", "production", "bbbb")
    cli("retire", "aaaa")
    cli("note", "cccc", "hm")

    code, out, err = cli("diff", "3")

    assert (code, err) == (0, "revision 3 to 9\n")
    assert out.splitlines() == [
        "results entered (1)",
        "  cccc1111  sales 2  slot 1  us  committed",
        "",
        "runs",
        "  run-1  open → done",
        "",
        "states",
        f"  {A}  committed → retired",
        "",
        "tags",
        "  production  - → bbbb1111",
        "",
        "other changes",
        "  note on cccc1111: hm",
    ]
    document = cli.json("diff", "6", "7")
    assert document["tags"] == [{"name": "production", "before": A, "after": B}]
    assert (document["first"], document["last"], document["results"]) == (6, 7, [])
    assert cli("diff", "4", "4") == (0, "", "revision 4 to 4: nothing changed\n")
    assert "revision 4 comes after 3" in cli("diff", "4", "3")[2]
    assert "is in the future" in cli("diff", "4", "99")[2]


def test_lineage_tells_data_code_parents_and_children(cli: Cli) -> None:
    of_b, of_c = cli.json("lineage", "bbbb"), cli.json("lineage", "cccc")

    assert of_b["children"] == [C]
    assert of_b["data"] == {"data_sha256": "beef"}
    assert of_b["code"] == {"git_commit": "9f3c"}
    assert of_c["parents"] == [B]
    assert of_c["data"] == {"data_url": "s3://d/x.csv"}
    assert of_c["spec_hash"] == "5pec"
    text = cli("lineage", "cccc")[1]
    assert f"parents\n  {B}" in text
    assert "code\n  the record names none" in text


def test_compare_puts_what_differs_first(cli: Cli) -> None:
    cli("tag", "production", "aaaa")

    code, out, _ = cli("compare", "production", "bbbb1111")

    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["metrics", "production", "(aaaa1111)", "bbbb1111"]
    assert lines[1] == ["auc", "0.71", "0.74", "+0.03"]
    assert lines[2] == ["loss", "nan", "-"]
    assert ["task_memory_mb", "256", "1024", "+768"] in lines
    same = out[out.index("the same in all") :]
    assert "git_commit  9f3c" in same
    assert "lr" not in same
    document = cli.json("compare", "1", "bbbb", "cccc")
    assert document["alloc_ids"] == [A, B, C]
    assert document["differences"][0] == {"section": "metrics", "name": "auc", "values": [0.71, 0.74, 0.73]}
    assert document["differences"][1]["values"] == [{"$float": "nan"}, None, None]
    assert cli("compare", "1")[0] == 1
    assert "means 2 results" in cli("compare", "1", "2")[2]


def test_the_past_is_shown_as_it_was(cli: Cli) -> None:
    cli("tag", "production", "aaaa")
    cli("tag", "production", "bbbb")
    cli("retire", "aaaa")

    assert cli.json("show", "production", "--at", "6")["results"][0]["alloc_id"] == A
    assert cli.json("list", "--at", "6", "--tag", "production")["results"][0]["state"] == "committed"
    assert cli.json("list", "--at", "6")["revision"] == 6
    for when, problem in (
        ("99", "revision 99 is in the future: the index is at 8"),
        ("2026-11-24T10:00:00", "neither a revision nor a time with a zone"),
        ("2126-11-24T10:00:00Z", "is in the future"),
    ):
        code, out, err = cli("list", "--at", when)
        assert (code, out) == (1, "")
        assert problem in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["tag", "--rollback"],
        ["tag", "--rollback", "x", "1"],
        ["tag", "-m", "why"],
        ["untag", "nobody"],
        ["retire", "zzz"],
    ],
)
def test_wrong_arguments_are_one_clear_error(cli: Cli, arguments: list[str]) -> None:
    code, out, err = cli(*arguments)

    assert (code, out) == (1, "")
    assert err.startswith("Error: ")
    assert "Traceback" not in err


HOOKS = """
[hooks]
index_tag = ["sh", "-c", "cat >> told.jsonl; echo >> told.jsonl; echo $FEDML_EVENT $FEDML_TAG $FEDML_ALLOC_ID >> told.txt"]
index_retire = ["sh", "-c", "exit 3"]
"""


def test_watch_runs_a_command_for_each_tag_and_begins_again_with_one_that_failed(cli: Cli, project: Project) -> None:
    with (project.root / "fedml.toml").open("a") as file:
        file.write(HOOKS)
    code, out, err = cli("watch", "--hooks", "--once")
    assert (code, out, err) == (0, "", "hooks: what comes after revision 5\n")
    cli("tag", "production", "bbbb", "-m", "good")
    cli("retire", "aaaa")
    cli("tag", "production", "cccc")

    code, out, err = cli("watch", "--hooks", "--once")

    assert code == 1
    assert "hooks.index_retire: sh ended with exit code 3 (revision 7)" in err
    assert "--after 7" in err
    assert [line.split("  ", 2)[2] for line in out.splitlines()] == [
        "ann@host  production points to bbbb1111: good",
        "ann@host  aaaa1111 is retired",
    ]
    assert (project.root / "told.txt").read_text() == f"index_tag production {B}\n"
    told = json.loads((project.root / "told.jsonl").read_text())
    assert (told["tag"], told["alloc_id"], told["previous"], told["reason"]) == ("production", B, "", "good")
    assert cli("watch", "--hooks", "--once")[0] == 1
    assert cli("watch", "--hooks", "--once", "--after", "7")[0] == 0
    assert (project.root / "told.txt").read_text().splitlines()[-1] == f"index_tag production {C}"
    code, out, _ = cli("watch", "--once", "--name", "reader", "--after", "0", "--json")
    assert [json.loads(line)["event"] for line in out.splitlines()][:4] == ["index_commit"] * 3 + ["index_tag"]


def test_watch_with_hooks_wants_one(cli: Cli) -> None:
    code, _, err = cli("watch", "--hooks", "--once")

    assert code == 1
    assert "has no hook for the index" in err


def test_offline_answers_from_the_catalog_and_says_as_of_when(cli: Cli, project: Project) -> None:
    cli("tag", "production", "bbbb", "-m", "good")
    online = {
        name: cli.json(*name.split()) for name in ("list", "show production", "log", "diff 5", "tag", "tag production")
    }
    (project.root / "home").rename(project.root / "gone")

    for name, before in online.items():
        code, out, err = cli(*name.split(), "--offline", "--json")
        assert code == 0, err
        assert err.startswith("offline: as of 20")
        told = json.loads(out)
        assert told.pop("schema_version") == 1
        assert told.pop("as_of")[:16].replace("T", " ") + "Z\n" == err.removeprefix("offline: as of ")
        for result in before.get("results", []):
            result.pop("record", None)
        assert told == before
    text = cli("show", "production", "--offline")[1]
    assert f"result     {B}" in text or f"result       {B}" in text
    assert "files (" not in text
    assert "nothing is written" in cli("tag", "production", "aaaa", "--offline")[2]
    assert "--offline asks no store" in cli("log", "--follow", "--offline")[2]


def test_a_home_store_that_does_not_answer_says_what_would(
    cli: Cli, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("list")

    def silent(*_: object) -> None:
        raise Unavailable("no answer")

    monkeypatch.setattr(FileStore, "_get", silent)

    code, _, err = cli("list")
    assert code == 1
    assert "to see what this machine knew last, add --offline" in err
    assert cli("list", "--offline")[0] == 0
