"""A user's file enters, its bytes and sha256 leave; a file that changes while it is read is refused, never sent torn."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
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
        while chunk := self.read(offset, CHUNK_BYTES):
            offset += len(chunk)
            yield chunk
        self.refuse_changed(offset)

    def digests(self, part_size: int, also: Callable[[bytes], object] = len) -> tuple[list[int], str]:
        """CRC-32 of each part and, as hex, the sha256 of the whole; `also` is called with every part.

        Raises IntegrityError when the file changed meanwhile.
        """
        whole = hashlib.sha256()
        checks: list[int] = []
        for part in self.parts(part_size):
            whole.update(part)
            checks.append(zlib.crc32(part))
            also(part)
        return checks, whole.hexdigest()

    def parts(self, part_size: int, checks: Sequence[int] = ()) -> Iterator[bytes]:
        """The file in parts of that size. Raises IntegrityError when it changed meanwhile, or since `checks` were taken.

        A part that isn't as `checks` say is never given, nor is the last one of a file that changed.
        """
        for number, offset in enumerate(range(0, self.size_bytes, part_size)):
            part = self.read(offset, part_size)
            if checks and zlib.crc32(part) != checks[number]:
                raise self.changed()
            if offset + part_size >= self.size_bytes:
                self.refuse_changed(offset + len(part))
            yield part

    def refuse_changed(self, read_bytes: int) -> None:
        """Raises IntegrityError unless all bytes were read and size and time are those of the opening."""
        now = os.fstat(self._file)
        seen, opened = (now.st_size, now.st_mtime_ns), (self._opened.st_size, self._opened.st_mtime_ns)
        if seen != opened or read_bytes != self.size_bytes:
            raise self.changed()

    def changed(self) -> IntegrityError:
        """The error for it, for those who notice by the bytes."""
        return IntegrityError(
            f"{self.path} changed while it was read", hint="wait until nothing writes to it any more, then try again"
        )


@contextmanager
def opened_source(path: Path) -> Iterator[SourceFile]:
    """The file, open for reading. Raises StoreError that names it when it can't be opened or is no regular file."""
    if path.exists() and not path.is_file():
        raise StoreError(f"can't read {path}: it is not a regular file")
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise StoreError(f"can't read {path}: {error.strerror}") from error
    try:
        yield SourceFile(path, file)
    finally:
        os.close(file)
