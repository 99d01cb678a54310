"""`fedml stores`: its table, its JSON, its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from federation.cli.stores import app
from federation.errors import UsageError
from regions.model import StoreConfig
from regions.storage.errors import InvalidStoreURL, Unavailable
from regions.storage.file.store import FileStore
from regions.storage.url import folder_url

TOML = """
[federation]
name = "shop"
home = "file://./stores/home"

[regions.us]
addresses = ["http://127.0.0.1:1"]
[regions.us.datacenters.east]
store = "file://./stores/us"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "fedml.toml").write_text(TOML)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FEDML_CONFIG", raising=False)
    return tmp_path


def run(*arguments: str) -> int:
    made = typer.Typer()
    made.add_typer(app, name="stores")
    return int(made(["stores", *arguments], standalone_mode=False) or 0)


def test_list(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["region", "datacenter", "store", "home", "answers", "detail"]
    assert lines[2].split() == ["home", "-", f"{folder_url(project)}/stores/home", "*", "yes"]
    assert lines[3].split() == ["us", "east", f"{folder_url(project)}/stores/us", "yes"]


def test_a_store_that_does_not_answer_is_exit_code_1(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: FileStore, prefix: str = "", *, start_after: str = "") -> None:
        raise Unavailable("the line is down")

    monkeypatch.setattr(FileStore, "list", fail)
    assert run("list", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert [one["answers"] for one in told["stores"]] == ["no", "no"]


def test_check_of_one_store(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "us") == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[0] == f"{folder_url(project)}/stores/us  (us/east)"
    assert "create-if-absent, 16 writers racing   ok" in told.out
    assert told.err.splitlines()[-1] == "Every promise that was looked at is kept."


def test_a_broken_store_is_exit_code_1(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put = FileStore.put
    monkeypatch.setattr(FileStore, "put", lambda self, key, data, mode=None, **more: put(self, key, data, **more))
    assert run("check", "home", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["healthy"] is False
    (checked,) = told["stores"]
    assert checked["used_by"] == ["home"]
    failed = {one["name"] for one in checked["checks"] if one["outcome"] == "failed"}
    assert failed == {"create-if-absent, in turn", "create-if-absent, 16 writers racing", "compare-and-swap"}


def test_a_url_needs_no_project(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FEDML_CONFIG", raising=False)
    url = folder_url(tmp_path / "store")
    assert run("check", url, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [(one["store"], one["used_by"]) for one in told["stores"]] == [(url, [])]


def test_what_is_no_store(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="no store 'asia'"):
        run("check", "asia")
    with pytest.raises(InvalidStoreURL, match="never holds credentials") as caught:
        run("check", "s3://me:planted-secret@bucket")
    assert "planted-secret" not in str(caught.value) + caught.value.hint + "".join(capsys.readouterr())


def test_policies_are_printed_and_nothing_is_asked(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: FileStore, config: StoreConfig) -> None:
        raise AssertionError("a store was opened")

    monkeypatch.setattr(FileStore, "__init__", refuse)
    assert run("check", "--policy") == 0
    assert capsys.readouterr().out.startswith("# ── node\n")
    assert run("check", "s3://models/fedml", "--policy", "--json") == 0
    told = json.loads(capsys.readouterr().out)["policies"]
    assert [one["role"] for one in told] == ["node", "coordinator", "dispatcher", "maintenance", "reader"]
    assert told[0]["policy"]["Version"] == "2012-10-17"


def test_the_page_shows_the_real_table(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parents[3].joinpath("docs/how-to/check-a-store.md").read_text(encoding="utf-8")
    assert run("check", "home") == 0
    lines = capsys.readouterr().out.splitlines()
    shown = page.partition('$ fedml stores check "s3://')[2].partition("```")[0].splitlines()
    assert [line[:43].split() for line in shown[2:]] == [line[:43].split() for line in lines[1:-1]]
