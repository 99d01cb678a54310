"""Starts one server for all workers of a test run: the worker that needs it first starts it, and ends it after the others."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest


@contextmanager
def shared(place: Path, server: AbstractContextManager[str]) -> Iterator[str]:
    """The address of `server`. The first user of `place` starts it, and ends it when no other user is left. Locks are the
    system's: a user that was killed isn't waited for."""
    with place.with_suffix(".starting").open("w") as starting, place.with_suffix(".users").open("w") as users:
        fcntl.flock(starting, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)
        if place.exists():
            fcntl.flock(starting, fcntl.LOCK_UN)
            yield place.read_text()
            return
        with server as address:
            place.write_text(address)
            fcntl.flock(starting, fcntl.LOCK_UN)
            try:
                yield address
            finally:
                fcntl.flock(users, fcntl.LOCK_EX)
                place.unlink()


def folder_of_all_workers(factory: pytest.TempPathFactory) -> Path:
    """A folder that the workers of this run have in common, and no other run."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
