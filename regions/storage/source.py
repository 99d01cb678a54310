"""Reads the bytes and the sha256 of a user's file. A file that changes while it is read is refused, never sent torn."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from regions.storage.errors import IntegrityError, StoreError

CHUNK_BYTES = 1 << 20


class SourceFile:
    """An open file, read at places; `size_bytes` is what it had when it was opened."""

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self._file = file
        self._opened = os.fstat(file)
        self.size_bytes = self._opened.st_size

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Up to that many bytes from there. Raises StoreError where the disk fails."""
        try:
            return os.pread(self._file, size_bytes, offset)
        except OSError as error:
            raise StoreError(f"can't read {self.path}: {error.strerror}") from error

    def chunks(self) -> Iterator[bytes]:
        """All bytes in pieces, then the check that nothing changed. Raises IntegrityError."""
        offset = 0
        # No more is asked for than is expected: a read takes room for all that it asks for.
        while chunk := self.read(offset, min(CHUNK_BYTES, max(0, self.size_bytes - offset) + 1)):
            offset += len(chunk)
            yield chunk
        self.refuse_changed(offset)

    def sha256(self, also: Callable[[bytes], object] = len) -> str:
        """The sha256 of the whole as hex; `also` is called with every piece. Raises IntegrityError as `chunks` does."""
        digest = hashlib.sha256()
        for chunk in self.chunks():
            digest.update(chunk)
            also(chunk)
        return digest.hexdigest()

    def parts(self, part_size: int, sha256: str = "") -> Iterator[bytes]:
        """The file in parts of that size. Raises IntegrityError when it changed meanwhile, or isn't what `sha256` names.

        The last part of such a file is never given, so that nothing whole can be made of the others.
        """
        digest = hashlib.sha256()
        for offset in range(0, self.size_bytes, part_size):
            part = self.read(offset, part_size)
            if sha256:
                digest.update(part)
            if offset + part_size >= self.size_bytes:
                self.refuse_changed(offset + len(part))
                if sha256 and digest.hexdigest() != sha256:
                    raise self.changed()
            yield part

    def refuse_changed(self, read_bytes: int) -> None:
        """Raises IntegrityError unless all bytes were read and size and time are those of the opening."""
        now = os.fstat(self._file)
        seen, opened = (now.st_size, now.st_mtime_ns), (self._opened.st_size, self._opened.st_mtime_ns)
        if seen != opened or read_bytes != self.size_bytes:
            raise self.changed()

    def changed(self) -> IntegrityError:
        """The error for a file that changed, for callers that notice it by the bytes."""
        return IntegrityError(
            f"{self.path} changed while it was read", hint="wait until nothing writes to it any more, then try again"
        )


@contextmanager
def opened_source(path: Path) -> Iterator[SourceFile]:
    """The file, open for reading. Raises StoreError that names it when it can't be opened or is not a regular file."""
    irregular = StoreError(f"can't read {path}: it is not a regular file")
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would be waited for
    except OSError as error:
        if path.exists() and not path.is_file():
            raise irregular from error
        raise StoreError(f"can't read {path}: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise irregular
        yield SourceFile(path, file)
    finally:
        os.close(file)
