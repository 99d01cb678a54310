"""Lock that keeps other processes from starting or ending a project's development federation."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from federation.config.dev_state import state_folder
from federation.errors import DevError


@contextmanager
def locked(root: Path, tell: Callable[[str], None], *, patience_s: float = 120.0) -> Iterator[None]:
    """Holds the project's lock. A second process waits and says so. The kernel frees the lock when its holder dies. Raises
    DevError after `patience_s`."""
    folder = state_folder(root)
    deadline = time.monotonic() + patience_s
    is_announced = False
    while True:
        fd = _open(folder)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            if time.monotonic() > deadline:
                raise DevError(
                    f"another `fedml dev` has held the lock of {root} for more than {patience_s:g} s",
                    hint="wait until it ends, or end it, then try again",
                ) from None
            if not is_announced:
                tell("another `fedml dev` runs in this project: waiting for it")
                is_announced = True
            time.sleep(0.1)
            continue
        if _is_current(fd, folder / "lock"):
            break
        os.close(fd)  # the holder before us removed the folder (`down --purge`)
    try:
        yield
    finally:
        os.close(fd)


def _open(folder: Path) -> int:
    while True:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            continue  # removed between the two
        except OSError as error:
            raise DevError(f"{folder} can't be written: {error.strerror}") from error


def _is_current(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
