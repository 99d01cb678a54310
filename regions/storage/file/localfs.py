"""What `FileStore` asks of the operating system: locks, syncs, and StoreErrors instead of OSErrors."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from regions.storage.errors import (
    InvalidStoreURL,
    NotFound,
    NotSupported,
    PermissionDenied,
    StoreError,
    Unavailable,
)

LOCKABLE = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "tmpfs", "ramfs", "overlay"})
"""Kinds of file system whose flock(2) reaches every process that can write there: those of one machine."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_ESCAPES = str.maketrans({" ": r"\040", "\t": r"\011", "\n": r"\012", "\\": r"\134"})
"""How mountinfo writes them."""
_CLASH = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY}
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_BROKEN = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.ENXIO}


@contextmanager
def mapped_errors(store: str, operation: str, key: str, *, is_write: bool = False) -> Iterator[None]:
    """Turns each OSError raised inside into a StoreError."""
    try:
        yield
    except OSError as error:
        raise _store_error(error, store, operation, key, is_write=is_write) from error


def _store_error(error: OSError, store: str, operation: str, key: str, *, is_write: bool) -> StoreError:
    reason = error.strerror or type(error).__name__
    kind: type[StoreError] = StoreError
    message = f"{operation} of {key or 'the folder'} failed: {reason}"
    hint = ""
    if error.errno in _FULL:
        message = f"no room left to write {key}: {reason}"
        hint = "make room on that disk (or raise the quota) and try again; nothing of it was stored"
    elif error.errno in _REFUSED:
        kind = PermissionDenied
        message = f"{operation} of {key or 'the folder'} is not allowed: {reason}"
        hint = "check owner and rights of the folder and whether it is mounted read-only"
    elif error.errno == errno.ENAMETOOLONG:
        kind = InvalidStoreURL
        message = f"object key {key[:80]!r} makes a path that is too long for this file system"
    elif is_write and error.errno in _CLASH:
        kind = NotSupported
        message = f"a folder can't hold {key} beside an object that has the same name as one of its folders"
        hint = "use another key; only bucket stores can hold both 'a' and 'a/b'"
    elif not is_write and error.errno in _GONE:
        kind, message = NotFound, f"no object {key}"
    elif error.errno in _BROKEN:
        kind = Unavailable
        hint = "check the disk or the network mount"
    return kind(message, store=store, operation=operation, key=key, hint=hint)


@contextmanager
def opened_regular(target: Path) -> Iterator[BinaryIO]:
    """The file, open for reading. Only regular files count: a pipe would be waited for, a device read for ever."""
    number = os.open(target, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(number, "rb") as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(target))
        yield file


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Lock that excludes other writers of the folder, threads and processes. The system releases it when its holder dies.

    Where the lock wouldn't reach every writer (`is_lockable`), none is taken. Raises OSError when there's no folder.
    """
    if not is_lockable(folder):
        yield
        return
    while True:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.samestat(os.fstat(lock), folder.stat()):
                continue  # the folder was removed and made anew while this waited
            yield
            return
        finally:
            os.close(lock)


def is_lockable(folder: Path) -> bool:
    """Whether flock(2) there excludes every other writer: only on a file system known to be this machine's own."""
    try:
        table = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return False
    return filesystem_kind(folder.resolve(), table) in LOCKABLE


def filesystem_kind(folder: Path, mountinfo: str) -> str:
    """The type of the mount that the resolved folder is on (the last of the deepest), from the text of mountinfo."""
    kinds: dict[str, str] = {}
    for line in mountinfo.splitlines():
        mount, _, kind = line.partition(" - ")
        kinds[mount.split(" ", 5)[4]] = kind.partition(" ")[0]
    for place in (folder, *folder.parents):
        escaped = str(place).translate(_ESCAPES)
        if escaped in kinds:
            return kinds[escaped]
    return ""


def identity_of(folder: Path) -> tuple[int, int] | None:
    """Device and inode, which differ for any other folder that is at its place later; None where there is no folder."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def make_folder(folder: Path) -> None:
    """The folder with its parents, durable when this returns. Raises OSError where a file is in the way."""
    missing: list[Path] = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Makes the folder's names durable, where the file system can."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(file)


def write_all(file: int, data: bytes) -> None:
    """Write all of the bytes, in as many calls as needed."""
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def remove_quietly(path: Path) -> None:
    """Unlinks a file of our own. A failure leaves a file that no listing shows, so it is ignored."""
    with suppress(OSError):
        path.unlink()
