"""Publishing into an S3 store, addressed as nodes address it: by the URL in FEDML_STORES alone."""

from __future__ import annotations

import json
from pathlib import Path

from federation.publish import publish
from federation.result import ResultRecord
from regions.model import StoreConfig
from regions.storage import open_store, store_url
from tests.emulators.fixtures import aws_credentials, moto_endpoint, s3_config

__all__ = ["aws_credentials", "moto_endpoint", "s3_config"]


def test_files_and_record_land_in_the_bucket_once(s3_config: StoreConfig, tmp_path: Path) -> None:
    (tmp_path / "model/sub").mkdir(parents=True)
    (tmp_path / "model/sub/wéights.bin").write_bytes(b"w" * 1000)
    (tmp_path / "model/empty").write_bytes(b"")
    environ = {
        "NOMAD_ALLOC_ID": "7d1c7a2e-6c3f-4bb6-9d2a-1f6f2f9a0b11",
        "NOMAD_ALLOC_INDEX": "0",
        "NOMAD_GROUP_NAME": "pipeline",
        "NOMAD_JOB_ID": "train/dispatch-1-a",
        "NOMAD_DC": "us-east-1",
        "NOMAD_REGION": "us",
        "NOMAD_META_model_version": "4",
        "FEDML_STORES": json.dumps({"us-east-1": store_url(s3_config)}),
    }
    first = publish(tmp_path / "model", environ=environ)
    second = publish(tmp_path / "model", environ=environ)
    store = open_store(s3_config)
    keys = [info.key for info in store.list()]
    record = ResultRecord.from_json(store.get(keys[-1]))
    assert (first.was_there, second.was_there) == (False, True)
    assert record == first.record == second.record
    assert keys[:-1] == [record.artifact_prefix + name for name in ("empty", "sub/wéights.bin")]
    assert store.get(keys[1]) == b"w" * 1000
    assert first.record_url == f"{s3_config.url}/{keys[-1]}"
    assert record.store == store_url(s3_config)
