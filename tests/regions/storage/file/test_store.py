"""What is particular to a folder: lost answers, kinds of file systems, full disks, kills, what others put there."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from regions.model import StoreConfig
from regions.storage.errors import (
    AlreadyExists,
    IntegrityError,
    InvalidStoreURL,
    NotFound,
    NotSupported,
    PermissionDenied,
    StoreError,
    Unavailable,
)
from regions.storage.file import layout
from regions.storage.file.localfs import filesystem_kind, mapped_errors
from regions.storage.file.store import FileStore
from regions.storage.source import SourceFile
from regions.storage.store import Create, Overwrite, Update
from regions.storage.url import folder_url
from tests.emulators.tmpfs import tmpfs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> FileStore:
    return FileStore(StoreConfig(url=folder_url(root)))


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / layout.META_FOLDER).glob("*"))


@pytest.mark.parametrize("told", [errno.EEXIST, errno.EIO, errno.ETIMEDOUT])
def test_a_link_that_reports_failure_but_happened_is_success(
    store: FileStore, monkeypatch: pytest.MonkeyPatch, told: int
) -> None:
    link = os.link

    def lossy(source: Path, target: Path) -> None:
        link(source, target)
        raise OSError(told, os.strerror(told))

    monkeypatch.setattr(os, "link", lossy)
    assert store.put("key", b"mine", Create()).size_bytes == 4
    assert store.get("key") == b"mine"


def test_a_link_that_fails_and_did_not_happen_is_a_failure(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(source: Path, target: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "link", failing)
    with pytest.raises(Unavailable, match="Input/output error"):
        store.put("key", b"mine", Create())
    assert list(store.list()) == []


def test_a_file_system_without_hard_links_refuses_create_and_takes_overwrite(
    store: FileStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refused)
    with pytest.raises(NotSupported, match="needs hard links"):
        store.put("key", b"mine", Create())
    assert list(store.list()) == []
    assert hidden(root) == []
    store.put("key", b"mine", Overwrite())
    assert store.get("key") == b"mine"


MOUNTINFO = """\
22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:26 / /mnt/share\\040one rw - nfs4 server:/export rw,vers=4.2
31 22 0:27 / /mnt/share\\040one/local rw - tmpfs tmpfs rw
32 22 0:28 / /over rw - ext4 /dev/sdb rw
33 22 0:29 / /over rw - cifs //server/share rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/srv/store", "ext4"),
        ("/mnt", "ext4"),
        ("/mnt/share one/store", "nfs4"),
        ("/mnt/share one/local/store", "tmpfs"),
        ("/over/x", "cifs"),
        ("/overt", "ext4"),
    ],
)
def test_the_kind_of_file_system_is_that_of_the_deepest_newest_mount(folder: str, kind: str) -> None:
    assert filesystem_kind(Path(folder), MOUNTINFO) == kind


def test_update_is_refused_where_no_lock_reaches_every_writer(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    etag = store.put("key", b"one").etag
    monkeypatch.setattr("regions.storage.file.write.is_lockable", lambda folder: False)
    monkeypatch.setattr("regions.storage.file.localfs.is_lockable", lambda folder: False)
    with pytest.raises(NotSupported, match="Update is refused"):
        store.put("key", b"two", Update(etag))
    assert store.get("key") == b"one"
    store.put("key", b"three")
    assert store.get("key") == b"three"


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 300_000)
    with tmpfs(tmp_path / "small", size_kb=200) as small:
        store = FileStore(StoreConfig(url=folder_url(small / "store")))
        store.put("before", b"here")
        for put in (
            lambda: store.put("key", b"x" * 300_000),
            lambda: store.put("key", b"x" * 300_000, Create()),
            lambda: store.put_file("key", tmp_path / "large"),
        ):
            with pytest.raises(StoreError, match="no room left to write key: No space left on device") as caught:
                put()
            assert type(caught.value) is StoreError
            assert "make room" in caught.value.hint
        assert [info.key for info in store.list()] == ["before"]
        assert len(hidden(small / "store")) == 1  # what is noted of "before"
        with pytest.raises(StoreError, match="no room left"):
            FileStore(StoreConfig(url=folder_url(tmp_path))).get_file("large", small / "copy")
        assert not list(small.glob(".copy*"))
        assert store.get("before") == b"here"


KILLED_WRITERS = """
import os, signal, sys
from regions.model import StoreConfig
from regions.storage.file.store import FileStore
from regions.storage.store import Create, Overwrite

NAMES = ("open", "write", "utime", "fsync", "link", "close", "replace", "rename", "unlink", "mkdir")
store = FileStore(StoreConfig(url=sys.argv[1]))
old, new = b"o" * 50_000, b"n" * 100_000


def write_and_die(at):
    calls = 0

    def deadly(function):
        def wrapper(*arguments, **named):
            nonlocal calls
            calls += 1
            if calls == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return wrapper

    for name in NAMES:
        setattr(os, name, deadly(getattr(os, name)))
    store.put("new/created", new, Create())
    store.put("there/object", new, Overwrite())
    os._exit(0)


for at in range(1, 200):
    store.delete("new/created")
    store.put("there/object", old)
    child = os.fork()
    if not child:
        write_and_die(at)
    status = os.waitpid(child, 0)[1]
    created = [store.get(info.key) for info in store.list("new/")]
    assert created in ([], [new]), (at, len(created))
    assert [info.key for info in store.list("there/")] == ["there/object"], at
    assert store.get("there/object") in (old, new), at
    if status == 0:
        print("survived", at)
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, (at, status)
"""


def test_a_writer_killed_before_any_of_its_system_calls_leaves_no_torn_object(store: FileStore) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_WRITERS, store.url], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    word, points = done.stdout.split()
    assert word == "survived"
    assert int(points) > 20


def test_only_what_the_current_version_needs_is_kept_beside_it(store: FileStore, root: Path) -> None:
    for number in range(5):
        etag = store.put("a/key", b"%d" % number).etag
    assert hidden(root / "a") == [f"key~{etag}"]
    with pytest.raises(AlreadyExists):
        store.put("a/key", b"", Create())
    assert hidden(root / "a") == [f"key~{etag}"]


def test_delete_prunes_empty_folders_but_never_the_root(store: FileStore, root: Path) -> None:
    store.put("a/b/c", b"")
    store.put("a/d", b"")
    store.delete("a/b/c")
    assert not (root / "a/b").exists()
    store.delete("a/d")
    assert list(root.iterdir()) == []
    store.put("top", b"")
    store.delete("top")
    assert root.is_dir()


def test_what_others_put_there(store: FileStore, root: Path) -> None:
    (root / "by-hand").mkdir(parents=True)
    (root / "by-hand/file").write_bytes(b"copied in")
    (root / "by-hand/100%").write_bytes(b"no key maps to this name")
    (root / "by-hand/link").symlink_to(root)
    assert [info.key for info in store.list()] == ["by-hand/file"]
    assert store.get("by-hand/file") == b"copied in"
    assert store.stat("by-hand/file").sha256 is None
    with pytest.raises(AlreadyExists):
        store.put("by-hand/file", b"", Create())
    store.delete("by-hand/file")
    assert list(store.list()) == []


def test_a_file_edited_behind_the_stores_back_is_refused(store: FileStore, root: Path) -> None:
    store.put("key", b"as written")
    (root / "key").write_bytes(b"as edited")
    with pytest.raises(IntegrityError, match="was written"):
        store.get("key")
    store.put("key", b"written anew")
    assert store.get("key") == b"written anew"


def test_a_copy_of_the_whole_folder_is_still_verified(store: FileStore, root: Path, tmp_path: Path) -> None:
    store.put("a/key", b"as written")
    subprocess.run(["cp", "-r", str(root), str(tmp_path / "copy")], check=True)
    copied = FileStore(StoreConfig(url=folder_url(tmp_path / "copy")))
    assert copied.get("a/key") == b"as written"
    (tmp_path / "copy/a/key").write_bytes(b"as edited!")
    with pytest.raises(IntegrityError):
        copied.get("a/key")


def test_a_torn_note_of_a_crash_is_no_note(store: FileStore, root: Path) -> None:
    store.put("key", b"bytes")
    (root / layout.META_FOLDER / hidden(root)[0]).write_bytes(b'{"sha')
    assert store.get("key") == b"bytes"
    assert store.stat("key").sha256 is None


def test_a_file_that_grows_while_it_is_stored_is_refused(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 10)
    read = SourceFile.read

    def growing(self: SourceFile, offset: int, size_bytes: int) -> bytes:
        found = read(self, offset, size_bytes)
        with source.open("ab") as file:
            file.write(b"y")
        return b"" if offset else found

    monkeypatch.setattr(SourceFile, "read", growing)
    with pytest.raises(IntegrityError, match="changed while it was read"):
        store.put_file("key", source)
    assert list(store.list()) == []


@pytest.mark.parametrize(
    ("number", "kind", "is_write"),
    [
        (errno.ENOENT, NotFound, False),
        (errno.EACCES, PermissionDenied, True),
        (errno.EROFS, PermissionDenied, True),
        (errno.EDQUOT, StoreError, True),
        (errno.ENAMETOOLONG, InvalidStoreURL, False),
        (errno.ENOTDIR, NotSupported, True),
        (errno.ENOTDIR, NotFound, False),
        (errno.ESTALE, Unavailable, False),
        (errno.EMFILE, StoreError, False),
    ],
)
def test_system_errors_become_store_errors(number: int, kind: type[StoreError], is_write: bool) -> None:
    with pytest.raises(StoreError) as caught, mapped_errors("file:///srv", "put", "key", is_write=is_write):
        raise OSError(number, os.strerror(number))
    assert type(caught.value) is kind
    assert (caught.value.store, caught.value.operation, caught.value.key) == ("file:///srv", "put", "key")
    assert str(caught.value).startswith("store file:///srv: ")


def test_reading_makes_no_folder(store: FileStore, root: Path) -> None:
    for read in (store.get, store.stat):
        with pytest.raises(NotFound, match="no object a/b"):
            read("a/b")
    store.delete("a/b")
    assert list(store.list()) == []
    assert store.server_time() is None
    assert not root.exists()


@pytest.mark.parametrize("segment", ["%", "%25", "%2E", "%~", "." * 3, "x" * 200, "x" * 201, "é" * 512, "%" * 1024])
def test_every_segment_has_a_file_name_of_its_own(segment: str) -> None:
    names = layout.file_of(Path("/"), segment).parts[1:]
    assert all(len(name.encode()) <= 203 for name in names)
    others = [segment + "x", "x" + segment, segment.replace("%", "%25") + "-"]
    assert all(layout.file_of(Path("/"), other) != layout.file_of(Path("/"), segment) for other in others)


def test_sha256_is_of_the_bytes(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc" * 700_000)
    expected = hashlib.sha256(b"abc" * 700_000).hexdigest()
    assert store.put_file("f", tmp_path / "f").sha256 == store.put("g", b"abc" * 700_000).sha256 == expected


def test_a_folder_that_vanished_is_not_made_anew(store: FileStore, root: Path, tmp_path: Path) -> None:
    """As when its file system is unmounted: what is written then would be in another store."""
    store.put("a", b"1")
    store.put("b", b"2")
    root.rename(tmp_path / "gone")
    for act in (lambda: store.put("c", b"3", Create()), lambda: store.get("a")):
        with pytest.raises(Unavailable, match="the folder is gone"):
            act()
    assert not root.exists()
    root.mkdir()
    with pytest.raises(Unavailable, match="another folder is at its place"):
        store.put("c", b"3")
    root.rmdir()
    (tmp_path / "gone").rename(root)
    store.put("c", b"3", Create())
    assert [store.get(key) for key in "abc"] == [b"1", b"2", b"3"]


def test_a_folder_that_vanishes_while_it_is_written_to(
    store: FileStore, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("a", b"1")
    link = os.link

    def too_late(*arguments: object, **options: object) -> None:
        root.rename(tmp_path / "gone")
        link(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "link", too_late)
    with pytest.raises(Unavailable, match="the folder is gone"):
        store.put("b", b"2", Create())
