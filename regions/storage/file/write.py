"""Write one object of a folder: all of it under a temporary name, then its own name, as the mode says."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from jobs.frozen import frozen
from regions.storage.errors import AlreadyExists, NotSupported, PreconditionFailed, StoreError, Unavailable
from regions.storage.file.layout import META_FOLDER
from regions.storage.file.localfs import (
    folder_lock,
    is_lockable,
    make_folder,
    remove_quietly,
    sync_folder,
    write_all,
)
from regions.storage.file.sidecar import etag_of, modified_of, sidecar_of, write_note
from regions.storage.source import SourceFile
from regions.storage.store import Create, Mode, ObjectInfo, Progress, Update

TRIES = 16
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV, errno.EMLINK}


@frozen
class ObjectWrite:
    """One put of an object into the file `target` of a store."""

    store: str
    key: str
    target: Path
    mode: Mode

    def done(self, write: Callable[[int], str], content_type: str, metadata: Mapping[str, str]) -> ObjectInfo:
        """Write it. `write` fills an open file and gives the sha256 of what it wrote. Raises StoreError, OSError."""
        self._refuse_early()
        temporary, file = _open_temporary(self.target)
        sidecar: Path | None = None
        try:
            try:
                sha256 = write(file)
                note = {"sha256": sha256, "content_type": content_type, "metadata": dict(metadata)}
                status, sidecar = write_note(file, self.target, note)
                os.fsync(file)
            finally:
                os.close(file)
            self._place(temporary)
            sidecar = None
            sync_folder(self.target.parent)
        finally:
            remove_quietly(temporary)
            if sidecar is not None:
                remove_quietly(sidecar)
        return ObjectInfo(
            self.key, status.st_size, etag_of(status), sha256, modified_of(status), content_type, dict(metadata)
        )

    def _refuse_early(self) -> None:
        """Refuse before writing what would be refused afterwards. `_place` decides, atomically."""
        if isinstance(self.mode, Create) and self.target.is_file():
            raise self._taken()
        if isinstance(self.mode, Update):
            self._refuse_unless_at(self.mode.etag, _current_etag(self.target))
            if not is_lockable(self.target.parent):
                raise self._error(
                    NotSupported,
                    "this file system has no lock that reaches every writer, so Update is refused",
                    "use Create with a new key, or a folder on a local disk of Linux, or a bucket store",
                )

    def _place(self, temporary: Path) -> None:
        """Give the written file its name."""
        if isinstance(self.mode, Create):
            self._link(temporary)
            return
        with folder_lock(self.target.parent):
            old = _current_etag(self.target)
            if isinstance(self.mode, Update):
                self._refuse_unless_at(self.mode.etag, old)
            temporary.replace(self.target)
            if old is not None:
                remove_quietly(sidecar_of(self.target, old))

    def _link(self, temporary: Path) -> None:
        try:
            os.link(temporary, self.target)
        except OSError as error:
            if temporary.stat().st_nlink > 1:  # it happened, and the answer was lost
                return
            if error.errno in _NO_LINKS:
                raise self._error(
                    NotSupported,
                    f"create-if-absent needs hard links, which this file system refuses: {error.strerror}",
                    "use a folder on a local disk or NFS, or a bucket store",
                ) from error
            if isinstance(error, FileExistsError) and not self.target.is_dir():
                raise self._taken() from None
            raise

    def _refuse_unless_at(self, expected: str, found: str | None) -> None:
        if found != expected:
            what = f"is at etag {found}, not {expected}" if found else "is no longer there"
            raise self._error(PreconditionFailed, f"{self.key} {what}")

    def _taken(self) -> StoreError:
        return self._error(AlreadyExists, f"{self.key} already exists")

    def _error(self, kind: type[StoreError], what: str, hint: str = "") -> StoreError:
        return kind(what, store=self.store, operation="put", key=self.key, hint=hint)


def _open_temporary(target: Path) -> tuple[Path, int]:
    """A new empty file in the target's metadata folder; its folders are made, again when a `delete` prunes them."""
    temporary = target.parent / META_FOLDER / f"new-{os.getpid()}-{os.urandom(8).hex()}"
    for _ in range(TRIES):
        with suppress(FileNotFoundError):
            make_folder(temporary.parent)
            return temporary, os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    raise Unavailable(f"{target.parent} is removed as fast as it is made", key=target.name)


def _current_etag(target: Path) -> str | None:
    try:
        return etag_of(target.stat())
    except FileNotFoundError:
        return None


def copied(source: SourceFile, file: int, progress: Progress | None) -> str:
    """Copy the source into the open file and give its sha256. Raises IntegrityError where the source changes."""
    digest = hashlib.sha256()
    for chunk in source.chunks():
        digest.update(chunk)
        write_all(file, chunk)
        if progress is not None:
            progress(len(chunk))
    return digest.hexdigest()
