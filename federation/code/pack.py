"""Packs code: the same files give the same sha256 on any machine.

The hash is that of the tar, not of the gzip around it: zlib and zlib-ng compress the same bytes differently. In the tar
only paths, contents and x bits count: no clock, owner, umask, locale, or order of a listing. Line endings are packed as
they lie, so a checkout with git's `autocrlf` is other code.
"""

from __future__ import annotations

import ast
import hashlib
import os
import secrets
import stat
import sys
import tarfile
import time
import zlib
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from federation.code import git
from federation.code.refusals import OVERLAP_BYTES, refuse, refused, secret_in
from federation.errors import CodeError

if TYPE_CHECKING:
    from federation.code.selection import Entries

_CHUNK_BYTES = 1 << 20
_NEWLINE = b"\n"
_LOCKS = ("uv.lock", "requirements.txt")
_GIVEN = ("fedml_task",)
"""Modules that every task has."""
_KEPT_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class PackedCode:
    """A pack that lies in the cache folder. `size_bytes` is what goes over the wire."""

    sha256: str
    """Of the tar within: the name of the code."""
    path: Path
    size_bytes: int
    unpacked_bytes: int
    paths: tuple[str, ...]
    """Of its files and links, relative to the folder, in order."""
    gzip_sha256: str
    git: git.GitState | None
    lock_sha256: str
    """Of `SCRIPT.lock`, `uv.lock` or `requirements.txt`; empty where there is none."""

    @property
    def file_count(self) -> int:
        """How many files and links it holds."""
        return len(self.paths)


def pack(path: Path, cache: Path, *, large: bool = False, allow_secret_files: Collection[str] = ()) -> PackedCode:
    """Packs a folder, or one script with its `SCRIPT.lock`, into the folder `cache`.

    `large` allows more bytes and files than usual. `allow_secret_files` are paths, relative to the folder, of files that
    only look like secrets. Raises CodeError for what can't or mustn't be packed; then `cache` has no new pack.
    """
    if sys.getfilesystemencoding() != "utf-8":  # names would be read, and hashed, as other names
        raise CodeError("this locale's file names aren't UTF-8", hint="set PYTHONUTF8=1, or LC_ALL=C.UTF-8")
    path = Path(os.path.abspath(path))  # noqa: PTH100 - a link stays a link
    is_script = path.is_file()
    if not is_script and not path.is_dir():
        raise CodeError(f"{path} is neither a script nor a folder")
    root = path.parent if is_script else path
    if is_script:
        entries, lock = _script_entries(path), f"{path.name}.lock"
    else:
        from federation.code.selection import select  # brings pathspec

        entries = select(root)
        lock = next((name for name in _LOCKS if name in entries), "")
    try:
        links = {
            name: str((root / name).readlink()) for name, status in entries.items() if stat.S_ISLNK(status.st_mode)
        }
        refuse(root, entries, links, large=large, allow=allow_secret_files, is_named=is_script)
        state = git.state(root, [*entries] if is_script else ["."])
        return _packed(root, entries, links, cache, allow_secret_files, state, lock)
    except OSError as error:
        raise CodeError(f"can't pack {root}: {error.filename or root}: {error.strerror or error}") from error


def _packed(
    root: Path,
    entries: Entries,
    links: dict[str, str],
    cache: Path,
    allow: Collection[str],
    state: git.GitState | None,
    lock: str,
) -> PackedCode:
    folder = _made_folder(cache)
    unfinished = folder / f".{secrets.token_hex(8)}.part"
    try:
        with unfinished.open("wb") as target:
            writer = _Writer(root, target)
            paths = tuple(sorted(entries, key=str.encode))
            for name in paths:
                writer.add(name, links.get(name))
            writer.end()
        problems = [(name, what) for name, what in writer.problems if name not in allow]
        if problems:
            raise refused(root, problems)
        sha256 = writer.digest.hexdigest()
        size_bytes = unfinished.stat().st_size
        placed = unfinished.replace(folder / f"{sha256}.tar.gz")
    finally:
        unfinished.unlink(missing_ok=True)
    lock_sha256 = hashlib.sha256((root / lock).read_bytes()).hexdigest() if lock in entries else ""
    gzip_sha256 = writer.gzip_digest.hexdigest()
    return PackedCode(sha256, placed, size_bytes, writer.size_bytes, paths, gzip_sha256, state, lock_sha256)


def _script_entries(script: Path) -> Entries:
    """The script and its lock. Raises CodeError for one that imports a module that lies beside it."""
    beside = sorted(set(_imported(script)) - {script.stem, *_GIVEN})
    for name in beside:
        module = next(
            (place for place in (script.with_name(f"{name}.py"), script.with_name(name)) if place.exists()), None
        )
        if module is not None and (module.is_file() or any(module.glob("*.py"))):
            raise CodeError(
                f"{script.name} imports {name}, which lies beside it ({module.name}) and wouldn't be there in a task",
                hint=f"pack the folder: --code {script.parent} -- python {script.name}",
            )
    names = [script.name, f"{script.name}.lock"]
    return {name: script.with_name(name).stat() for name in names if script.with_name(name).is_file()}


def _imported(script: Path) -> Iterator[str]:
    """The first parts of the names that a Python script imports; none of a script that this Python can't parse."""
    try:
        tree = ast.parse(script.read_bytes()) if script.suffix == ".py" else ast.Module([], [])
    except (SyntaxError, ValueError, RecursionError, OSError):  # the task says so, or packing does
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


class _Scan:
    """Looks for a secret in pieces of one file."""

    def __init__(self) -> None:
        self.found = ""
        self._lines, self._tail = 1, b""

    def take(self, data: bytes) -> None:
        """Looks at the next piece, with the end of the last one."""
        text = self._tail + data
        if not self.found and (found := secret_in(text)):
            problem, start = found
            self.found = f"{problem} (line {self._lines + text.count(_NEWLINE, 0, start):,})"
        if len(data) == _CHUNK_BYTES:  # more may come
            self._lines += text.count(_NEWLINE, 0, -OVERLAP_BYTES)
            self._tail = text[-OVERLAP_BYTES:]


class _Writer:
    """Writes a tar, compressed, hashes both, and looks for secrets in what it writes."""

    def __init__(self, root: Path, target: BinaryIO) -> None:
        self._root = str(root)
        self._target = target
        self._gzip = zlib.compressobj(4, zlib.DEFLATED, 31)
        self._compressing = ThreadPoolExecutor(1)
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self.digest, self.gzip_digest = hashlib.sha256(), hashlib.sha256()
        self.size_bytes = 0
        self._written = self._compressing.submit(self._compress, b"")
        self.problems: list[tuple[str, str]] = []
        """Files that seem to hold a secret: path, and which."""

    def add(self, path: str, link: str | None) -> None:
        """Adds one file, or a link that says `link`."""
        if link is not None:
            self._write(_header(path, tarfile.SYMTYPE, 0o777, 0, link))
            return
        file = os.open(f"{self._root}/{path}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            status = os.fstat(file)
            size_bytes = status.st_size
            self._write(_header(path, tarfile.REGTYPE, 0o755 if status.st_mode & stat.S_IXUSR else 0o644, size_bytes))
            left, scan = size_bytes, _Scan()
            while left >= 0 and (data := os.read(file, _CHUNK_BYTES)):
                left -= len(data)
                self._write(data)
                scan.take(data)
            if scan.found:
                self.problems.append((path, scan.found))
        finally:
            os.close(file)
        if left:
            raise CodeError(
                f"{self._root}/{path} changed while it was packed", hint="try again when nothing writes to it"
            )
        self._write(bytes(-size_bytes % tarfile.BLOCKSIZE))

    def end(self) -> None:
        """Ends both."""
        self._write(bytes(2 * tarfile.BLOCKSIZE))
        self._hand_over()
        with self._compressing:
            self._written.result()
        self._put(self._gzip.flush())

    def _write(self, data: bytes) -> None:
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= _CHUNK_BYTES:
            self._hand_over()

    def _hand_over(self) -> None:
        """Gives what waits to the thread that compresses, when that is done with what it had."""
        self._written.result()
        self._written = self._compressing.submit(self._compress, b"".join(self._waiting))
        self._waiting, self._waiting_bytes = [], 0

    def _compress(self, data: bytes) -> None:
        self.size_bytes += len(data)
        self.digest.update(data)
        self._put(self._gzip.compress(data))

    def _put(self, data: bytes) -> None:
        self.gzip_digest.update(data)
        self._target.write(data)


def _header(path: str, kind: bytes, mode: int, size_bytes: int, link: str = "") -> bytes:
    """What tarfile writes, in a tenth of its time for a file with a short path."""
    name = path.encode()
    if link or len(name) > tarfile.LENGTH_NAME or size_bytes >= 8**11:
        info = tarfile.TarInfo(path)
        info.type, info.mode, info.size, info.linkname = kind, mode, size_bytes, link
        return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")
    before = (
        b"%b%07o\0" % (name.ljust(100, b"\0"), mode) + b"0000000\0" * 2 + b"%011o\0" % size_bytes + b"0" * 11 + b"\0"
    )
    after = kind + bytes(100) + tarfile.GNU_MAGIC + bytes(247)
    return before + b"%06o\0 " % (sum(before) + sum(after) + 8 * ord(" ")) + after


def _made_folder(cache: Path) -> Path:
    """The folder for packs, without those that were written long ago."""
    folder = cache / "code"
    folder.mkdir(parents=True, exist_ok=True)
    for former in folder.iterdir():
        if former.stat().st_mtime < time.time() - _KEPT_S:
            former.unlink(missing_ok=True)
    return folder
