"""Store in a folder of a local or network file system. `layout` names the files, `write` writes them.

What it promises, and what each promise rests on:

- `Create`: the bytes are written to a temporary file (O_EXCL), synced, and given their name by link(2), which is atomic
  on local file systems and on NFS. A link that reports failure has still happened when the temporary file's `st_nlink`
  says 2 (an answer that NFS lost). A file system without hard links is refused with NotSupported.
- `Overwrite`: the same temporary file, renamed. Readers see the old object whole or the new one whole.
- `Update`: compare and rename under flock(2) on the folder, which a killed process gives back. Refused with
  NotSupported wherever that lock can't be proven to reach every writer: on network file systems (NFS, SMB, FUSE …), and
  where the kind of file system can't be found out (no /proc/self/mountinfo, as on macOS).
- After a crash or a full disk an object is there whole or not at all: files and folders are synced before success is
  reported, and what was being written lies in `.fedml-meta/`, which is never listed.
- One folder can't hold both an object `a` and an object `a/b`: the second is refused with NotSupported.

sha256, content type and metadata lie in `.fedml-meta/NAME~ETAG` beside the object, written before the object gets its
name and bound to exactly that version of it by the etag, so that no crash or race can pair them wrongly. Extended
attributes would be simpler, but NFS, macOS and older kernels don't keep them. The etag is the file's size and time of
change, whose digits below the millisecond are drawn at random, so that two versions of an object never share one. An
object without a sidecar (copied in by hand) has no sha256 and is read unverified; one that was changed behind the
store's back is refused by `get` with IntegrityError. Keys are case-sensitive where the file system is.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from regions.storage.errors import (
    IntegrityError,
    NotFound,
    StoreError,
    Unavailable,
)
from regions.storage.file.layout import META_FOLDER, file_of, keys_under
from regions.storage.file.localfs import (
    folder_lock,
    identity_of,
    mapped_errors,
    opened_regular,
    remove_quietly,
    sync_folder,
    write_all,
)
from regions.storage.file.sidecar import (
    etag_of,
    modified_of,
    notes_of_other_versions,
    read_note,
    sidecar_of,
)
from regions.storage.file.write import TRIES, ObjectWrite, copied
from regions.storage.source import SourceFile, opened_source
from regions.storage.store import (
    Mode,
    ObjectInfo,
    Overwrite,
    Progress,
    Store,
    checked_key,
    checked_prefix,
)
from regions.storage.url import folder_of, folder_url

if TYPE_CHECKING:
    from regions.storage.bucket_rules import Kind, Rule
from regions.store_config import StoreConfig

_BINARY = "application/octet-stream"


class FileStore(Store):
    """The store of a `file:///…` URL. The folder is made at the first write."""

    def __init__(self, config: StoreConfig) -> None:
        self.url = config.url
        self._root = folder_of(config.url)
        self._identity: tuple[int, int] | None = None

    def put(
        self,
        key: str,
        data: bytes,
        mode: Mode = Overwrite(),
        *,
        content_type: str = _BINARY,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """See `Store.put`. Raises StoreError for a full disk, with nothing visible left."""

        def write(file: int) -> str:
            write_all(file, data)
            return hashlib.sha256(data).hexdigest()

        return self._write(key, write, mode, content_type, metadata or {})

    def put_file(
        self,
        key: str,
        path: Path,
        *,
        content_type: str = _BINARY,
        sha256: str = "",
        progress: Progress | None = None,
    ) -> ObjectInfo:
        """See `Store.put_file`."""
        progress = progress or self.progress
        with opened_source(path) as source:

            def write(file: int) -> str:
                copied_sha256 = copied(source, file, progress)
                if sha256 not in ("", copied_sha256):
                    raise source.changed()
                return copied_sha256

            return self._write(key, write, Overwrite(), content_type, {})

    def get(self, key: str) -> bytes:
        """See `Store.get`."""
        return self._get(key, None)

    def get_small(self, key: str, *, limit_bytes: int) -> bytes:
        """See `Store.get_small`."""
        return self._get(key, limit_bytes)

    def _get(self, key: str, limit_bytes: int | None) -> bytes:
        target = file_of(self._root, checked_key(key))
        for _ in range(TRIES):
            try:
                with mapped_errors(self.url, "get", key), opened_regular(target) as file:
                    status = os.fstat(file.fileno())
                    if limit_bytes is not None and status.st_size > limit_bytes:
                        raise self.too_large(key, status.st_size, limit_bytes)
                    # `read` takes room for all that it may read: not for the whole limit
                    data = file.read(-1 if limit_bytes is None else min(limit_bytes, status.st_size) + 1)
            except NotFound:
                self._require_same_folder("get", key)
                raise
            if self._is_verified(target, etag_of(status), hashlib.sha256(data).hexdigest(), key):
                return data
        raise _too_fast(self.url, "get", key)

    def get_range(self, key: str, start: int, size_bytes: int) -> bytes:
        """See `Store.get_range`."""
        target = file_of(self._root, checked_key(key))
        with mapped_errors(self.url, "get", key), opened_regular(target) as file:
            file.seek(start)
            return file.read(size_bytes)

    def get_file(self, key: str, path: Path, *, progress: Progress | None = None) -> ObjectInfo:
        """See `Store.get_file`."""
        progress = progress or self.progress
        target = file_of(self._root, checked_key(key))
        partial = path.with_name(f".{path.name[:60]}.{os.urandom(8).hex()}.part")
        try:
            for _ in range(TRIES):
                with mapped_errors(self.url, "get_file", key), opened_regular(target) as source:
                    status = os.fstat(source.fileno())
                    with mapped_errors("", "write", str(path), is_write=True), partial.open("wb") as file:
                        sha256 = copied(SourceFile(target, source.fileno()), file.fileno(), progress)
                        os.fsync(file.fileno())
                if self._is_verified(target, etag_of(status), sha256, key):
                    with mapped_errors("", "write", str(path), is_write=True):
                        partial.replace(path)
                    return self._info(key, target, status)
        finally:
            remove_quietly(partial)
        raise _too_fast(self.url, "get_file", key)

    def stat(self, key: str) -> ObjectInfo:
        """See `Store.stat`."""
        target = file_of(self._root, checked_key(key))
        with mapped_errors(self.url, "stat", key):
            status = target.stat()
            if not stat.S_ISREG(status.st_mode):
                raise NotFound(f"no object {key}", store=self.url, operation="stat", key=key)
            return self._info(key, target, status)

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """See `Store.list`. An object that is removed meanwhile is left out; `sha256` and `metadata` are absent."""
        with mapped_errors(self.url, "list", prefix):
            for key, path in keys_under(self._root, checked_prefix(prefix), start_after):
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue
                yield ObjectInfo(key, status.st_size, etag_of(status), modified=modified_of(status))

    def delete(self, key: str) -> None:
        """See `Store.delete`. Folders that it leaves empty are removed."""
        target = file_of(self._root, checked_key(key))
        try:
            with mapped_errors(self.url, "delete", key), folder_lock(target.parent):
                etag = etag_of(target.stat())
                target.unlink()
                remove_quietly(sidecar_of(target, etag))
                sync_folder(target.parent)
        except NotFound:
            return
        with suppress(OSError):  # the first folder that isn't empty ends it
            while target.parent != self._root:
                target = target.parent
                with suppress(FileNotFoundError):
                    (target / META_FOLDER).rmdir()
                target.rmdir()

    def url_of(self, key: str) -> str:
        """The file's own URL."""
        return folder_url(file_of(self._root, checked_key(key)))

    def rules(self, kind: Kind) -> Sequence[Rule]:
        """No rules: a folder does nothing by itself."""
        return ()

    def server_time(self) -> datetime | None:
        """The file system's clock, by a file written for it; None where the folder isn't there or can't be written."""
        probe = self._root / META_FOLDER / f"clock-{os.urandom(8).hex()}"
        try:
            if not self._root.is_dir():
                return None
            probe.parent.mkdir(exist_ok=True)
            probe.touch()
            return modified_of(probe.stat())
        except OSError:
            return None
        finally:
            remove_quietly(probe)

    def _require_same_folder(self, operation: str, key: str) -> None:
        """Raises Unavailable where the folder that was used before is gone, or another one is at its place (a file system that
        was unmounted): what is written there would be in another store."""
        before = self._identity  # read before the look at the folder: another thread may make both meanwhile
        now = identity_of(self._root)
        if before is None:
            self._identity = self._identity or now
        elif now != before:
            raise Unavailable(
                "the folder is gone" if now is None else "another folder is at its place",
                store=self.url,
                operation=operation,
                key=key,
                hint="bring it back (is its file system mounted?), and say the command again",
            )

    def _write(
        self, key: str, write: Callable[[int], str], mode: Mode, content_type: str, metadata: Mapping[str, str]
    ) -> ObjectInfo:
        self._require_same_folder("put", key)
        try:
            with mapped_errors(self.url, "put", key, is_write=True):
                object_write = ObjectWrite(self.url, key, file_of(self._root, checked_key(key)), mode)
                return object_write.done(write, content_type, metadata)
        except StoreError:
            self._require_same_folder("put", key)  # it may have gone meanwhile
            raise

    def _is_verified(self, target: Path, etag: str, sha256: str, key: str) -> bool:
        """Whether what was read is what was written; False when the object was replaced meanwhile: read it again."""
        note = read_note(sidecar_of(target, etag))
        notes = [note] if note is not None else list(notes_of_other_versions(target))
        expected = {noted["sha256"] for noted in notes}
        if not expected or sha256 in expected:
            return True
        with mapped_errors(self.url, "get", key):
            if etag_of(target.stat()) != etag:
                return False
        raise IntegrityError(
            f"{key} has sha256 {sha256}, but {' or '.join(sorted(expected))} was written",
            store=self.url,
            operation="get",
            key=key,
            hint="the file was damaged or edited behind the store's back: restore or publish it again",
        )

    def _info(self, key: str, target: Path, status: os.stat_result) -> ObjectInfo:
        note = read_note(sidecar_of(target, etag_of(status))) or {}
        return ObjectInfo(
            key,
            status.st_size,
            etag_of(status),
            note.get("sha256"),
            modified_of(status),
            note.get("content_type", _BINARY),
            note.get("metadata", {}),
        )


def _too_fast(store: str, operation: str, key: str) -> Unavailable:
    return Unavailable(f"{key} changes faster than it can be read", store=store, operation=operation, key=key)
