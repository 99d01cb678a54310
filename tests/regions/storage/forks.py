"""A store's configuration enters, what became of processes that were killed or raced on it leaves. A program of its own,
since it forks, which wants no other threads: `python -m tests.regions.storage.forks kill|count CONFIG …`."""

from __future__ import annotations

import http.client
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from regions.model import StoreConfig
from regions.storage import open_store, parts
from regions.storage.bucket import BucketStore
from regions.storage.errors import PreconditionFailed
from regions.storage.gcs.store import GCSStore
from regions.storage.store import Store, Update

POINTS = 20
PART_BYTES = 5 << 20
"""The least that S3 takes."""
PROCESSES = 8


class Sends:
    """Counts what is sent to the server; at one of the sends the process dies, before it or with half of it sent."""

    def __init__(self, dies_at: int | None) -> None:
        self.count = 0
        self.dies_at = dies_at
        self.lock = threading.Lock()
        self.send = http.client.HTTPConnection.send

    def planted(self, connection: http.client.HTTPConnection, data: Any) -> None:
        with self.lock:
            number = self.count
            self.count += 1
        if self.dies_at is not None and number == self.dies_at // 2:
            if self.dies_at % 2 and isinstance(data, bytes):
                self.send(connection, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        self.send(connection, data)


def forked(act: Callable[[], object]) -> int:
    """The exit code of a process that does it, negative where a signal ended it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill(store: Callable[[], Store], source: Path, key: str) -> list[int]:
    """Writes the file under `KEY-0`, `KEY-1`, …, each time by a process that is killed at another point."""
    reading, writing = os.pipe()

    def counting() -> None:
        sends = Sends(None)
        plant(sends)
        store().put_file(f"{key}-counted", source)
        os.write(writing, b"%d" % sends.count)

    assert forked(counting) == 0
    points = 2 * int(os.read(reading, 100))

    def dying(point: int) -> None:
        plant(Sends(point))
        store().put_file(f"{key}-{number}", source)

    codes = []
    for number in range(POINTS):
        point = number * points // POINTS
        codes.append(forked(lambda point=point: dying(point)))  # type: ignore[misc]
    return codes


def plant(sends: Sends) -> None:
    http.client.HTTPConnection.send = lambda connection, data: sends.planted(connection, data)  # type: ignore[method-assign,assignment,misc]


def count(store: Callable[[], Store], key: str, increments: int) -> list[int]:
    """Raises the counter under the key by 8 processes at once."""

    def raising() -> None:
        mine = store()
        for _ in range(increments):
            while True:
                info = mine.stat(key)
                try:
                    mine.put(key, b"%d" % (int(mine.get(key)) + 1), Update(info.etag))
                    break
                except PreconditionFailed:
                    continue

    starts, start = os.pipe()
    children = []
    for _ in range(PROCESSES):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.close(start)
                os.read(starts, 1)  # ends when the last one is there
                raising()
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    os.close(start)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def main(task: str, packed: str, *arguments: str) -> None:
    config: StoreConfig = pickle.loads(bytes.fromhex(packed))
    client = getattr(open_store(config), "_new_client", None)
    if client is not None:
        client()  # loads the SDK, which all forks then have
    parts.PART_BYTES_MIN = BucketStore.single_put_bytes_max = GCSStore.single_put_bytes_max = PART_BYTES
    if task == "kill":
        source, key = arguments
        print(*kill(lambda: open_store(config), Path(source), key))
    else:
        key, increments = arguments
        print(*count(lambda: open_store(config), key, int(increments)))


if __name__ == "__main__":
    main(*sys.argv[1:])
