"""Every command of `fedml index` with its home and one store on S3, GCS, Azure and in a folder, also after the home lost its
index; two federations on one home."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from federation.app import App
from federation.cli import run
from federation.config.load import load
from federation.index import Index
from federation.result import Key, ResultFile, ResultRecord, manifest_sha256
from regions.model import StoreConfig
from regions.storage import open_store, store_url
from regions.storage.store import Create

A, B, C = (f"{letter * 4}1111-0000-4000-8000-000000000000" for letter in "abc")


def table(config: StoreConfig) -> str:
    """A store as fedml.toml writes it."""
    told = {"url": config.url, "endpoint": config.endpoint, "location": config.location}
    parts = [f"{name} = {json.dumps(value)}" for name, value in told.items() if value]
    parts += ["anonymous = true"] if config.anonymous else []
    if config.secret_access_key is not None:
        parts.append(f'secret_access_key = {{ env = "{config.secret_access_key.env}" }}')
    return "{ " + ", ".join(parts) + " }"


class Project:
    """A fedml.toml whose home and region `us` are in `config`, and region `eu` in a folder; its commands."""

    def __init__(self, root: Path, config: StoreConfig, capfd: pytest.CaptureFixture[str], *, us: str = "us") -> None:
        self.root, self._capfd = root, capfd
        root.mkdir(exist_ok=True)
        home, store = (dataclasses.replace(config, url=f"{config.url}/{name}") for name in ("home", us))
        (root / "fedml.toml").write_text(
            f'[federation]\nname = "{root.name}"\nhome = {table(home)}\n'
            f'[regions.{us}]\naddresses = ["http://127.0.0.1:1"]\n[regions.{us}.datacenters.dc1]\nstore = {table(store)}\n'
            f'[regions.eu]\naddresses = ["http://127.0.0.1:2"]\n[regions.eu.datacenters.dc1]\n'
            f'store = "{(root / "eu").as_uri()}"\n'
            '[hooks]\nindex_tag = ["sh", "-c", "echo $FEDML_TAG $FEDML_ALLOC_ID >> told.txt"]\n'
        )
        self.config = load(root / "fedml.toml")
        self._store = config
        self._numbers = itertools.count()

    def add_further_store(self, name: str) -> None:
        further = table(dataclasses.replace(self._store, url=f"{self._store.url}/{name}"))
        path = self.root / "fedml.toml"
        path.write_text(path.read_text().replace("[federation]\n", f"[federation]\nfurther_stores = [{further}]\n"))

    def rename(self, name: str) -> None:
        """The federation's name in its fedml.toml."""
        path = self.root / "fedml.toml"
        path.write_text(path.read_text().replace(f'name = "{self.root.name}"', f'name = "{name}"'))

    def publish(self, alloc_id: str, version: str, auc: float, *, region: str, **given: Any) -> ResultRecord:
        """As a node does: the file, the record; then the commit."""
        store = self.config.regions[region].datacenters["dc1"].store
        data = f"model {alloc_id}".encode()
        fields: dict[str, Any] = {
            "key": Key(f"nomad:{region}/{alloc_id}", 0, "train", 0), "attempt": 1, "job": "sales", "version": version,
            "spec_hash": "5pec", "region": region, "datacenter": "dc1", "node": "n-1", "alloc_id": alloc_id,
            "job_id": "sales/dispatch-1", "store": store_url(store), "manifest_sha256": "",
            "files": (ResultFile("model.bin", len(data), hashlib.sha256(data).hexdigest()),),
            "created": "2026-11-24T10:00:00Z", "metrics": {"auc": auc}, "params": {"lr": "0.1"},
        }  # fmt: skip
        record = ResultRecord(**(fields | given))
        record = dataclasses.replace(record, manifest_sha256=manifest_sha256(record.files))
        opened = open_store(store)
        opened.put(record.artifact_prefix + "model.bin", data)
        opened.put(record.key.record_key(alloc_id), record.to_json(), Create())
        index = Index(open_store(self.config.home), cache_dir=self.root / "node-cache", author="ann@host")
        index.commit([record])
        index.close()
        return record

    def __call__(self, *arguments: str, code: int = 0) -> str:
        self._capfd.readouterr()
        found = run(["index", *arguments, "--config", str(self.root / "fedml.toml")])
        out, err = self._capfd.readouterr()
        assert found == code, (arguments, out, err)
        return out if code == 0 else err

    def json(self, *arguments: str) -> Any:
        document = json.loads(self(*arguments, "--json"))
        assert document.pop("schema_version") == 1
        return document


@pytest.fixture(params=["file_config", "s3_config", "gcs_config", "azure_config"])
def config(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StoreConfig:
    monkeypatch.setenv("FEDML_AUTHOR", "ann@host")
    monkeypatch.delenv("FEDML_CACHE_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    found: StoreConfig = request.getfixturevalue(request.param)
    return found


def test_every_command_on_every_kind_of_home(
    config: StoreConfig, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    index = Project(tmp_path / "project", config, capfd)
    index.publish(A, "1", 0.71, region="us")
    index.publish(B, "2", 0.74, region="us", environment={"git_commit": "9f3c", "parents": A})
    index.publish(C, "3", 0.73, region="eu")

    assert [row["alloc_id"] for row in index.json("list", "--where", "metrics.auc > 0.72")["results"]] == [C, B]
    assert index.json("show", "2")["results"][0]["record"]["environment"]["git_commit"] == "9f3c"
    assert index.json("lineage", "aaaa1111")["children"] == [B]
    assert index.json("compare", "1", "2")["differences"][0]["values"] == [0.71, 0.74]
    index("watch", "--once")
    index("tag", "production", "1", "--if-current", "none")
    index("tag", "production", "2", "-m", "better")
    assert "points to bbbb1111" in index("tag", "production", "3", "--if-current", "1", code=1)
    index("tag", "--rollback", "production")
    assert len(index.json("tag", "production")["history"]) == 3
    index("watch", "--once", "--hooks")
    assert (index.root / "told.txt").read_text().splitlines() == [f"production {one}" for one in (A, B, A)]
    index("note", "production", "looked at")
    index("retire", "3")
    assert len(index.json("list")["results"]) == 2
    assert len(index.json("list", "--at", "3")["results"]) == 3
    assert [one["after"] for one in index.json("diff", "3")["tags"]] == [A]
    assert index.json("log", "--limit", "1")["revisions"][0]["changes"][0]["type"] == "retire"
    folder = Path(index.json("get", "production", "--to", str(tmp_path / "model"))["path"])
    assert (folder / "model.bin").read_bytes() == f"model {A}".encode()
    index("copy", "production", "eu")
    index("export", "--to", str(tmp_path / "all.jsonl"))
    index("import", str(tmp_path / "all.jsonl"))
    index("untag", "production")
    assert index.json("list", "--offline")["as_of"]
    assert index.json("verify", "--deep")["is_whole"]

    store = open_store(index.config.home)
    for info in [*store.list("index/"), *store.list("format.json")]:
        store.delete(info.key)
    for command in (["list"], ["tag", "production", "1"], ["gc", "--keep", "last=1", "--grace", "0m", "--yes"]):
        assert "holds no index any more" in index(*command, code=1)
    assert [*store.list()] == []
    index("rebuild", "--from-catalog", "--yes")
    assert {row["alloc_id"]: row["state"] for row in index.json("list", "--where", "state like '%'")["results"]} == {
        A: "committed",
        B: "committed",
        C: "retired",
    }
    assert index.json("sync")["commit"] == []
    for _ in range(2):
        index("gc", "--keep", "last=1", "--grace", "0m", "--yes")
    assert [row["alloc_id"] for row in index.json("list", "--state", "removed")["results"]] == [C]
    assert index.json("verify", "--deep")["is_whole"]


def test_two_files_of_one_federation_share_a_home_and_another_federation_is_refused(
    file_config: StoreConfig,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Under one name they share one index: each sees the other's results, tags and versions. It gets what lies in a store of
    the other as soon as its own fedml.toml names that store."""
    monkeypatch.setenv("FEDML_AUTHOR", "ann@host")
    monkeypatch.setenv("FEDML_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    one = Project(tmp_path / "one", file_config, capfd)
    two = Project(tmp_path / "two", file_config, capfd, us="asia")
    app = App(one.config)
    app.index.require_writable()
    app.close()
    assert "belongs to the federation 'one' (regions us, eu)" in two("list", code=1)
    assert "that of 'two'" in two("gc", "--keep", "last=1", "--yes", code=1)
    two.rename("one")

    one.publish(A, "1", 0.71, region="us")
    two.publish(B, "1", 0.74, region="asia")

    for federation in (one, two):
        assert [row["region"] for row in federation.json("list")["results"]] == ["asia", "us"]
        assert "means 2 results" in federation("get", "1", code=1)
    one("tag", "production", "bbbb1111", "--if-current", "none")
    assert "points to bbbb1111" in two("tag", "production", "aaaa1111", "--if-current", "none", code=1)
    assert "the store wasn't asked" in one("get", "production", code=1)
    one.add_further_store("asia")
    two.add_further_store("us")
    folder = Path(one.json("get", "production", "--to", str(tmp_path / "model"))["path"])
    assert (folder / "model.bin").read_bytes() == f"model {B}".encode()
    assert one.json("verify", "--deep")["is_whole"]
    assert two.json("verify", "--deep")["is_whole"]
