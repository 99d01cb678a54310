"""Downloads the artifact of a result into a folder, verified."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from federation.claims import files_problem
from federation.errors import FederationError, UsageError
from federation.result import ResultFile, ResultRecord
from jobs.frozen import frozen
from regions.storage.errors import IntegrityError, NotFound, Unavailable
from regions.storage.store import Store

_DOWNLOADS_AT_ONCE = 4
_CHUNK_BYTES = 1 << 20


@frozen
class Fetched:
    """Where the artifact is now. `is_new` is False when all of it was there already."""

    path: Path
    files: int
    size_bytes: int
    is_new: bool
    store: str = ""
    """URL of the store that it came from."""


def fetch(record: ResultRecord, store: Store, target: Path, *, force: bool = False) -> Fetched:
    """Download all files of a result into the folder `target`, each verified against the sha256 that the index holds.

    Everything is downloaded and verified beside its place first: a new folder appears whole or not at all. A crash, Ctrl-C
    or a store that is gone leaves at most a hidden `.fedml-get-…` folder, and the next fetch of the same artifact to the
    same place brings only the files that aren't in it. In a folder that exists each file is placed by itself: one that
    is not empty is refused without `force`; with it, files of the same names are replaced and all others left alone.
    Where the same files are there already, nothing is done.

    Raises IntegrityError for a byte that differs or a file name that would leave the folder, NotFound where the
    artifact is gone, UsageError for a folder that is in the way, FederationError where the disk refuses.
    """
    paths = _checked_paths(record)
    target = Path(os.path.realpath(target))
    done = Fetched(target, len(paths), record.size_bytes, is_new=True)
    with _disk_errors(target):
        if target.exists() and not target.is_dir():
            raise UsageError(f"{target} is a file, not a folder", hint="name another folder with --to")
        if paths and all(_holds(target / path, file) for path, file in paths.items()):
            return Fetched(target, len(paths), record.size_bytes, is_new=False)
        into_existing = target.exists()
        left = _left_name(record)
        if into_existing and any(path.name != left for path in target.iterdir()) and not force:
            raise UsageError(
                f"{target} holds something else", hint="name another folder with --to, or write into it with --force"
            )
        if not into_existing:
            target.parent.mkdir(parents=True, exist_ok=True)
        with _staging(target if into_existing else target.parent, left) as place:
            _download(record, store, paths, place)
            if into_existing:
                _move_into(place, paths, target)
            else:
                _leave_only(place, paths)
                place.chmod(0o777 & ~_umask())
                place.rename(target)
    return done


def _left_name(record: ResultRecord) -> str:
    return f".fedml-get-{record.alloc_id[:8]}-{record.manifest_sha256[:12]}"


@contextmanager
def _staging(folder: Path, name: str) -> Iterator[Path]:
    """A folder of that name to download into, this process's alone; what is in it is from a fetch that was broken off.
    Where another process is at it, one of another name."""
    place, lock = _locked(folder / name)
    if lock is None:
        place = Path(tempfile.mkdtemp(prefix=".fedml-get-", dir=folder))
    is_kept = False
    try:
        yield place
    except (Unavailable, KeyboardInterrupt):
        is_kept = lock is not None and any(path.is_file() for path in place.rglob("*"))
        raise
    finally:
        if not is_kept:
            shutil.rmtree(place, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _locked(place: Path) -> tuple[Path, int | None]:
    """The folder, made if need be, and the descriptor that locks it; None where it isn't this user's, or another process
    holds the lock."""
    while True:
        place.mkdir(mode=0o700, exist_ok=True)
        try:
            lock = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
        except FileNotFoundError:  # whoever held it has just placed it
            continue
        except (NotADirectoryError, PermissionError):
            return place, None
        if os.fstat(lock).st_uid != os.geteuid():
            os.close(lock)
            return place, None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return place, None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), place.stat()):
                return place, lock
        os.close(lock)


def _leave_only(place: Path, paths: Mapping[str, ResultFile]) -> None:
    """Remove what a broken download left besides."""
    for found in [path for path in place.rglob("*") if not path.is_dir() or path.is_symlink()]:
        if found.relative_to(place).as_posix() not in paths:
            found.unlink()


def _checked_paths(record: ResultRecord) -> Mapping[str, ResultFile]:
    """Files by path, none of which can leave its folder or lie in another file."""
    problem = files_problem(record.files)
    if problem:
        raise _refused(record, problem)
    return {file.path: file for file in record.files}


def _refused(record: ResultRecord, problem: str) -> IntegrityError:
    return IntegrityError(f"result {record.alloc_id} {problem}; nothing was placed", operation="get")


def _download(record: ResultRecord, store: Store, paths: Mapping[str, ResultFile], place: Path) -> None:
    def download(path: str) -> None:
        key = record.artifact_prefix + path
        if _holds(place / path, paths[path]):
            return
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        try:
            store.get_file(key, place / path)
        except NotFound as error:
            raise NotFound(
                f"{store.url_of(key)} is gone: the artifact of result {record.alloc_id} is not whole any more",
                operation="get",
                key=key,
                hint="another result of this version may do: fedml index list --version " + record.version,
            ) from error
        if not _holds(place / path, paths[path]):
            raise IntegrityError(
                f"{store.url_of(key)} is not the file that result {record.alloc_id} published (sha256 differs); "
                "nothing was placed",
                operation="get",
                key=key,
                hint="the object was changed in the store: restore it from the bucket's version history",
            )

    with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
        try:
            list(pool.map(download, paths))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _move_into(place: Path, paths: Mapping[str, ResultFile], target: Path) -> None:
    for path in paths:
        goal = target / path
        if goal.is_dir() or any(parent.is_symlink() for parent in goal.parents if target in parent.parents):
            raise UsageError(f"{goal} is in the way of a file of the artifact", hint="name another folder with --to")
    for path in paths:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).replace(target / path)


def _holds(path: Path, file: ResultFile) -> bool:
    """Whether there is a plain file with that size and sha256."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size != file.size_bytes:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as data:
        while chunk := data.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest() == file.sha256


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FederationError(f"can't write to {target}: {error.strerror or error}") from error
