"""Publishing into each cloud's store, addressed as nodes address it: by the URL in FEDML_STORES, with the node's own
credentials."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from federation.index.fetch import fetch
from federation.publish.publish import publish
from federation.result import ResultRecord
from regions.model import StoreConfig
from regions.storage import open_store, parse_store_url, store_url
from tests.emulators import azurite


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("AZURE_STORAGE_KEY", azurite.KEY)
    return {
        "NOMAD_ALLOC_ID": "7d1c7a2e-6c3f-4bb6-9d2a-1f6f2f9a0b11",
        "NOMAD_ALLOC_INDEX": "0",
        "NOMAD_GROUP_NAME": "pipeline",
        "NOMAD_JOB_ID": "train/dispatch-1-a",
        "NOMAD_DC": "dc1",
        "NOMAD_REGION": "us",
        "NOMAD_META_model_version": "4",
    }


def place_of(cloud: str, request: pytest.FixtureRequest, environ: dict[str, str]) -> StoreConfig:
    """The cloud's store as a node has it; its URL is put into the environment."""
    config: StoreConfig = request.getfixturevalue(cloud)
    if cloud == "azure_config":
        request.getfixturevalue("monkeypatch").setenv("AZURE_STORAGE_KEY", azurite.KEY)
    environ["FEDML_STORES"] = json.dumps({"dc1": store_url(config)})
    return parse_store_url(store_url(config))


@pytest.mark.parametrize("cloud", ["s3_config", "gcs_config", "azure_config"])
def test_files_and_record_land_once(
    cloud: str, request: pytest.FixtureRequest, environ: dict[str, str], tmp_path: Path
) -> None:
    place = place_of(cloud, request, environ)
    (tmp_path / "model/sub").mkdir(parents=True)
    (tmp_path / "model/sub/wéights.bin").write_bytes(b"w" * 1000)
    (tmp_path / "model/empty").write_bytes(b"")
    first = publish(tmp_path / "model", environ=environ)
    second = publish(tmp_path / "model", environ=environ)
    store = open_store(place)
    keys = [info.key for info in store.list()]
    record = ResultRecord.from_json(store.get(keys[-1]))
    assert (first.was_there, second.was_there) == (False, True)
    assert record == first.record == second.record
    assert keys[:-1] == [record.artifact_prefix + name for name in ("empty", "sub/wéights.bin")]
    assert store.get(keys[1]) == b"w" * 1000
    assert first.record_url == f"{place.url}/{keys[-1]}"
    assert record.store == store_url(place)


@pytest.mark.parametrize("cloud", ["s3_config", "gcs_config", "azure_config"])
def test_an_interrupted_try_is_gone_on_with(
    cloud: str, request: pytest.FixtureRequest, environ: dict[str, str], tmp_path: Path
) -> None:
    place = place_of(cloud, request, environ)
    (tmp_path / "model").mkdir()
    for number in range(5):
        (tmp_path / f"model/{number}").write_bytes(b"x" * number)
    store = open_store(place)
    record = publish(tmp_path / "model", environ=environ).record
    record_key = record.key.record_key(record.alloc_id)
    store.delete(record_key)
    store.delete(record.artifact_prefix + "3")
    before = {info.key: info.etag for info in store.list("artifacts/")}
    assert not publish(tmp_path / "model", environ=environ).was_there
    after = {info.key: info.etag for info in store.list("artifacts/")}
    assert len(after) == 5
    assert after.items() >= before.items()
    assert store.exists(record_key)


@pytest.mark.parametrize("cloud", ["s3_config", "gcs_config", "azure_config"])
def test_what_lies_there_is_recorded_where_it_is(
    cloud: str, request: pytest.FixtureRequest, environ: dict[str, str], tmp_path: Path
) -> None:
    place = place_of(cloud, request, environ)
    store = open_store(place)
    store.put("own/run 7/model.bin", b"weights")
    record = publish(f"{place.url}/own/run 7/", environ=environ).record
    assert (record.prefix, [file.path for file in record.files]) == ("own/run 7/", ["model.bin"])
    fetch(record, open_store(parse_store_url(record.store)), tmp_path / "got")
    assert (tmp_path / "got/model.bin").read_bytes() == b"weights"
    other = publish(
        f"{place.url}/own/run 7/model.bin", environ=environ | {"NOMAD_ALLOC_ID": "b1c7a2e0-0000-4000-8000-000000000000"}
    ).record
    assert other.files == record.files
