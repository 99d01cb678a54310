"""Checks an open store: each permission, then each promise, some of them under a race.

All of it happens under `doctor/check-<random id>/`, which is removed at the end, so that the rights of a coordinator
(`roles`) are enough. A missing permission skips the checks that need it. Raises nothing but for a bug.
"""

from __future__ import annotations

import filecmp
import secrets
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from federation.check import Check, Outcome
from federation.checks.clock import store_clock_check
from federation.checks.stores.rules import lifecycle, lock, rules_check, versions
from jobs.errors import FedmlError
from regions.storage.bucket_rules import Kind
from regions.storage.errors import (
    AlreadyExists,
    IntegrityError,
    NotFound,
    NotSupported,
    PermissionDenied,
    PreconditionFailed,
)
from regions.storage.race import race_create, race_update
from regions.storage.store import Create, ObjectInfo, Store, Update

WRITERS = 16
CREATE_ROUNDS = 5
UPDATE_WRITERS = 8
UPDATES_EACH = 5
LARGE_FILE_BYTES = 20_000_000

_READ_ROUNDS = 10
_ORDERED = ("A", "a b", "a%20b", "a-b", "a.b", "a/b", "a/b-c/d", "a0", "a~", "b", "é", "\uff5e", "\U0001f600")
"""Keys in the order of their UTF-8 bytes; the last two are the other way round in UTF-16."""
_CHUNK_BYTES = 1 << 20


def check_promises(store: Store, subject: str, *, large_file_bytes: int = LARGE_FILE_BYTES) -> list[Check]:
    """Runs every check of one store. It takes as long as about 300 small requests and the large file, up and down."""
    return _Examination(store, subject, large_file_bytes).run()


class _Broken(Exception):
    """A promise that doesn't hold: what happened, and what to do."""

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(found)
        self.found = found
        self.remedy = remedy


class _Skipped(Exception):
    """Something that the store itself says it doesn't do, or that can't be checked."""


class _Examination:
    def __init__(self, store: Store, subject: str, large_file_bytes: int) -> None:
        self.store = store
        self.subject = subject
        self.large_file_bytes = large_file_bytes
        self.prefix = f"doctor/check-{secrets.token_hex(8)}/"
        self.probe = f"{self.prefix}probe"
        self.checks: list[Check] = []
        self.written: set[str] = set()
        """Keys to remove at the end even where nothing can be listed."""
        self.was_denied = False
        """Whether the last failure was a missing permission."""

    def run(self) -> list[Check]:
        if not self.permissions():
            return self.checks
        try:
            self.step("create-if-absent, in turn", self.create_in_turn, needs=("put",))
            self.step(f"create-if-absent, {WRITERS} writers racing", self.create_race, needs=("put", "get", "delete"))
            self.step("compare-and-swap", self.compare_and_swap, needs=("put", "get", "delete"))
            self.step("read after write", self.read_after_write, needs=("put", "get", "delete"))
            self.step("list order", self.list_order, needs=("put", "list"))
            self.step(_megabytes("large file, {}", self.large_file_bytes), self.large_file, needs=("put", "get"))
        finally:
            self.clean_up()
        self.checks.append(store_clock_check(self.store, self.subject))
        for kind, judge in ((Kind.LIFECYCLE, lifecycle), (Kind.LOCK, lock), (Kind.VERSIONS, versions)):
            self.checks.append(rules_check(self.store, self.subject, kind, judge))
        return self.checks

    # ── permissions ───────────────────────────────────────────────────────────────────────────────────────────────────

    def permissions(self) -> bool:
        """Makes one check a permission. False where the store can't even be asked."""
        self.step("may put", self.may_put, needs=())
        if self.outcome("may put") is Outcome.FAILED and not self.was_denied:
            return False
        self.step("may get", self.may_get, needs=("put",))
        self.step("may list", self.may_list, needs=())
        self.step("may delete", self.may_delete, needs=())
        return True

    def may_put(self) -> str:
        self.put(self.probe, b"fedml stores check")
        return ""

    def may_get(self) -> str:
        self.store.get(self.probe)
        return ""

    def may_list(self) -> str:
        next(self.store.list(self.prefix), None)
        return ""

    def may_delete(self) -> str:
        self.store.delete(self.probe)
        return ""

    def outcome(self, name: str) -> Outcome:
        return next(check.outcome for check in self.checks if check.name == name)

    # ── promises ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def create_in_turn(self) -> str:
        key = f"{self.prefix}once"
        self.put(key, b"first", create=True)
        try:
            self.put(key, b"second", create=True)
        except AlreadyExists:
            return ""
        raise _Broken("the second writer was told that it had created an object that was there", _UNFIT)

    def create_race(self) -> str:
        try:
            outcome = race_create(self.store, WRITERS, CREATE_ROUNDS, prefix=self.prefix)
        except IntegrityError:
            raise _Broken("the object is a mixture of several writers' bytes and metadata", _UNFIT) from None
        if not outcome.holds:
            raise _Broken(outcome.problem, _UNFIT)
        return f"one winner in each of {CREATE_ROUNDS} rounds"

    def compare_and_swap(self) -> str:
        key = f"{self.prefix}swapped"
        old = self.put(key, b"1")
        try:
            new = self.store.put(key, b"2", Update(old.etag))
        except NotSupported:
            raise _Skipped("refused, and it says so; fedml needs only create-if-absent") from None
        except PreconditionFailed:
            raise _Broken("the etag that it had just given was refused", _NO_UPDATE) from None
        try:
            self.store.put(key, b"3", Update(old.etag))
        except PreconditionFailed:
            pass
        else:
            raise _Broken("a stale etag (If-Match) was ignored: the object was overwritten", _NO_UPDATE)
        if self.store.stat(key).etag != new.etag or self.store.get(key) != b"2":
            raise _Broken("a refused write changed the object", _NO_UPDATE)
        wanted = UPDATE_WRITERS * UPDATES_EACH
        count = race_update(self.store, UPDATE_WRITERS, UPDATES_EACH, prefix=self.prefix)
        if count != wanted:
            raise _Broken(f"a counter raised {wanted} times by {UPDATE_WRITERS} writers stands at {count}", _NO_UPDATE)
        return f"a counter raised {wanted} times by {UPDATE_WRITERS} writers is exact"

    def read_after_write(self) -> str:
        """Reads a key as the index's tail is read: first it is not there, then it is created, then it is there at once and
        stays the same."""
        for number in range(_READ_ROUNDS):
            key = f"{self.prefix}read/{number:04d}"
            data = secrets.token_bytes(64)
            if self.is_there(key):
                raise _Broken("a key that was never written is there", _STALE)
            self.put(key, data, create=True)
            try:
                found = self.store.get(key)
            except NotFound:
                raise _Broken("what was just created isn't found", _STALE) from None
            if found != data:
                raise _Broken("it gave back other bytes than were written", _STALE)
            self.put(key, data * 2)
            if self.store.get(key) != data * 2:
                raise _Broken("after an overwrite it gave back the old bytes", _STALE)
            self.store.delete(key)
            if self.is_there(key):
                raise _Broken("a deleted object is still there", _STALE)
        return f"{_READ_ROUNDS} rounds"

    def list_order(self) -> str:
        folder = f"{self.prefix}order/"
        for name in reversed(_ORDERED):
            self.put(folder + name, b"")
        wanted = [folder + name for name in _ORDERED]
        found = [info.key for info in self.store.list(folder)]
        if set(found) != set(wanted):
            missing = [key.removeprefix(folder) for key in wanted if key not in found]
            raise _Broken(f"of {len(wanted)} objects just written, {len(missing)} aren't listed: {missing}", _STALE)
        if found != wanted:
            raise _Broken("objects aren't listed in the order of their keys' UTF-8 bytes", _ORDER)
        after = [info.key for info in self.store.list(folder, start_after=wanted[4])]
        if after != wanted[5:]:
            raise _Broken(f"a listing that starts after {_ORDERED[4]!r} gives other objects than the rest", _ORDER)
        return f"{len(wanted)} keys with spaces, accents and slashes"

    def large_file(self) -> str:
        key = f"{self.prefix}large"
        self.written.add(key)
        with tempfile.TemporaryDirectory(prefix="fedml-stores-check-") as folder:
            up, down = Path(folder) / "up", Path(folder) / "down"
            with up.open("wb") as file:
                left = self.large_file_bytes
                while left:
                    left -= file.write(secrets.token_bytes(min(left, _CHUNK_BYTES)))
            started = time.perf_counter()
            sent = self.store.put_file(key, up)
            between = time.perf_counter()
            got = self.store.get_file(key, down)
            ended = time.perf_counter()
            if not filecmp.cmp(up, down, shallow=False):
                raise _Broken("it came back different", _STALE)
            if got.sha256 != sent.sha256:
                raise _Broken("its sha256 wasn't kept: the server drops metadata", _NO_METADATA)
        rates = [
            _megabytes("{}/s", self.large_file_bytes / seconds) for seconds in (between - started, ended - between)
        ]
        return f"up {rates[0]}, down {rates[1]}"

    # ── how ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    def step(self, name: str, act: Callable[[], str], *, needs: tuple[str, ...]) -> None:
        lacking = [one for one in needs if self.outcome(f"may {one}") is not Outcome.OK]
        if lacking:
            self.checks.append(Check(self.subject, name, Outcome.SKIPPED, f"needs to {' and '.join(lacking)}"))
            return
        outcome, remedy = Outcome.OK, ""
        try:
            found = act()
        except _Skipped as skipped:
            outcome, found = Outcome.SKIPPED, str(skipped)
        except _Broken as broken:
            outcome, found, remedy = Outcome.FAILED, broken.found, broken.remedy
        except FedmlError as error:
            self.was_denied = isinstance(error, PermissionDenied)
            outcome, found = Outcome.FAILED, error.message
            remedy = _ALLOW if self.was_denied else error.hint
        self.checks.append(Check(self.subject, name, outcome, found, remedy))

    def put(self, key: str, data: bytes, *, create: bool = False) -> ObjectInfo:
        self.written.add(key)
        return self.store.put(key, data, Create()) if create else self.store.put(key, data)

    def is_there(self, key: str) -> bool:
        try:
            self.store.get(key)
        except NotFound:
            return False
        return True

    def clean_up(self) -> None:
        """Removes all under the prefix. A check says so when something stays."""
        with suppress(FedmlError):
            self.written |= {info.key for info in self.store.list(self.prefix)}
        try:
            for key in sorted(self.written):
                self.store.delete(key)
        except FedmlError as error:
            where = self.store.url_of(self.prefix.rstrip("/"))
            self.checks.append(
                Check(self.subject, "clean up", Outcome.WARNING, error.message, f"remove what is left under {where}/")
            )


_UNFIT = "use another server: all guarantees rest on this (If-None-Match)"
_NO_UPDATE = "use another server: one that ignores conditions is no home store"
_STALE = "take caches and proxies out of the way, or use another server"
_NO_METADATA = "use another server: damage wouldn't be noticed by reads"
_ORDER = "use another server: listings would miss results"
_ALLOW = "`fedml stores check --policy` prints the rights that each role needs"


def _megabytes(text: str, size_bytes: float) -> str:
    return text.format(f"{size_bytes / 1e6:.0f} MB")
