"""Packs code: the same files give the same sha256 on any machine.

The hash is that of the tar, not of the gzip around it: zlib and zlib-ng compress the same bytes differently. In the tar
only paths, contents and x bits count: no clock, owner, umask, locale, or order of a listing. Line endings are packed as
they lie, so a checkout with git's `autocrlf` is other code.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import tarfile
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from federation.code.selection import select
from federation.errors import CodeError

_CHUNK_BYTES = 1 << 20
_LOCKS = ("uv.lock", "requirements.txt")


@dataclass(frozen=True, slots=True)
class GitState:
    """Where the code stood in git. `diff` is what `git diff HEAD` says of it, empty where it is too large or holds a
    secret."""

    commit: str
    is_dirty: bool
    diff: bytes = b""


@dataclass(frozen=True, slots=True)
class PackedFile:
    """One file or link of a pack: its path, relative to the folder."""

    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PackedCode:
    """A pack that lies in the cache folder. `size_bytes` is what goes over the wire."""

    sha256: str
    """Of the tar within: the name of the code."""
    path: Path
    size_bytes: int
    unpacked_bytes: int
    files: tuple[PackedFile, ...]
    gzip_sha256: str
    git: GitState | None
    lock_sha256: str
    """Of `SCRIPT.lock`, `uv.lock` or `requirements.txt`; empty where there is none."""

    @property
    def file_count(self) -> int:
        """How many files and links it holds."""
        return len(self.files)


def pack(path: Path, cache: Path, *, large: bool = False, allow_secret_files: Collection[str] = ()) -> PackedCode:
    """Packs a folder, or one script with its `SCRIPT.lock`, into the folder `cache`.

    `large` allows more bytes and files than usual. `allow_secret_files` are paths, relative to the folder, of files that
    only look like secrets. Raises CodeError for what can't or mustn't be packed; then nothing new is in `cache`.
    """
    del large, allow_secret_files
    if path.is_file():
        root, lock = path.parent, f"{path.name}.lock"
        paths = [path.name, *([lock] if (root / lock).is_file() else [])]
    else:
        root, paths = path, select(path)
        lock = next((name for name in _LOCKS if name in paths), "")
    lock_sha256 = hashlib.sha256((root / lock).read_bytes()).hexdigest() if lock in paths else ""
    folder = cache / "code"
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{secrets.token_hex(8)}.part"
    try:
        with unfinished.open("wb") as target:
            writer = _Writer(target)
            files = tuple(writer.add(root, each) for each in sorted(paths, key=os.fsencode))
            writer.end()
        sha256 = writer.digest.hexdigest()
        size_bytes = unfinished.stat().st_size
        placed = unfinished.replace(folder / f"{sha256}.tar.gz")
    finally:
        unfinished.unlink(missing_ok=True)
    gzip_sha256 = writer.gzip_digest.hexdigest()
    return PackedCode(sha256, placed, size_bytes, writer.size_bytes, files, gzip_sha256, None, lock_sha256)


class _Writer:
    """Writes a tar, compressed, and hashes both."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._gzip = zlib.compressobj(6, zlib.DEFLATED, 31)
        self.digest, self.gzip_digest = hashlib.sha256(), hashlib.sha256()
        self.size_bytes = 0

    def add(self, root: Path, path: str) -> PackedFile:
        """Adds one file or link."""
        place = root / path
        info = tarfile.TarInfo(path)
        if place.is_symlink():
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, str(place.readlink()), 0o777
            self._write(_header(info))
            return PackedFile(path, 0)
        with place.open("rb") as source:
            status = os.fstat(source.fileno())
            info.size, info.mode = status.st_size, 0o755 if status.st_mode & stat.S_IXUSR else 0o644
            self._write(_header(info))
            left = info.size
            while data := source.read(_CHUNK_BYTES):
                left -= len(data)
                self._write(data)
        if left:
            raise CodeError(f"{place} changed while it was packed", hint="try again when nothing writes to it")
        self._write(bytes(-info.size % tarfile.BLOCKSIZE))
        return PackedFile(path, info.size)

    def end(self) -> None:
        """Ends both."""
        self._write(bytes(2 * tarfile.BLOCKSIZE))
        self._put(self._gzip.flush())

    def _write(self, data: bytes) -> None:
        self.digest.update(data)
        self.size_bytes += len(data)
        self._put(self._gzip.compress(data))

    def _put(self, data: bytes) -> None:
        self.gzip_digest.update(data)
        self._target.write(data)


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")
