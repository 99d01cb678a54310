"""Every promise is looked at; stores that break one are found out, in this process and over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from federation.check import Check, Outcome
from federation.checks.stores.promises import check_promises
from regions.model import StoreConfig
from regions.storage import open_store
from regions.storage.errors import (
    IntegrityError,
    NotFound,
    NotSupported,
    PermissionDenied,
    PreconditionFailed,
    Unavailable,
)
from regions.storage.file.store import FileStore
from regions.storage.store import Create, Mode, ObjectInfo, Overwrite, Update
from regions.storage.url import folder_url
from tests.emulators.loose_s3 import CREATE, UPDATE, loose_s3

NAMES = [
    "may put",
    "may get",
    "may list",
    "may delete",
    "create-if-absent, in turn",
    "create-if-absent, 16 writers racing",
    "compare-and-swap",
    "read after write",
    "list order",
    "large file, 1 MB",
    "clock",
    "lifecycle rules",
    "object lock",
    "versioning",
]


class Bent(FileStore):
    """A folder that keeps every promise but the one that a subclass breaks."""

    def put(
        self,
        key: str,
        data: bytes,
        mode: Mode = Overwrite(),
        *,
        content_type: str = "text/plain",
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        return super().put(key, data, self.bent(key, mode), content_type=content_type, metadata=metadata)

    def bent(self, key: str, mode: Mode) -> Mode:
        return mode


class EveryWriterWins(Bent):
    def bent(self, key: str, mode: Mode) -> Mode:
        return Overwrite() if isinstance(mode, Create) else mode


class EveryRacingWriterWins(Bent):
    """As a server that looks first: in turn it seems to hold."""

    def bent(self, key: str, mode: Mode) -> Mode:
        return Overwrite() if isinstance(mode, Create) and "/race-" in key else mode


class MixesRacingWriters(Bent):
    """As a server that keeps bytes and metadata apart."""

    def get(self, key: str) -> bytes:
        if "/race-" in key:
            raise IntegrityError(f"{key} has another sha256")
        return super().get(key)


class IgnoresEtags(Bent):
    def bent(self, key: str, mode: Mode) -> Mode:
        return Overwrite() if isinstance(mode, Update) else mode


class IgnoresRacingEtags(Bent):
    def bent(self, key: str, mode: Mode) -> Mode:
        return Overwrite() if isinstance(mode, Update) and "/counter-" in key else mode


class RefusesEveryEtag(Bent):
    def bent(self, key: str, mode: Mode) -> Mode:
        if isinstance(mode, Update):
            raise PreconditionFailed("no")
        return mode


class HasNoUpdate(Bent):
    def bent(self, key: str, mode: Mode) -> Mode:
        if isinstance(mode, Update):
            raise NotSupported("no Update here")
        return mode


class ForgetsWhatWasLookedFor(Bent):
    """A cache in front that remembers a 404."""

    def __init__(self, config: StoreConfig) -> None:
        super().__init__(config)
        self.missed: set[str] = set()

    def get(self, key: str) -> bytes:
        if key in self.missed:
            raise NotFound(f"{key} isn't there")
        try:
            return super().get(key)
        except NotFound:
            self.missed.add(key)
            raise


class ServesOldBytes(Bent):
    def __init__(self, config: StoreConfig) -> None:
        super().__init__(config)
        self.seen: dict[str, bytes] = {}

    def get(self, key: str) -> bytes:
        return self.seen.setdefault(key, super().get(key)) if "/read/" in key else super().get(key)


class ListsInDisorder(Bent):
    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        return iter(sorted(super().list(prefix, start_after=start_after), key=lambda one: one.key.encode("utf-16-be")))


class ListsLate(Bent):
    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        return iter(list(super().list(prefix, start_after=start_after))[:-1])


class IgnoresStartAfter(Bent):
    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        return super().list(prefix)


class FlipsABit(Bent):
    def get_file(self, key: str, path: Path, **options: Any) -> ObjectInfo:
        info = super().get_file(key, path, **options)
        data = bytearray(path.read_bytes())
        data[1000] ^= 1
        path.write_bytes(bytes(data))
        return info


class DropsMetadata(Bent):
    def get_file(self, key: str, path: Path, **options: Any) -> ObjectInfo:
        return replace(super().get_file(key, path, **options), sha256=None)


class MayNotDelete(Bent):
    def delete(self, key: str) -> None:
        raise PermissionDenied("delete: access denied", store=self.url, operation="delete", key=key)


class MayNotGet(Bent):
    def get(self, key: str) -> bytes:
        raise PermissionDenied("get: access denied", store=self.url, operation="get", key=key)


class MayNotPut(Bent):
    def bent(self, key: str, mode: Mode) -> Mode:
        raise PermissionDenied("put: access denied", store=self.url, operation="put", key=key)


class IsDown(Bent):
    def bent(self, key: str, mode: Mode) -> Mode:
        raise Unavailable("the line is down", hint="look at the line")


def checked(kind: type[FileStore], folder: Path) -> list[Check]:
    return check_promises(kind(StoreConfig(url=folder_url(folder))), "store", large_file_bytes=1_000_000)


def failed(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.detail for check in checks if check.outcome is Outcome.FAILED}


def skipped(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.detail for check in checks if check.outcome is Outcome.SKIPPED}


def test_a_sound_store_passes_all_and_nothing_is_left(tmp_path: Path) -> None:
    checks = checked(FileStore, tmp_path)
    assert [check.name for check in checks] == NAMES
    assert {check.outcome for check in checks} == {Outcome.OK}
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("kind", "broken", "told"),
    [
        (EveryWriterWins, "create-if-absent, in turn", "the second writer was told that it had created"),
        (EveryRacingWriterWins, "create-if-absent, 16 writers racing", "isn't atomic: of 16 writers"),
        (MixesRacingWriters, "create-if-absent, 16 writers racing", "a mixture of several writers' bytes"),
        (IgnoresEtags, "compare-and-swap", "a stale etag (If-Match) was ignored"),
        (IgnoresRacingEtags, "compare-and-swap", "a counter raised 40 times by 8 writers stands at"),
        (RefusesEveryEtag, "compare-and-swap", "the etag that it had just given was refused"),
        (ForgetsWhatWasLookedFor, "read after write", "what was just created isn't found"),
        (ServesOldBytes, "read after write", "after an overwrite it gave back the old bytes"),
        (ListsInDisorder, "list order", "aren't listed in the order"),
        (ListsLate, "list order", "of 13 objects just written, 1 aren't listed"),
        (IgnoresStartAfter, "list order", "a listing that starts after"),
        (FlipsABit, "large file, 1 MB", "it came back different"),
        (DropsMetadata, "large file, 1 MB", "its sha256 wasn't kept"),
    ],
)
def test_a_broken_promise_is_found_out(kind: type[FileStore], broken: str, told: str, tmp_path: Path) -> None:
    checks = checked(kind, tmp_path)
    found = failed(checks)
    assert told in found[broken]
    assert set(found) <= {broken, "create-if-absent, 16 writers racing"}
    assert all(check.remedy for check in checks if check.outcome is Outcome.FAILED)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_store_without_update_says_so_and_passes(tmp_path: Path) -> None:
    checks = checked(HasNoUpdate, tmp_path)
    assert failed(checks) == {}
    assert skipped(checks) == {"compare-and-swap": "refused, and it says so; fedml needs only create-if-absent"}


@pytest.mark.parametrize(
    ("kind", "missing", "unseen"),
    [
        (MayNotGet, "may get", {NAMES[5], NAMES[6], NAMES[7], NAMES[9]}),
        (MayNotDelete, "may delete", {NAMES[5], NAMES[6], NAMES[7]}),
        (MayNotPut, "may put", {"may get", *NAMES[4:10]}),
    ],
)
def test_a_missing_permission_is_named_and_skips_what_needs_it(
    kind: type[FileStore], missing: str, unseen: set[str], tmp_path: Path
) -> None:
    checks = checked(kind, tmp_path)
    assert list(failed(checks)) == [missing]
    assert set(skipped(checks)) == unseen
    assert "--policy" in next(check.remedy for check in checks if check.name == missing)


def test_what_could_not_be_removed_is_told(tmp_path: Path) -> None:
    left = next(check for check in checked(MayNotDelete, tmp_path) if check.name == "clean up")
    assert left.outcome is Outcome.WARNING
    assert left.remedy.startswith(f"remove what is left under {folder_url(tmp_path)}/doctor/check-")


def test_a_store_that_does_not_answer_is_asked_once(tmp_path: Path) -> None:
    checks = checked(IsDown, tmp_path)
    assert [(check.name, check.outcome, check.detail, check.remedy) for check in checks] == [
        ("may put", Outcome.FAILED, "the line is down", "look at the line")
    ]


@pytest.mark.parametrize("cloud", ["s3_config", "gcs_config", "azure_config"])
def test_each_cloud_by_parts(cloud: str, request: pytest.FixtureRequest) -> None:
    store = open_store(request.getfixturevalue(cloud))
    checks = check_promises(store, "store")
    assert [check.name for check in checks] == [*NAMES[:9], "large file, 20 MB", *NAMES[10:]]
    unread = ["lifecycle rules"] if cloud == "azure_config" else []  # only the account's management tells them
    assert [check.name for check in checks if check.outcome is not Outcome.OK] == unread, checks
    assert list(store.list()) == []


@pytest.mark.usefixtures("aws_credentials")
@pytest.mark.parametrize(
    ("ignores", "broken"),
    [
        ((), set()),
        ((CREATE,), {"create-if-absent, in turn", "create-if-absent, 16 writers racing"}),
        ((UPDATE,), {"compare-and-swap"}),
    ],
    ids=["sound", "every writer wins", "stale If-Match ignored"],
)
def test_servers_that_ignore_conditions_are_caught(ignores: tuple[str, ...], broken: set[str]) -> None:
    with loose_s3(*ignores) as endpoint:
        config = StoreConfig(url="s3://bucket/prefix", endpoint=endpoint, location="us-east-1")
        checks = check_promises(open_store(config), "store", large_file_bytes=1_000_000)
    assert set(failed(checks)) == broken, checks


@pytest.mark.parametrize("server", ["rclone", "s3rver"])
def test_real_servers_that_let_every_writer_win_are_caught(server: str, request: pytest.FixtureRequest) -> None:
    store = open_store(request.getfixturevalue(f"{server}_config"))
    checks = check_promises(store, "store", large_file_bytes=1_000_000)
    assert {"create-if-absent, in turn", "create-if-absent, 16 writers racing", "compare-and-swap"} <= set(
        failed(checks)
    )
    assert all(check.remedy for check in checks if check.outcome is Outcome.FAILED)
