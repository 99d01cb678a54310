"""Brings packed code from a store into a folder. Nothing is unpacked before all of it is verified.

A pack is a gzipped tar, named by the sha256 of the tar. The gzip around it may differ between machines, because zlib and
zlib-ng compress the same bytes differently; the tar may not.

The archive for nodes contains this module, so it needs only the standard library and must also run under Python 3.9.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from federation.errors import CodeError
from jobs.code_run import code_object
from regions.storage.errors import NotFound
from regions.storage.store import Store

FILES_MAX = 100_000
BYTES_MAX = 16 << 30
"""Limits of what is unpacked. Packing refuses much less than that (`federation.code.refusals`)."""
PATH_BYTES_MAX = 1024
NAME_BYTES_MAX = 255
_CHUNK_BYTES = 1 << 20
_MALFORMED = (tarfile.TarError, ValueError, OverflowError, EOFError, RecursionError, zlib.error)


def fetch_code(store: Store, sha256: str, folder: Path) -> int:
    """Unpacks the code of that hash into `folder` and returns the number of its files.

    The folder appears whole or not at all. One that is there is replaced. After a crash at most a hidden folder beside it
    is left. Raises NotFound, IntegrityError for bytes that aren't the code of that hash, CodeError for a pack that
    would write outside of its folder or is too large, StoreError.
    """
    key = code_object(sha256)
    with _beside(folder) as place:
        packed, plain = place / "code.tar.gz", place / "code.tar"
        try:
            store.get_file(key, packed)
        except NotFound as error:
            hint = "the code was removed from the store: start a new run"
            raise NotFound(f"{store.url_of(key)} is gone", operation="get", key=key, hint=hint) from error
        if decompress(packed, plain) != sha256:
            raise CodeError(
                f"{store.url_of(key)} isn't the code that it is named for (sha256 differs); nothing was unpacked",
                hint="somebody changed the object: delete it, and start a new run",
            )
        packed.unlink()
        (place / "code").mkdir()
        count = unpack(plain, place / "code")
        if folder.exists():
            folder.replace(place / "former")
        (place / "code").replace(folder)
    return count


def decompress(packed: Path, plain: Path, *, bytes_max: int = BYTES_MAX) -> str:
    """Writes the tar of a gzip file to `plain` and returns its sha256; "" for a file that isn't one whole gzip stream.

    Raises CodeError where it has more than `bytes_max` bytes; then that much is written at most.
    """
    digest, size_bytes = hashlib.sha256(), 0
    reader = zlib.decompressobj(wbits=31)
    with packed.open("rb") as source, plain.open("wb") as target:
        while not reader.eof:
            data = reader.unconsumed_tail or source.read(_CHUNK_BYTES)
            try:
                part = reader.decompress(data, _CHUNK_BYTES)
            except zlib.error:
                return ""
            if not data and not part:
                break
            size_bytes += len(part)
            if size_bytes > bytes_max:
                raise CodeError(f"{packed.name} has more than {bytes_max:,} bytes when it is unpacked")
            digest.update(part)
            target.write(part)
        is_whole = reader.eof and not reader.unused_data and not source.read(1)
    return digest.hexdigest() if is_whole else ""


def unpack(plain: Path, folder: Path) -> int:
    """Unpacks a tar of plain files and links into an empty folder; the number of its entries.

    All entries are looked at before the first is written. Of a mode only the x bit counts. Raises CodeError for an entry
    that isn't a file or a link inside the folder, for two of one name, and for a tar that can't be read.
    """
    try:
        with tarfile.open(plain, "r:") as tar:
            entries = list(_checked(tar))
            for entry in entries:
                target = folder / entry.name
                target.parent.mkdir(parents=True, exist_ok=True)
                if entry.issym():
                    target.symlink_to(entry.linkname)
                    continue
                mode = 0o755 if entry.mode & 0o100 else 0o644
                with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                    _copy(tar, entry, file.write)
    except _MALFORMED as error:
        raise CodeError(f"the packed code can't be read: {str(error)[:200] or type(error).__name__}") from error
    except OSError as error:
        raise CodeError(f"can't unpack code into {folder}: {error.strerror or error}") from error
    return len(entries)


def link_problem(path: str, target: str) -> str:
    """Why a link at that path in the pack can't be kept; "" for one that stays inside.

    `..` stands only at the beginning, and no link is above another entry, so a link can't leave by way of another.
    """
    names = target.split("/")
    ups = next((place for place, name in enumerate(names) if name != ".."), len(names))
    if target.startswith("/"):
        return "is absolute"
    if ups > path.count("/"):
        return "leaves the folder"
    if any(name in ("", "..") for name in names[ups:]) or "\0" in target:
        return "isn't written in its shortest form"
    return ""


def path_problem(path: str) -> str:
    """Why no file of that path, relative to the folder, can be packed or unpacked; "" for one that can."""
    names = path.split("/")
    try:
        size_bytes, longest = len(path.encode()), max(len(name.encode()) for name in names)
    except UnicodeEncodeError:
        return "isn't valid UTF-8"
    if size_bytes > PATH_BYTES_MAX or longest > NAME_BYTES_MAX:
        return f"is too long (a path: {PATH_BYTES_MAX} bytes, a name: {NAME_BYTES_MAX} bytes at most)"
    if "\0" in path or any(name in ("", ".", "..") for name in names):
        return "leads out of the folder, or isn't written in its shortest form"
    return ""


def _checked(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    seen: dict[str, bool] = {}
    size_bytes = 0
    for entry in tar:
        path, size_bytes = entry.name, size_bytes + max(entry.size, 0)
        problem = path_problem(path)
        if entry.issym():
            problem = problem or link_problem(path, entry.linkname)
        elif entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or entry.size < 0:
            problem = problem or "is neither a file nor a link"
        if path in seen:
            problem = "is in it twice"
        if problem:
            raise CodeError(f"the packed code holds {path[:200]!r}, which {problem}; nothing was unpacked")
        seen[path] = entry.issym()
        if len(seen) > FILES_MAX or size_bytes > BYTES_MAX:
            raise CodeError(f"the packed code has more than {FILES_MAX:,} files or {BYTES_MAX:,} bytes")
        yield entry
    for path in seen:
        above = path
        while above := above.rpartition("/")[0]:
            if above in seen:
                raise CodeError(f"the packed code holds {path[:200]!r} below {above[:200]!r}, which is no folder")


def _copy(tar: tarfile.TarFile, entry: tarfile.TarInfo, write: Callable[[bytes], object]) -> None:
    source = tar.extractfile(entry)
    left = entry.size
    while source is not None and left:
        data = source.read(min(left, _CHUNK_BYTES))
        if not data:
            raise CodeError(f"the packed code ends within {entry.name[:200]!r}")
        left -= len(data)
        write(data)


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A hidden folder on the same disk, removed at the end."""
    place = folder.with_name(f".{folder.name[:60]}.{os.urandom(8).hex()}.part")
    try:
        place.mkdir(parents=True)
        yield place
    except OSError as error:
        raise CodeError(f"can't unpack code into {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)
