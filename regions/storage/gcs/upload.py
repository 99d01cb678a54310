"""Bytes of a resumable upload, and the checksums that go with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, cast

from regions.storage.parts import PART_BYTES_MIN
from regions.storage.source import CHUNK_BYTES, SourceFile
from regions.storage.store import Progress


class Rest:
    """A file's bytes from some offset on, as the body of a request. The last part of a file that changed is never sent."""

    def __init__(self, source: SourceFile, sha256: str, start: int, progress: Progress) -> None:
        self._source = source
        self._sha256 = sha256
        self._start = start
        self._progress = progress
        self.sent = start

    def __len__(self) -> int:
        return self._source.size_bytes - self._start

    def __iter__(self) -> Iterator[bytes]:
        for number, part in enumerate(self._source.parts(PART_BYTES_MIN, self._sha256)):
            skipped = max(0, self._start - number * PART_BYTES_MIN)
            for offset in range(skipped, len(part), CHUNK_BYTES):
                chunk = part[offset : offset + CHUNK_BYTES]
                yield chunk
                self.sent += len(chunk)
                self._progress(len(chunk))


def wire_checksum() -> tuple[str, Any]:
    """What the server verifies: CRC32C where the SDK has it compiled, else MD5, which Python itself has (in pure Python
    CRC32C takes half a second a megabyte)."""
    import google_crc32c

    crc32c = cast("Any", google_crc32c)
    if crc32c.implementation == "python":
        return "md5", hashlib.md5(usedforsecurity=False)
    return "crc32c", crc32c.Checksum()
