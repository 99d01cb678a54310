"""One coordinator a run at a time: who holds the lease, when a holder counts as gone, and who is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from federation.errors import RunIsDriven
from federation.run.driver import Driver, driver_of
from federation.run.lease import LEASE_S, Lease
from regions.model import StoreConfig
from regions.storage import open_store
from regions.storage.store import Store

RUN = "0193-run"


@dataclass
class Clock:
    """Moves when it is waited on; `then` is what happens meanwhile, by the second."""

    now_s: float = 0.0
    then: dict[float, Callable[[], object]] = field(default_factory=dict)

    def __call__(self) -> float:
        return self.now_s

    def pause(self, seconds: float) -> None:
        self.now_s += seconds
        self.then.pop(self.now_s, lambda: None)()


@pytest.fixture
def home(tmp_path: Path) -> Store:
    return open_store(StoreConfig(f"file://{tmp_path}/home"))


_made: list[Lease] = []


@pytest.fixture(autouse=True)
def release_all() -> Iterator[None]:
    """No lease outlives its test."""
    yield
    while _made:
        _made.pop().release()


def _lease(home: Store, folder: Path, clock: Clock | None = None, author: str = "ann@laptop", **more: float) -> Lease:
    clock = clock or Clock()
    lease = Lease(home, RUN, author=author, folder=folder, clock=clock, pause=clock.pause, **more)
    _made.append(lease)
    return lease


def _objects(home: Store) -> list[str]:
    return [info.key.rpartition("/")[2] for info in home.list(f"runs/{RUN}/lease/")]


def test_a_free_run_is_held_at_once_and_one_that_was_let_go_too(home: Store, tmp_path: Path) -> None:
    with _lease(home, tmp_path / "a") as first:
        assert first.acquire()
    clock = Clock()
    with _lease(home, tmp_path / "b", clock) as second:
        assert second.acquire()
    assert clock.now_s == 0
    assert _objects(home) == [f"{number:020d}.json" for number in (1, 2, 3, 4)]


def test_a_holder_elsewhere_that_stands_still_is_gone_after_one_lifetime(home: Store, tmp_path: Path) -> None:
    """By the watcher's clock alone; the holder's machine isn't this one."""
    assert _lease(home, tmp_path / "a").acquire()
    clock, told = Clock(), list[str]()
    with _lease(home, tmp_path / "b", clock, "bob@desk") as second:
        assert second.acquire(tell=told.append)
    assert LEASE_S < clock.now_s <= LEASE_S + 2
    assert told == [f"Run {RUN} was driven by ann@laptop: looking for 60 s whether that still lives"]


def test_a_holder_that_lives_is_named(home: Store, tmp_path: Path) -> None:
    first = _lease(home, tmp_path / "a")
    assert first.acquire()
    clock = Clock(then={20.0: lambda: first._make(2, first._self)})
    with (
        _lease(home, tmp_path / "b", clock, "bob@desk") as second,
        pytest.raises(RunIsDriven, match=f"run {RUN} is driven by ann@laptop"),
    ):
        second.acquire()
    assert clock.now_s == 20


def test_a_patient_one_stands_by_until_the_holder_is_gone_or_the_run_over(home: Store, tmp_path: Path) -> None:
    first = _lease(home, tmp_path / "a")
    assert first.acquire()
    clock = Clock(then={20.0: lambda: first._make(2, first._self), 40.0: first.release})
    with _lease(home, tmp_path / "b", clock) as second:
        assert second.acquire(is_patient=True)
        assert clock.now_s == 40
        third_clock = Clock()
        with _lease(home, tmp_path / "c", third_clock) as third:
            assert not third.acquire(is_patient=True, is_over=lambda: third_clock.now_s >= 5)


def test_a_process_of_this_machine_that_was_killed_frees_its_lease_at_once(home: Store, tmp_path: Path) -> None:
    first = _lease(home, tmp_path / "same")
    assert first.acquire()
    clock = Clock()
    second = _lease(home, tmp_path / "same", clock)
    clock.then[5.0] = lambda: first._lock and first._lock.close()
    assert second.acquire()
    assert clock.now_s == 5
    second.release()


def test_of_many_that_begin_at_once_one_holds_it(home: Store, tmp_path: Path) -> None:
    barrier, held = threading.Barrier(8), list[int]()

    def begin(number: int) -> None:
        lease = _lease(home, tmp_path / str(number), lease_s=3600)
        barrier.wait()
        if lease.acquire(is_over=lambda: bool(held)):
            held.append(number)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) == 1


def test_a_holder_renews_and_hears_when_it_was_taken_over(home: Store, tmp_path: Path) -> None:
    lease, lost = _lease(home, tmp_path / "a", lease_s=0.03), threading.Event()
    lease.on_lost = lost.set
    assert lease.acquire()
    for _ in range(200):
        if len(_objects(home)) >= 3 or lost.wait(0.01):
            break
    assert not lost.is_set()
    thief = _lease(home, tmp_path / "b", lease_s=3600)
    while not thief._make(len(_objects(home)) + 1, thief._self):
        pass
    assert lost.wait(60)
    before = _objects(home)
    lease.release()
    assert _objects(home) == before


def _driver(home: Store, folder: Path, **more: Any) -> Driver:
    return driver_of(home, RUN, folder=folder, lease_s=LEASE_S, **more)


def test_a_run_is_driven_from_the_lease_on_until_it_is_given_back(home: Store, tmp_path: Path) -> None:
    assert _driver(home, tmp_path) == Driver(False)
    lease = _lease(home, tmp_path)
    lease.acquire()
    assert _driver(home, tmp_path) == Driver(True, "ann@laptop")
    lease.release()
    assert _driver(home, tmp_path) == Driver(False, "ann@laptop")
    assert f"fedml runs resume {RUN}" in _driver(home, tmp_path).remedy(RUN)


def test_a_process_of_this_machine_that_is_gone_drives_nothing(home: Store, tmp_path: Path) -> None:
    lease = _lease(home, tmp_path)
    lease.acquire()
    lock = tmp_path / f"{RUN}.lock"
    lock.rename(tmp_path / "kept")  # as after a kill and a restart of the machine
    assert _driver(home, tmp_path) == Driver(False, "ann@laptop")
    lock.touch()
    assert _driver(home, tmp_path) == Driver(False, "ann@laptop")


def test_a_process_elsewhere_is_gone_after_a_long_silence(home: Store, tmp_path: Path) -> None:
    _lease(home, tmp_path / "there").acquire()
    now = datetime.now(UTC)
    assert _driver(home, tmp_path / "here", now=now).is_driving
    assert not _driver(home, tmp_path / "here", now=now + timedelta(seconds=4 * LEASE_S)).is_driving
