"""A coordinator and a node one minor version apart work together, whichever of the two is the newer one.

`tests/fixtures/fedml-publish-0.1.0-file.pyz` is the archive for nodes of 0.1.0, as `make node-bundle` made it. With each
minor release the archive of the one before takes its place.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from federation.errors import FormatTooNew, PublishError
from federation.index import Index, checked_record
from federation.index.fetch import fetch
from federation.publish.publish import publish
from federation.result import RECORD_FORMAT, ResultRecord
from jobs.render import Place, render
from jobs.spec import shape_of
from regions.model import StoreConfig
from regions.storage import open_store
from regions.storage.url import folder_url

FORMER = Path(__file__).parents[3] / "fixtures/fedml-publish-0.1.0-file.pyz"
ALLOC = "7d1c7a2e-6c3f-4bb6-9d2a-1f6f2f9a0b11"
RUN = "01a21003-4714-7af6-b6b1-1b21c846953c"
JOB = {
    "ID": "train",
    "Type": "batch",
    "ParameterizedJob": {"MetaRequired": ["model_version"]},
    "TaskGroups": [{"Name": "pipeline", "Tasks": [{"Name": "store", "Driver": "raw_exec"}]}],
}
READ = "import sys; sys.path.insert(0, sys.argv[1]); from federation.result import ResultRecord as R; "


@pytest.fixture
def store(tmp_path: Path) -> StoreConfig:
    return StoreConfig(url=folder_url(tmp_path / "store"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.bin").write_bytes(b"weights")
    (tmp_path / "model/metrics.json").write_text('{"auc": 0.71, "loss": Infinity}')
    return tmp_path / "model"


@pytest.fixture
def environ(store: StoreConfig) -> dict[str, str]:
    """What a task has whose job this version rendered and dispatched, and something that only a later one adds."""
    place = Place("us", "us", "default", {"dc1": store.url})
    task = render(JOB, shape_of(JOB), place, spec_hash="5pec")["TaskGroups"][0]["Tasks"][0]
    meta = {"fedml_run": RUN, "fedml_slot": "3", "fedml_attempt": "2", "fedml_spec": "5pec", "model_version": "4"}
    return {
        "PATH": "/usr/bin:/bin",
        **task["Env"],
        "FEDML_NODE": "node-1",
        "FEDML_OF_A_LATER_VERSION": "x",
        **{f"NOMAD_META_{name}": value for name, value in (meta | {"fedml_of_a_later_version": "x"}).items()},
        "NOMAD_ALLOC_ID": ALLOC,
        "NOMAD_ALLOC_INDEX": "0",
        "NOMAD_GROUP_NAME": "pipeline",
        "NOMAD_JOB_ID": "train/dispatch-1-a",
        "NOMAD_JOB_PARENT_ID": "train",
        "NOMAD_DC": "dc1",
        "NOMAD_REGION": "us",
    }


def test_the_former_version_publishes_on_the_node_and_this_one_takes_it(
    model: Path, environ: dict[str, str], store: StoreConfig, tmp_path: Path
) -> None:
    command = [sys.executable, "-I", "-S", str(FORMER), str(model), "--json"]
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)["record"]
    opened = open_store(store)
    (key,) = [info.key for info in opened.list("results/")]
    record = checked_record(ResultRecord.from_json(opened.get(key)))
    assert json.loads(record.to_json()) == told
    assert record.key.record_key(ALLOC) == key
    assert (record.attempt, record.version, record.spec_hash, record.params) == (2, "4", "5pec", {})
    assert record.metrics == {"auc": 0.71, "loss": float("inf")}
    index = Index(open_store(StoreConfig(url=folder_url(tmp_path / "home"))), cache_dir=tmp_path / "cache")
    assert index.commit([record]) == {ALLOC: "added"}
    (row,) = index.query(version="4")
    fetched = fetch(index.record(row), opened, tmp_path / "got")
    assert (fetched.path / "model.bin").read_bytes() == b"weights"
    index.close()
    assert publish(model, environ=environ).was_there  # this version sees it as done


def test_this_version_publishes_on_the_node_and_the_former_one_takes_it(model: Path, environ: dict[str, str]) -> None:
    record = publish(model, environ=environ).record
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"{READ}print(R.from_json(sys.stdin.buffer.read()).to_dict())",
        str(FORMER),
    ]
    done = subprocess.run(command, input=record.to_json(), capture_output=True, check=True)
    assert done.stdout.decode().strip() == str(ResultRecord.from_json(record.to_json()).to_dict())


def changed(record: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return json.loads(json.dumps(record)) | more


def test_what_a_later_version_adds_to_a_record_is_passed_over(model: Path, environ: dict[str, str]) -> None:
    record = publish(model, environ=environ).record
    later = changed(record.to_dict(), signed_by="x", lineage=[1])
    later["key"]["shard"] = 3
    later["files"][0]["crc32c"] = "x"
    assert ResultRecord.from_dict(later) == record
    with pytest.raises(FormatTooNew, match="upgrade fedml"):
        ResultRecord.from_dict(changed(later, format=RECORD_FORMAT + 1))
    for name in ("key", "files", "alloc_id", "manifest_sha256"):
        lacking = changed(record.to_dict())
        del lacking[name]
        with pytest.raises(PublishError, match=f"can't be used: {name} is missing"):
            ResultRecord.from_dict(lacking)
