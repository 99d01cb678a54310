"""A server that workers share is started once, and ended after its last user."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.emulators.shared import shared


def test_the_first_user_starts_it_and_ends_it_after_the_last(tmp_path: Path) -> None:
    events: list[str] = []
    ends, joined = threading.Event(), threading.Event()

    @contextmanager
    def server(name: str) -> Iterator[str]:
        events.append(f"{name} started")
        yield name
        events.append(f"{name} ended")

    def other() -> None:
        with shared(tmp_path / "moto", server("second")) as address:
            events.append(f"other uses {address}")
            joined.set()
            ends.wait()
            events.append("other has done")

    thread = threading.Thread(target=other)
    with shared(tmp_path / "moto", server("first")) as address:
        assert address == "first"
        thread.start()
        joined.wait()
        threading.Timer(0.05, ends.set).start()
    thread.join()

    assert events == ["first started", "other uses first", "other has done", "first ended"]
    with shared(tmp_path / "moto", server("third")) as address:
        assert address == "third"


def test_one_that_does_not_start_is_tried_again_by_the_next(tmp_path: Path) -> None:
    @contextmanager
    def broken() -> Iterator[str]:
        raise OSError("no port")
        yield ""

    @contextmanager
    def whole() -> Iterator[str]:
        yield "whole"

    with pytest.raises(OSError, match="no port"), shared(tmp_path / "moto", broken()):
        pass
    with shared(tmp_path / "moto", whole()) as address:
        assert address == "whole"
