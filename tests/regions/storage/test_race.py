"""Negative controls: stores that break a promise, and the races that must notice."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from regions.model import StoreConfig
from regions.storage.errors import PreconditionFailed, Unavailable
from regions.storage.file.store import FileStore
from regions.storage.race import race_create, race_update, together
from regions.storage.s3.store import S3Store
from regions.storage.store import Create, Mode, ObjectInfo, Overwrite, Update
from regions.storage.url import folder_url


class Broken(FileStore):
    """A folder whose promises are weakened by `mode_for`."""

    def mode_for(self, key: str, mode: Mode) -> Mode:
        raise NotImplementedError

    def put(
        self,
        key: str,
        data: bytes,
        mode: Mode = Overwrite(),
        *,
        content_type: str = "text/plain",
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        return super().put(key, data, self.mode_for(key, mode), content_type=content_type, metadata=metadata)


class EveryWriterWins(Broken):
    def mode_for(self, key: str, mode: Mode) -> Mode:
        return Overwrite()


class ChecksThenWrites(Broken):
    """What most tools do; its two steps are held apart until all writers have taken the first."""

    barrier = threading.Barrier(4)

    def mode_for(self, key: str, mode: Mode) -> Mode:
        if not isinstance(mode, Create):
            return mode
        is_free = not self.exists(key)
        self.barrier.wait(timeout=30)
        return Overwrite() if is_free else mode


class IgnoresEtags(Broken):
    def mode_for(self, key: str, mode: Mode) -> Mode:
        return Overwrite() if isinstance(mode, Update) else mode


class Fails(Broken):
    def mode_for(self, key: str, mode: Mode) -> Mode:
        raise Unavailable("the line is down")


def store(kind: type[FileStore], folder: Path) -> FileStore:
    return kind(StoreConfig(url=folder_url(folder)))


def test_a_sound_store_passes_and_nothing_is_left(tmp_path: Path) -> None:
    sound = store(FileStore, tmp_path)
    outcome = race_create(sound, writers=8, rounds=3)
    assert outcome.holds
    assert (outcome.writers, outcome.winners, outcome.problem) == (8, (1, 1, 1), "")
    assert race_update(sound, writers=2, increments=3) == 6
    assert list(sound.list()) == []


@pytest.mark.parametrize("kind", [EveryWriterWins, ChecksThenWrites])
def test_create_that_is_not_atomic_is_caught(kind: type[FileStore], tmp_path: Path) -> None:
    outcome = race_create(store(kind, tmp_path), writers=4, rounds=2)
    assert not outcome.holds
    assert outcome.winners == (4, 4)
    assert "of 4 writers creating one key, 4 were told that they had created it" in outcome.problem


def test_a_server_that_ignores_conditions_is_caught(rclone_config: StoreConfig) -> None:
    server = S3Store(rclone_config)
    server.put("key", b"it answers")
    outcome = race_create(server, writers=8, rounds=3)
    assert not outcome.holds
    assert "were told that they had created it" in outcome.problem
    stale = server.put("key", b"1").etag
    server.put("key", b"22")
    server.put("key", b"333", Update(stale))  # sequential code sees nothing wrong
    assert server.get("key") == b"333"


def test_errors_are_no_victory(tmp_path: Path) -> None:
    outcome = race_create(store(Fails, tmp_path), writers=2, rounds=1)
    assert not outcome.holds
    assert "the line is down" in outcome.problem


def test_an_ignored_etag_is_caught(tmp_path: Path) -> None:
    loose = store(IgnoresEtags, tmp_path)
    stale = loose.put("key", b"1").etag
    loose.put("key", b"2")
    loose.put("key", b"3", Update(stale))
    assert loose.get("key") == b"3"
    with pytest.raises(PreconditionFailed):
        store(FileStore, tmp_path).put("key", b"4", Update(stale))


def test_an_error_in_any_thread_reaches_the_caller() -> None:
    def act(number: int) -> int:
        if number == 2:
            raise Unavailable("number 2")
        return number

    with pytest.raises(Unavailable, match="number 2"):
        together(4, act)
    assert together(3, lambda number: number) == [0, 1, 2]
