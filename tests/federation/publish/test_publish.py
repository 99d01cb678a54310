"""Publishing: files first, record last, once; and what a failure leaves behind."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from federation.errors import PublishError
from federation.publish.publish import publish
from federation.publish.send import FILES_AT_ONCE
from federation.result import ResultRecord
from jobs.errors import FedmlError
from regions.model import StoreConfig
from regions.storage import Store, open_store
from regions.storage.errors import NotFound, PermissionDenied, StoreError, Unavailable
from regions.storage.file.store import FileStore
from regions.storage.url import folder_url
from tests.emulators.tmpfs import tmpfs

ALLOC = "7d1c7a2e-6c3f-4bb6-9d2a-1f6f2f9a0b11"
RECORD_KEY = f"results/0190/000000003/pipeline/1/{ALLOC}.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "model"
    (root / "plots").mkdir(parents=True)
    (root / "model.bin").write_bytes(b"weights")
    (root / "plots" / "roc.png").write_bytes(b"png")
    (root / "metrics.json").write_text('{"auc": 0.71, "loss": NaN}')
    (root / "environment.json").write_text('{"python": "3.12.1", "scikit-learn": "1.5.2"}')
    return root


@pytest.fixture
def place(tmp_path: Path) -> StoreConfig:
    return StoreConfig(url=folder_url(tmp_path / "store"))


@pytest.fixture
def environ(tmp_path: Path, place: StoreConfig) -> dict[str, str]:
    (tmp_path / "alloc").mkdir()
    return {
        "NOMAD_ALLOC_ID": ALLOC,
        "NOMAD_ALLOC_INDEX": "1",
        "NOMAD_ALLOC_DIR": str(tmp_path / "alloc"),
        "NOMAD_GROUP_NAME": "pipeline",
        "NOMAD_JOB_ID": "train/dispatch-1-a",
        "NOMAD_JOB_PARENT_ID": "train",
        "NOMAD_DC": "dc1",
        "NOMAD_REGION": "us",
        "NOMAD_META_fedml_run": "0190",
        "NOMAD_META_fedml_slot": "3",
        "NOMAD_META_fedml_attempt": "2",
        "NOMAD_META_fedml_spec": "spec",
        "NOMAD_META_model_version": "4",
        "NOMAD_META_epochs": "5",
        "FEDML_STORES": json.dumps({"dc1": place.url}),
        "FEDML_NODE": "node-1",
    }


def keys(store: Store) -> list[str]:
    return [info.key for info in store.list()]


def test_record_and_artifact_are_in_the_datacenters_store(
    folder: Path, environ: dict[str, str], place: StoreConfig, tmp_path: Path
) -> None:
    outcome = publish(folder, environ=environ, metrics={"auc": 0.9, "note": "x"})
    store = open_store(place)
    record = ResultRecord.from_json(store.get(RECORD_KEY))
    prefix = f"artifacts/0190/000000003/pipeline/1/{ALLOC}/{record.manifest_sha256}/"
    assert keys(store) == [
        *(prefix + name for name in ("environment.json", "metrics.json", "model.bin", "plots/roc.png")),
        RECORD_KEY,
    ]
    assert store.get(f"{prefix}model.bin") == b"weights"
    assert (record.job, record.version, record.region, record.datacenter, record.node) == (
        "train",
        "4",
        "us",
        "dc1",
        "node-1",
    )
    assert (record.attempt, record.spec_hash, record.job_id) == (2, "spec", "train/dispatch-1-a")
    assert record.store == outcome.store_url == place.url
    assert record.params == {"epochs": "5"}
    assert record.metrics["auc"] == 0.9
    assert math.isnan(float(record.metrics["loss"]))
    assert record.environment["scikit-learn"] == "1.5.2"
    assert record.environment["python"] == "3.12.1"
    assert not outcome.was_there
    assert outcome.record_url == store.url_of(RECORD_KEY)
    assert outcome.artifact_url == store.url_of(prefix.rstrip("/"))
    assert (tmp_path / "alloc/fedml/result.json").read_bytes() == store.get(RECORD_KEY)


def test_twice_by_the_same_allocation_is_the_same_outcome(
    folder: Path, environ: dict[str, str], place: StoreConfig, tmp_path: Path
) -> None:
    first = publish(folder, environ=environ)
    before = keys(open_store(place))
    (tmp_path / "alloc/fedml/result.json").unlink()
    second = publish(folder, environ=environ)
    assert second.was_there
    assert second.record.to_json() == first.record.to_json()
    assert (second.record_url, second.artifact_url) == (first.record_url, first.artifact_url)
    assert keys(open_store(place)) == before
    assert (tmp_path / "alloc/fedml/result.json").exists()


def test_another_artifact_of_the_same_allocation_is_refused(
    folder: Path, environ: dict[str, str], place: StoreConfig
) -> None:
    publish(folder, environ=environ)
    store = open_store(place)
    before, record = keys(store), store.get(RECORD_KEY)
    (folder / "model.bin").write_bytes(b"others!")
    with pytest.raises(PublishError, match="has already published another artifact"):
        publish(folder, environ=environ)
    assert (keys(store), store.get(RECORD_KEY)) == (before, record)


def test_another_allocation_adds_a_record(folder: Path, environ: dict[str, str], place: StoreConfig) -> None:
    publish(folder, environ=environ)
    publish(folder, environ=environ | {"NOMAD_ALLOC_ID": "b" + ALLOC[1:]})
    assert len([key for key in keys(open_store(place)) if key.startswith("results/")]) == 2


def test_under_plain_nomad_it_is_an_ad_hoc_run(folder: Path, environ: dict[str, str], place: StoreConfig) -> None:
    plain = {name: value for name, value in environ.items() if not name.startswith("NOMAD_META_fedml")}
    outcome = publish(folder / "model.bin", environ=plain, metrics={"auc": math.inf})
    key = f"results/nomad:us:train~2Fdispatch-1-a/000000000/pipeline/1/{ALLOC}.json"
    record = ResultRecord.from_json(open_store(place).get(key))
    assert record == outcome.record
    assert record.metrics == {"auc": math.inf}
    assert [file.path for file in record.files] == ["model.bin"]


@pytest.mark.parametrize("fails_at", [1, 2, 3, 4, 5])
def test_interrupted_anywhere_there_is_no_record_and_the_next_try_goes_on(
    folder: Path, environ: dict[str, str], place: StoreConfig, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    write = FileStore._write
    count = 0

    def failing(self: FileStore, key: str, *args: object) -> object:
        nonlocal count
        count += 1
        if count == fails_at:
            raise Unavailable("the line is down", store=self.url, operation="put", key=key)
        return write(self, key, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(FileStore, "_write", failing)
    with pytest.raises(Unavailable):
        publish(folder, environ=environ)
    assert not open_store(place).exists(RECORD_KEY)
    outcome = publish(folder, environ=environ)
    assert not outcome.was_there
    assert open_store(place).exists(RECORD_KEY)


_DYING = """
import os, signal, sys, threading
from pathlib import Path
from federation.publish.publish import publish
from federation.publish.send import FILES_AT_ONCE
from regions.storage.file.write import ObjectWrite

when, number = sys.argv[2], int(sys.argv[3])
lock, seen, place = threading.Lock(), 0, ObjectWrite._place

def dying(self, *arguments):
    global seen
    with lock:
        seen += 1
        here = seen == number
    if here and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    place(self, *arguments)
    if here:
        os.kill(os.getpid(), signal.SIGKILL)

ObjectWrite._place = dying
publish(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("moment", [f"{when}:{number}" for number in range(1, 6) for when in ("before", "after")])
def test_killed_anywhere_there_is_no_half_result_and_the_next_try_goes_on(
    folder: Path, environ: dict[str, str], place: StoreConfig, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Four files, then the record: five writes. Killed after the last one, all is published."""
    when, _, number = moment.partition(":")
    done = subprocess.run(
        [sys.executable, "-c", _DYING, str(folder), when, number], env=os.environ | environ, check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    store = open_store(place)
    assert store.exists(RECORD_KEY) == (moment == "after:5")
    there = {info.key: info.etag for info in store.list("artifacts/")}
    assert all(store.get(key) for key in there)  # whole: their sha256 is verified
    sent: list[str] = []
    put_file = FileStore.put_file

    def counting(self: FileStore, key: str, path: Path, **named: str) -> object:
        sent.append(key)
        return put_file(self, key, path, **named)

    monkeypatch.setattr(FileStore, "put_file", counting)
    outcome = publish(folder, environ=environ)
    assert outcome.was_there == (moment == "after:5")
    assert len(sent) == (0 if outcome.was_there else 4 - len(there))
    assert {info.key: info.etag for info in store.list("artifacts/")}.items() >= there.items()
    assert store.get(RECORD_KEY) == outcome.record.to_json()


def test_damaged_bytes_of_an_earlier_try_are_sent_again(
    folder: Path, environ: dict[str, str], place: StoreConfig
) -> None:
    record = publish(folder, environ=environ).record
    store = open_store(place)
    store.delete(RECORD_KEY)
    store.put(record.artifact_prefix + "model.bin", b"weightz")
    publish(folder, environ=environ)
    assert store.get(record.artifact_prefix + "model.bin") == b"weights"


def test_many_and_large_files_go_side_by_side_within_bounds(
    folder: Path, environ: dict[str, str], place: StoreConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        (folder / f"small-{number}").write_bytes(b"%d" % number * 1000)
    for number in range(3):
        (folder / f"large-{number}").write_bytes(b"x" * (FILES_AT_ONCE[-1][0] + 1 + number))
    lock, running, most = threading.Lock(), {"small": 0, "large": 0}, {"small": 0, "large": 0}
    together = threading.Barrier(2)
    put_file = FileStore.put_file

    def watched(self: FileStore, key: str, path: Path, **named: str) -> object:
        kind = "large" if path.name.startswith("large") else "small"
        with lock:
            running[kind] += 1
            most[kind] = max(most[kind], running[kind])
            assert kind == "large" or not running["large"]
        if path.name in ("small-1", "small-2"):
            together.wait(timeout=30)  # only passed when both are under way at once
        info = put_file(self, key, path, **named)
        with lock:
            running[kind] -= 1
        return info

    monkeypatch.setattr(FileStore, "put_file", watched)
    assert len(publish(folder, environ=environ).record.files) == 47
    assert most["large"] == 1
    assert 2 <= most["small"] <= FILES_AT_ONCE[0][1]


def test_origin_and_data_stand_in_the_record(folder: Path, environ: dict[str, str]) -> None:
    (folder / "data.json").write_text(json.dumps({"url": "https://me:planted@data/a.csv", "sha256": "ab" * 32}))
    environ |= {"GIT_COMMIT": "01" * 20, "NOMAD_CPU_LIMIT": "500", "NOMAD_MEMORY_LIMIT": "256"}
    found = publish(folder, environ=environ, origin={"format": "onnx"}).record.environment
    assert (found["git_commit"], found["format"]) == ("01" * 20, "onnx")
    assert (found["data_url"], found["data_sha256"]) == ("https://data/a.csv", "ab" * 32)
    assert (found["task_cpu_mhz"], found["task_memory_mb"]) == ("500", "256")


def test_a_file_that_changes_between_hash_and_copy_is_refused(
    folder: Path, environ: dict[str, str], place: StoreConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_file = FileStore.put_file

    def changing(self: FileStore, key: str, path: Path, **named: str) -> object:
        if path.name == "model.bin":
            path.write_bytes(b"changed")
        return put_file(self, key, path, **named)

    monkeypatch.setattr(FileStore, "put_file", changing)
    with pytest.raises(StoreError, match=r"model\.bin changed"):
        publish(folder, environ=environ)
    assert not open_store(place).exists(RECORD_KEY)


def test_a_node_that_may_not_read_publishes_all_the_same(
    folder: Path, environ: dict[str, str], place: StoreConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: FileStore, key: str) -> bytes:
        raise PermissionDenied("no read here", store=self.url, operation="get", key=key)

    with monkeypatch.context() as patch:
        patch.setattr(FileStore, "get", refuse)
        assert not publish(folder, environ=environ).was_there
        with pytest.raises(PublishError, match="its record can't be read from here"):
            publish(folder, environ=environ)
    assert publish(folder, environ=environ).was_there


def test_a_full_disk_leaves_no_record(folder: Path, environ: dict[str, str], tmp_path: Path) -> None:
    (folder / "large.bin").write_bytes(b"x" * 400_000)
    with tmpfs(tmp_path / "small", size_kb=256) as small:
        place = StoreConfig(url=folder_url(small / "store"))
        environ["FEDML_STORES"] = json.dumps({"dc1": place.url})
        with pytest.raises(StoreError, match="no room left to write artifacts/") as caught:
            publish(folder, environ=environ)
        assert "make room" in caught.value.hint
        store = open_store(place)
        assert not store.exists(RECORD_KEY)
        assert all(info.size_bytes < 400_000 for info in store.list())
        (folder / "large.bin").write_bytes(b"x" * 40_000)
        assert not publish(folder, environ=environ).was_there


def test_a_full_allocation_folder_is_told_but_does_not_undo_it(
    folder: Path, environ: dict[str, str], place: StoreConfig, tmp_path: Path
) -> None:
    (tmp_path / "alloc/fedml").write_text("a file is in the way")
    outcome = publish(folder, environ=environ)
    assert open_store(place).exists(RECORD_KEY)
    assert len(outcome.notes) == 1
    assert "could not be copied" in outcome.notes[0]


def test_a_path_that_makes_too_long_a_key_is_refused_before_anything_is_sent(
    folder: Path, environ: dict[str, str], place: StoreConfig
) -> None:
    deep = folder.joinpath(*(["d" * 200] * 5))
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"")
    with pytest.raises(PublishError, match="more than 1024 bytes"):
        publish(folder, environ=environ)
    assert keys(open_store(place)) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"NOMAD_ALLOC_ID": ""}, "this is not a Nomad task"),
        ({"FEDML_STORES": '{"dc1": "ftp://bucket/x"}'}, "no store is known for ftp://"),
        ({"FEDML_STORES": '{"dc1": "s3://me:planted-secret@bucket"}'}, "never holds credentials"),
        ({"NOMAD_META_fedml_run": "../x"}, "can't be part of an object's key"),
    ],
)
def test_bad_environments_are_one_clear_error(
    folder: Path, environ: dict[str, str], change: dict[str, str], told: str
) -> None:
    with pytest.raises(FedmlError) as caught:
        publish(folder, environ=environ | change)
    assert told in str(caught.value)
    assert "planted-secret" not in str(caught.value) + caught.value.hint


def test_nothing_is_left_where_nothing_can_be_published(
    environ: dict[str, str], tmp_path: Path, place: StoreConfig
) -> None:
    with pytest.raises(PublishError):
        publish(tmp_path / "nowhere", environ=environ)
    with pytest.raises(NotFound):
        open_store(place).get(RECORD_KEY)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("text", ['{"auc": 0.7, "note": "\\ud800"}', '{"auc": 0.7, "auc": 0.8}', "{", "\udcff"])
def test_odd_metrics_never_keep_a_result_from_being_published(folder: Path, environ: dict[str, str], text: str) -> None:
    (folder / "metrics.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    outcome = publish(folder, environ=environ)
    assert len(outcome.notes) == 1
    assert "left out" in outcome.notes[0]
    again = publish(folder, environ=environ)
    assert (again.was_there, again.record) == (True, outcome.record)
