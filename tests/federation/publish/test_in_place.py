"""What is in a store already is recorded where it lies, and can be fetched from there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from federation.errors import PublishError
from federation.index.fetch import fetch
from federation.publish.in_place import read_in_place
from federation.publish.publish import publish
from federation.result import ResultRecord
from regions.model import StoreConfig
from regions.storage import open_store, parse_store_url, store_url
from regions.storage.errors import InvalidStoreURL, NotFound
from regions.storage.url import folder_url

ALLOC = "7d1c7a2e-6c3f-4bb6-9d2a-1f6f2f9a0b11"


def environ_for(config: StoreConfig) -> dict[str, str]:
    return {
        "NOMAD_ALLOC_ID": ALLOC,
        "NOMAD_ALLOC_INDEX": "0",
        "NOMAD_GROUP_NAME": "pipeline",
        "NOMAD_JOB_ID": "train/dispatch-1-a",
        "NOMAD_DC": "dc1",
        "NOMAD_REGION": "us",
        "NOMAD_META_model_version": "4",
        "FEDML_STORES": json.dumps({"dc1": store_url(config)}),
    }


@pytest.fixture
def place(tmp_path: Path) -> StoreConfig:
    return StoreConfig(url=folder_url(tmp_path / "store a"))


def test_a_file_below_the_datacenters_store(place: StoreConfig, tmp_path: Path) -> None:
    store = open_store(place)
    (tmp_path / "store a/models b").mkdir(parents=True)
    (tmp_path / "store a/models b/model é.json").write_bytes(b"weights")  # not by fedml: its sha256 isn't known
    outcome = publish(store.url_of("models b/model é.json"), environ=environ_for(place), metrics={"auc": 0.7})
    record = outcome.record
    assert (record.store, record.prefix) == (place.url, "models b/")
    assert [(file.path, file.size_bytes, file.sha256) for file in record.files] == [
        ("model é.json", 7, hashlib.sha256(b"weights").hexdigest())
    ]
    keys = [info.key for info in store.list()]
    assert keys == ["models b/model é.json", record.key.record_key(ALLOC)]
    again = ResultRecord.from_json(store.get(keys[1]))
    assert again == record
    assert fetch(again, store, tmp_path / "got").files == 1
    assert (tmp_path / "got/model é.json").read_bytes() == b"weights"
    assert publish(store.url_of("models b/model é.json"), environ=environ_for(place)).was_there


def test_all_below_a_prefix_of_another_bucket_with_what_it_tells(s3_config: StoreConfig, tmp_path: Path) -> None:
    other = parse_store_url(store_url(s3_config).replace("/some/prefix", ""))
    bucket = open_store(other)
    bucket.put("old/run-7/model.bin", b"weights")
    bucket.put("old/run-7/metrics.json", b'{"auc": 0.7}')
    bucket.put("old/run-7/data.json", b'{"url": "https://me:planted@x/a.csv"}')
    bucket.put("old/run-7/logs/a.txt", b"log")
    bucket.put("old/run-70/model.bin", b"others")
    outcome = publish(f"{other.url}/old/run-7/", environ=environ_for(s3_config), ignore=["logs"])
    record = outcome.record
    assert [file.path for file in record.files] == ["data.json", "metrics.json", "model.bin"]
    assert record.metrics == {"auc": 0.7}
    assert record.environment["data_url"] == "https://x/a.csv"
    assert outcome.artifact_url == f"{other.url}/old/run-7"
    assert open_store(s3_config).exists(record.key.record_key(ALLOC))
    assert not any(info.key.startswith("artifacts/") for info in open_store(s3_config).list())
    fetch(record, open_store(parse_store_url(record.store)), tmp_path / "got")
    assert (tmp_path / "got/model.bin").read_bytes() == b"weights"


def test_a_folder_of_another_store_is_that_store(place: StoreConfig, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/model.bin").write_bytes(b"x")
    found = read_in_place(folder_url(tmp_path / "elsewhere") + "/", place, tmp_path)
    assert (found.store.url, found.prefix) == (folder_url(tmp_path), "elsewhere/")
    assert [file.path for file in found.artifact.files] == ["model.bin"]


def test_what_cannot_be_recorded(place: StoreConfig, tmp_path: Path) -> None:
    environ = environ_for(place)
    with pytest.raises(NotFound):
        publish(f"{place.url}/nothing.bin", environ=environ)
    with pytest.raises(PublishError, match="there is no object below"):
        publish(f"{place.url}/nothing/", environ=environ)
    with pytest.raises(PublishError, match="is not the URL of an object"):
        publish("s3://bucket", environ=environ)
    with pytest.raises(InvalidStoreURL, match="never holds credentials") as caught:
        publish("s3://me:planted@bucket", environ=environ)
    assert "planted" not in str(caught.value) + caught.value.hint
    assert list(open_store(place).list()) == []


def test_a_prefix_stands_in_the_record_only_where_there_is_one(place: StoreConfig, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"x")
    record = publish(tmp_path / "model.bin", environ=environ_for(place)).record.to_dict()
    assert "prefix" not in record
    assert ResultRecord.from_dict(record | {"prefix": ""}).artifact_prefix == ""
    with pytest.raises(PublishError, match="prefix is a number"):
        ResultRecord.from_dict(record | {"prefix": 3})
