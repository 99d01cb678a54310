"""A result is copied between stores byte by byte verified, known to the index, and taken from whichever copy is whole."""

from __future__ import annotations

import dataclasses
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from federation.errors import UsageError
from federation.index.maintenance.copy import Copied, copy_result
from federation.index.maintenance.gc import run_gc
from federation.index.maintenance.retention import Retention
from federation.index.maintenance.verify import verify
from federation.result import ResultRecord
from regions.storage.errors import IntegrityError, NotFound, Unavailable
from tests.federation.conftest import MemoryStore
from tests.federation.index.conftest import Clouds as CloudsInFolders

Clouds = Any


def copy(clouds: Clouds, record: ResultRecord, target: str = "") -> Copied:
    return copy_result(clouds.index, clouds.store, clouds.index.result(record.alloc_id), target or clouds.eu.url)


def get(clouds: Clouds, record: ResultRecord, to: Path) -> Any:
    row = clouds.index.result(record.alloc_id)
    return clouds.index.get(row, open_store=clouds.store, to=to)


def problems(clouds: Clouds) -> list[str]:
    return [problem.kind for problem in verify(clouds.home, clouds.store, clouds.names, deep=True).problems]


def model(record: ResultRecord) -> str:
    return record.artifact_prefix + "model/model.bin"


def damage(clouds: Clouds, store: str, key: str) -> None:
    path = clouds.root / store / key
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(bytes(data))


def test_a_copy_is_the_same_and_known(clouds: Clouds) -> None:
    record = clouds.publish(0)

    assert copy(clouds, record) == Copied(record.alloc_id, clouds.eu.url, 2, record.size_bytes, is_new=True)

    assert {info.key: info.size_bytes for info in clouds.eu.list()} == {
        info.key: info.size_bytes for info in clouds.us.list()
    }
    assert problems(clouds) == []


def test_copied_again_nothing_is_sent_or_written(clouds: Clouds) -> None:
    record = clouds.publish(0)
    copy(clouds, record)
    revision = verify(clouds.home, clouds.store, clouds.names).revision

    assert copy(clouds, record) == Copied(record.alloc_id, clouds.eu.url, 0, 0, is_new=False)

    assert verify(clouds.home, clouds.store, clouds.names).revision == revision


def test_get_takes_the_first_copy_that_is_whole(clouds: Clouds, tmp_path: Path) -> None:
    record = clouds.publish(0)
    copy(clouds, record)
    assert get(clouds, record, tmp_path / "one").store == clouds.us.url
    damage(clouds, "us", model(record))

    fetched = get(clouds, record, tmp_path / "two")

    assert fetched.store == clouds.eu.url
    assert (tmp_path / "two/model/model.bin").read_bytes() == (tmp_path / "one/model/model.bin").read_bytes()


def test_get_takes_a_copy_in_a_folder_before_one_in_a_cloud(tmp_path: Path) -> None:
    clouds = CloudsInFolders(tmp_path / "project", us=MemoryStore("memory://models"))
    record = clouds.publish(0)
    copy(clouds, record)

    assert get(clouds, record, tmp_path / "one").store == clouds.eu.url
    damage(clouds, "eu", model(record))
    assert get(clouds, record, tmp_path / "two").store == clouds.us.url
    clouds.index.close()


def test_without_a_whole_copy_get_says_what_is_wrong_with_the_first(clouds: Clouds, tmp_path: Path) -> None:
    record = clouds.publish(0)
    copy(clouds, record)
    damage(clouds, "us", model(record))
    clouds.eu.delete(model(record))

    with pytest.raises(IntegrityError):
        get(clouds, record, tmp_path / "model")

    assert not (tmp_path / "model").exists()


def test_a_copy_mends_the_store_where_it_was_made(clouds: Clouds) -> None:
    record = clouds.publish(0)
    copy(clouds, record)
    damage(clouds, "us", model(record))
    clouds.us.delete(record.artifact_prefix + "metrics.json")
    clouds.us.delete(record.key.record_key(record.alloc_id))
    assert sorted(problems(clouds)) == ["file-changed", "file-missing", "record-missing"]

    done = copy(clouds, record, clouds.us.url)

    assert (done.files, done.is_new) == (2, False)
    assert problems(clouds) == []


def test_damaged_bytes_are_never_taken_on(clouds: Clouds) -> None:
    record = clouds.publish(0)
    damage(clouds, "us", model(record))

    with pytest.raises(NotFound, match="no copy of model/model") as raised:
        copy(clouds, record)

    assert "sha256" in raised.value.message
    assert not clouds.eu.exists(model(record))
    assert not clouds.eu.exists(record.key.record_key(record.alloc_id))


def test_another_record_in_the_way_is_refused(clouds: Clouds) -> None:
    record = clouds.publish(0)
    other = dataclasses.replace(record, metrics={"auc": 0.99})
    clouds.eu.put(record.key.record_key(record.alloc_id), other.to_json())

    with pytest.raises(IntegrityError, match="another record"):
        copy(clouds, record)

    assert clouds.index.ask(lambda catalog: catalog.values("SELECT store FROM location")) == []


def test_what_was_adopted_or_removed_is_not_copied(clouds: Clouds) -> None:
    clouds.us.put("mine/model.bin", b"x")
    adopted = clouds.publish(0, prefix="mine/", files={"model.bin": b"x"})
    with pytest.raises(UsageError, match="was adopted"):
        copy(clouds, adopted)
    record = clouds.publish(0, run="nomad:us/1")
    rule = Retention()
    for days in (0, 2):
        run_gc(clouds.index, clouds.stores, rule, datetime.now(UTC) + timedelta(days=days))
    with pytest.raises(UsageError, match="was removed by gc"):
        copy(clouds, record)


def test_removed_while_it_is_copied_leaves_nothing(clouds: Clouds) -> None:
    record = clouds.publish(0)

    class Slow:
        """The target; while the record is written, a gc removes the result."""

        def __getattr__(self, name: str) -> Any:
            return getattr(clouds.eu, name)

        def put(self, key: str, *given: Any, **named: Any) -> Any:
            done = clouds.eu.put(key, *given, **named)
            clouds.another_index("gc").change(lambda _: [{"type": "remove", "alloc_id": record.alloc_id}])
            return done

    def store(url: str, result: Any = None) -> Any:
        return Slow() if url == clouds.eu.url else clouds.store(url)

    with pytest.raises(UsageError, match="was removed by gc"):
        copy_result(clouds.index, store, clouds.index.result(record.alloc_id), clouds.eu.url)

    assert list(clouds.eu.list()) == []


def test_a_target_that_breaks_off_leaves_no_record_and_goes_on(clouds: Clouds) -> None:
    record = clouds.publish(0, files={f"part-{number}": bytes([number]) * 100 for number in range(8)})

    class Breaking:
        sent = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(clouds.eu, name)

        def put_file(self, *given: Any, **named: Any) -> Any:
            self.sent += 1
            if self.sent > 3:
                raise Unavailable("gone", store=clouds.eu.url)
            return clouds.eu.put_file(*given, **named)

    broken = Breaking()
    with pytest.raises(Unavailable):
        copy_result(
            clouds.index,
            lambda url, result=None: broken if url == clouds.eu.url else clouds.store(url),  # type: ignore[arg-type,return-value]
            clouds.index.result(record.alloc_id),
            clouds.eu.url,
        )
    assert not clouds.eu.exists(record.key.record_key(record.alloc_id))

    assert copy(clouds, record).files == 5
    assert problems(clouds) == []


def test_memory_stays_bounded(clouds: Clouds) -> None:
    size_bytes = 48 << 20
    record = clouds.publish(0, files={"large.bin": b"\0" * size_bytes})
    tracemalloc.start()
    try:
        copy(clouds, record)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < size_bytes / 2
