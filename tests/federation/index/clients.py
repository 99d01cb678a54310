"""A store and a seed enter, a history leaves: clients of one index at work at once, whose requests are lost and who die.

Run as a program it is one client in a process of its own, which prints each operation before it begins and after it ended.
"""

from __future__ import annotations

import dataclasses
import json
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from federation.errors import LogConflict, UsageError
from federation.index import Index
from federation.index.home import HOME_KEY
from federation.index.tags import TagMoved
from federation.log import Log
from federation.result import Key, ResultRecord
from regions.storage import open_store, parse_store_url
from regions.storage.errors import Unavailable
from regions.storage.store import Store
from tests.federation.conftest import FaultyStore
from tests.federation.index.linearizable import GAVE_UP, Operation

SLOTS = 3
TAGS = ("production", "staging")
RUN = "run-0"


class Killed(BaseException):
    """The process died here."""


class Dying(FaultyStore):
    """A line that loses requests, answers and reads; now and then the process dies before or after a request took effect."""

    def __init__(self, store: Store, *, seed: int, fault_rate: float, kill_rate: float) -> None:
        super().__init__(store, seed=seed, fault_rate=fault_rate)
        self._kill_rate = kill_rate
        self._dice = random.Random(seed + 1)

    def put(self, *given: Any, **more: Any) -> Any:
        return self._alive(lambda: super(Dying, self).put(*given, **more))

    def get(self, key: str) -> bytes:
        if key == HOME_KEY:  # there before any history begins
            return self.inner.get(key)
        return bytes(self._alive(lambda: self._answered(key)))

    def _answered(self, key: str) -> bytes:
        """Lost or fresh, never stale: the stores in use read what was written, and a stale read costs freshness."""
        if self._fault("before") == "before":
            raise Unavailable("lost request", store=self.url, operation="get", key=key)
        return self.inner.get(key)

    def _alive(self, request: Callable[[], Any]) -> Any:
        fate = self._dice.random()
        if fate < self._kill_rate / 2:
            raise Killed
        answer = request()
        if fate < self._kill_rate:
            raise Killed
        return answer


def record(alloc_id: str, slot: int) -> ResultRecord:
    return ResultRecord(
        Key(RUN, slot, "train", 0), 1, "sales", "v", "h", "us", "dc1", "us-1", alloc_id, "child", "memory://us", "m" * 64, (),
        "2026-11-24T10:00:00Z", metrics={"auc": 0.7},
    )  # fmt: skip


class Client:
    """One process: its operations, and what it was told. It asks for results that any client may enter."""

    def __init__(self, name: str, open_index: Callable[[], Index], seed: int, *, allocations: int) -> None:
        self.name = name
        self.history: list[Operation] = []
        self._open_index = open_index
        self._index = open_index()
        self._draw = random.Random(seed)
        self._allocations = [f"alloc-{number}" for number in range(allocations)]

    def work(self, operations: int) -> None:
        for number in range(operations):
            self.one(f"{self.name}-{number}")
        self._index.close()

    def one(self, name: str, note: Callable[[Operation], None] = lambda operation: None) -> Operation:
        """Do one thing; `note` hears of it before it is begun, and when it has ended."""
        kind = self._draw.choice(["add", "add", "open", "tag", "tag", "retire", "read"]) if self.history else "add"
        operation = Operation(name, kind, self._asked(kind), time.monotonic())
        self.history.append(operation)
        note(operation)
        try:
            operation.told = self._act(operation)
        except TagMoved:
            operation.told = "moved"
        except UsageError:
            operation.told = "refused"
        except LogConflict:
            operation.told = GAVE_UP
        except Unavailable:
            return operation
        except Killed:
            self._index.close()
            self._index = self._open_index()
            return operation
        operation.ended = time.monotonic()
        note(operation)
        return operation

    def _asked(self, kind: str) -> dict[str, Any]:
        draw, some = self._draw, lambda: self._draw.choice(self._allocations)
        match kind:
            case "add":
                chosen = draw.sample(self._allocations, draw.randint(1, 4))
                return {"results": [(one, int(one.rpartition("-")[2]) % SLOTS) for one in chosen]}
            case "open":
                return {"run": f"run-{draw.randint(1, 6)}"}
            case "tag":
                expected = draw.choice([None, "", some()])
                return {"name": draw.choice(TAGS), "alloc_id": some(), "if_current": expected}
            case "retire":
                return {"alloc_id": some()}
        return {"revision": None}

    def _act(self, operation: Operation) -> Any:
        index, asked = self._index, operation.asked
        match operation.kind:
            case "add":
                return index.commit([record(*one) for one in asked["results"]], reason=operation.id)
            case "open":
                return int(index.open_run(asked["run"], "sales", None, "h", 1, 1).version)
            case "tag":
                expected = "none" if asked["if_current"] == "" else asked["if_current"]
                return index.tag(asked["name"], asked["alloc_id"], if_current=expected, reason=operation.id).previous
            case "retire":
                index.retire([asked["alloc_id"]], reason=operation.id)
                return "done"
        rows = index.query(where="state like '%'")
        asked["revision"] = index.revision
        tags = {name: row.alloc_id for row in rows for name in row.tags}
        return {"states": {row.alloc_id: row.state for row in rows}, "tags": tags}


def history_of(
    store: Store, folder: Path, seed: int, *, clients: int, operations: int, fault_rate: float, kill_rate: float
) -> list[Operation]:
    """All that so many clients did at once. Some share a catalog, others have one of their own."""
    made = []
    for number in range(clients):
        line = Dying(store, seed=seed * 100 + number, fault_rate=fault_rate, kill_rate=kill_rate)
        cache = folder / ("shared" if (seed + number) % 2 else f"own-{number}")

        def open_index(line: Store = line, cache: Path = cache, number: int = number) -> Index:
            return Index(line, cache_dir=cache, author=f"client-{number}")

        made.append(Client(f"{seed}-{number}", open_index, seed * 100 + number, allocations=8))
    threads = [threading.Thread(target=client.work, args=(operations,)) for client in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [operation for client in made for operation in client.history]


def entries_of(store: Store) -> list[Any]:
    """The log as it lies in the store."""
    return list(Log(store, "index/log/", author="checker").refresh())


def main(url: str, cache: str, name: str, seed: str, operations: str) -> None:
    """One client; its lines are the operations as JSON."""

    def note(operation: Operation) -> None:
        print(json.dumps(dataclasses.asdict(operation)), flush=True)

    store = open_store(parse_store_url(url))
    client = Client(name, lambda: Index(store, cache_dir=Path(cache), author=name), int(seed), allocations=8)
    for number in range(int(operations)):
        client.one(f"{name}-{number}", note)


if __name__ == "__main__":
    main(*sys.argv[1:])
