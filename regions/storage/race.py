"""Finds out whether a store keeps its promises when many write at once.

Plain functions: `fedml doctor`, `fedml stores check` and the index run them on a user's own bucket before anything rests
on it; the conformance suite runs them on every backend.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from regions.storage.errors import AlreadyExists, PreconditionFailed, StoreError
from regions.storage.store import Create, Store, Update

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RaceOutcome:
    """What happened when many writers created the same key at once, round by round."""

    writers: int
    winners: tuple[int, ...]
    """How many writers of each round got the answer that they created the object."""
    foreign_rounds: int
    """Rounds in which the object didn't hold the bytes of its one winner."""
    errors: tuple[str, ...]
    """The answers that were neither success nor AlreadyExists, each text once."""

    @property
    def holds(self) -> bool:
        """Whether each round had exactly one winner, whose object is there, and no other answer."""
        return not self.problem

    @property
    def problem(self) -> str:
        """Why the promise isn't kept, in one sentence; empty when it is."""
        wrong = [count for count in self.winners if count != 1]
        if self.errors:
            return f"{self.writers} writers creating one key were told: {'; '.join(self.errors)}"
        if wrong:
            return (
                f"create-if-absent isn't atomic: of {self.writers} writers creating one key, {max(wrong)} were told that "
                f"they had created it ({len(wrong)} of {len(self.winners)} rounds without exactly one winner)"
            )
        if self.foreign_rounds:
            return f"in {self.foreign_rounds} rounds the object didn't hold its winner's bytes"
        return ""


def race_create(
    store: Store | Sequence[Store], writers: int = 16, rounds: int = 5, *, prefix: str = "fedml-check/"
) -> RaceOutcome:
    """Lets `writers` threads create one key at the same moment, `rounds` times; removes what it wrote.

    Several handles on one place may be given; they are dealt out among the writers. Raises StoreError only where reading
    back or deleting fails.
    """
    handles = [store] if isinstance(store, Store) else list(store)
    folder = f"{prefix}race-{secrets.token_hex(8)}"
    winners: list[int] = []
    errors: dict[str, None] = {}
    foreign_rounds = 0
    for number in range(rounds):
        key = f"{folder}/{number:06d}"

        def create(writer: int, key: str = key) -> bytes | str | None:
            data = f"{key} by writer {writer} {secrets.token_hex(8)}".encode()
            try:
                handles[writer % len(handles)].put(key, data, Create())
            except AlreadyExists:
                return None
            except StoreError as error:
                return f"{type(error).__name__}: {error}"
            return data

        answers = together(writers, create)
        won = [answer for answer in answers if isinstance(answer, bytes)]
        errors.update(dict.fromkeys(answer for answer in answers if isinstance(answer, str)))
        winners.append(len(won))
        if won and handles[0].get(key) not in won:
            foreign_rounds += 1
        handles[0].delete(key)
    return RaceOutcome(writers, tuple(winners), foreign_rounds, tuple(errors))


def race_update(store: Store, writers: int = 8, increments: int = 10, *, prefix: str = "fedml-check/") -> int:
    """Lets `writers` threads raise a counter by compare-and-swap, `increments` times each; gives the final count.

    Exact (`writers * increments`) where Update is atomic. Raises NotSupported where it is refused; removes its object.
    """
    key = f"{prefix}counter-{secrets.token_hex(8)}"

    def increment(_: int) -> None:
        done = 0
        while done < increments:
            info = store.stat(key)
            count = int(store.get(key))
            try:
                # Bytes newer than the etag only lead to a refusal: the etag was read first.
                store.put(key, b"%d" % (count + 1), Update(info.etag))
            except PreconditionFailed:
                continue
            done += 1

    store.put(key, b"0")
    try:
        together(writers, increment)
        return int(store.get(key))
    finally:
        store.delete(key)


def together(count: int, act: Callable[[int], T]) -> list[T]:
    """Runs `act(0)` … `act(count - 1)` in threads that start at one barrier; raises the first exception of any."""
    barrier = threading.Barrier(count)
    answers: dict[int, T] = {}
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            barrier.wait()
            answers[number] = act(number)
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [answers[number] for number in range(count)]
