"""Send requests through a vendor's SDK, as long as they may be tried, and raise `StoreError`s only.

Retries are counted here (`retry`), not by the SDKs. Each request keeps limits of time and bytes as a whole
(`regions.call_limits`): an SDK's own timeout starts anew with each byte.
"""

from __future__ import annotations

import errno
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, TypeVar

from jobs.errors import ForeignTextError
from jobs.frozen import frozen
from regions.call_limits import CallLimits
from regions.storage.bucket_rules import Kind, Rule
from regions.storage.errors import InvalidStoreURL, PermissionDenied, StoreError, Unavailable
from regions.storage.object_metadata import Noted
from regions.storage.retry import Patience, Retries
from regions.storage.source import SourceFile
from regions.storage.store import KEY_BYTES_MAX, Mode, ObjectInfo, Progress, checked_key
from regions.store_config import StoreConfig

T = TypeVar("T")
_log = logging.getLogger("fedml.requests")

BINARY = "application/octet-stream"
CONNECTIONS = 64
CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
REQUEST_S = 60.0
"""How long one request may take, from connecting to the last byte of its answer."""
RATE_BYTES_PER_S = 8 << 10
"""Each such number of an object's bytes that moves adds a second to it."""
ANSWER_BYTES_MAX = 64 << 20
"""Most bytes of an answer that holds no object: the longest is a page of a listing."""
SLACK_BYTES = 1 << 20
"""Bytes that the answer to a read may have beyond the object's: its headers, or a refusal."""


_OF_A_FILE = (None, errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENOTDIR, errno.EPERM)
"""What an SDK raises about a file of this machine that its configuration names. requests gives no number."""
_UNREADABLE = (
    *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError),
    ForeignTextError,
)
"""What reading an answer may raise where the server isn't the vendor's."""


@frozen
class Found:
    """An object as the vendor describes it. `info.size_bytes` is the whole object's, also where a range was read."""

    info: ObjectInfo
    nonce: str | None


@frozen
class Page:
    """Objects in the vendor's order, by full name, and what to ask the next page with (None: there is none)."""

    objects: Sequence[ObjectInfo]
    token: str | None


@frozen
class Limits:
    """What one request may take and give. `is_data`: an object's bytes move, so the larger it is, the longer it may take."""

    answer_bytes_max: int = ANSWER_BYTES_MAX
    is_data: bool = False
    deadline_s: float | None = None
    """None: as long as any request."""


SENDS = Limits(SLACK_BYTES, is_data=True)
"""For a request that sends an object's bytes."""


def closing_after(chunks: Iterable[bytes], close: Callable[[], object] = lambda: None) -> Generator[bytes, None, None]:
    """The chunks, then `close`, also where not all of them are taken."""
    try:
        yield from chunks
    finally:
        close()


class SDKStore(ABC):
    """One bucket (container) as its SDK sees it. A backend implements the abstract methods; none of them tries twice."""

    url: str
    patience = Patience()
    file_variables = "environment variables"
    """Which of them name files that the SDK reads."""

    def __init__(self, config: StoreConfig, bucket: str, prefix: str) -> None:
        self.url = config.url
        self.endpoint = config.endpoint
        self._config = config
        self._bucket = bucket
        self._base = f"{prefix}/" if prefix else ""
        self._lock = Lock()
        self._client: Any = None

    def _name(self, key: str) -> str:
        name = self._base + checked_key(key)
        if len(name.encode()) > KEY_BYTES_MAX:
            raise InvalidStoreURL(
                f"object key {key[:80]!r} has more than {KEY_BYTES_MAX} bytes with the store's own prefix",
                store=self.url,
                key=key,
            )
        return name

    def _call(self, operation: str, key: str, request: Callable[[Any], T], limits: Limits = Limits()) -> T:
        """A request that may be sent again, as often as `patience` allows."""
        retries = Retries(self.patience)
        while True:
            try:
                return self._once(operation, key, request, limits)
            except Unavailable as failure:
                retries.wait(failure)

    def _once(self, operation: str, key: str, request: Callable[[Any], T], limits: Limits = Limits()) -> T:
        """One request. Credential references are read anew, once, when the store refuses what they gave before."""
        try:
            return self._limited(operation, key, request, limits)
        except PermissionDenied:
            if self._config.access_key_id is None and self._config.secret_access_key is None:
                raise
        with self._lock:
            self._client = None
        return self._limited(operation, key, request, limits)

    def _limited(self, operation: str, key: str, request: Callable[[Any], T], limits: Limits) -> T:
        """One request within its limits. Raises Unavailable that says which one it broke."""
        with self._mapped(operation, key):
            client = self._opened()  # loading an SDK takes a second, which isn't the store's
        call = CallLimits(
            limits.deadline_s or min(REQUEST_S, self.patience.deadline_s),
            answer_bytes_max=limits.answer_bytes_max,
            rate_bytes_per_s=RATE_BYTES_PER_S if limits.is_data else None,
        )
        began, end = time.monotonic(), "done"
        try:
            with self._mapped(operation, key), call.applied():
                return request(client)
        except (StoreError, OSError) as error:
            end = type(error).__name__
            if not call.problem:
                raise
            failure = Unavailable(
                f"{operation} of {key or 'the bucket'} failed: {call.problem}",
                store=self.url,
                operation=operation,
                key=key,
            )
            failure.is_passing = not call.is_too_large
            raise failure from error
        finally:
            _log.debug("%s: %s %s: %s in %.2f s", self.url, operation, key, end, time.monotonic() - began)

    @contextmanager
    def _mapped(self, operation: str, key: str) -> Iterator[None]:
        """Turns each error of the SDK into a StoreError."""
        try:
            yield
        except StoreError:
            raise
        except self._sdk_errors() as error:
            raise self._store_error(error, operation, key) from error
        except OSError as error:
            if error.errno not in _OF_A_FILE:
                raise
            raise StoreError(
                f"{operation} of {key or 'the bucket'} failed: {error}",
                store=self.url,
                operation=operation,
                key=key,
                hint=f"check the files that {self.file_variables} name",
            ) from error
        except _UNREADABLE as error:
            failure = Unavailable(
                f"{operation} of {key or 'the bucket'} failed: what answers there can't be understood",
                store=self.url,
                operation=operation,
                key=key,
                hint="check the endpoint of the store",
            )
            failure.is_passing = False
            raise failure from error

    def _opened(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._new_client()
            return self._client

    @abstractmethod
    def _new_client(self) -> Any:
        """The SDK's client, its own retries off, fit for several threads. Raises PermissionDenied without credentials."""

    @abstractmethod
    def _sdk_errors(self) -> tuple[type[Exception], ...]:
        """Every class that the SDK raises."""

    @abstractmethod
    def _store_error(self, error: Any, operation: str, key: str) -> StoreError:
        """What that error means. A missing bucket is a NotFound without `key`."""

    @abstractmethod
    def _put_object(self, client: Any, name: str, data: bytes, mode: Mode, noted: Noted) -> str:
        """One conditional put; gives the etag. Raises PreconditionFailed also for a Create that came too late."""

    @abstractmethod
    def _put_large(
        self, key: str, source: SourceFile, sha256: str, nonce: str, content_type: str, progress: Progress
    ) -> tuple[str, str]:
        """An upload that is invisible until it is whole; gives etag and sha256 (`sha256` where that isn't empty).

        Raises IntegrityError for a source that is not what `sha256` names.
        """

    @abstractmethod
    def _head_object(self, client: Any, name: str, key: str) -> Found:
        """What is known of the object."""

    @abstractmethod
    def _read_object(
        self, client: Any, name: str, key: str, start: int, size_bytes: int, etag: str
    ) -> tuple[Found, Generator[bytes, None, None]]:
        """A range of the object, if it still has that etag (when one is given); no bytes where it starts at the end.

        The connection is given back or closed when the bytes' generator ends or is closed."""

    @abstractmethod
    def _list_page(self, client: Any, prefix: str, after: str, token: str | None) -> Page:
        """One page of the objects that start with `prefix`; those up to `after` may be among them."""

    @abstractmethod
    def _delete_object(self, client: Any, name: str) -> None:
        """Removes the object."""

    @abstractmethod
    def _sign(self, client: Any, name: str, expires_s: int) -> str:
        """A URL that anybody can read the object with."""

    @abstractmethod
    def _rules(self, client: Any, kind: Kind) -> Iterable[Rule]:
        """The bucket's settings of that kind, all of them. Raises NotSupported where the vendor doesn't give them."""

    @abstractmethod
    def _date(self, client: Any) -> str | None:
        """The Date header of an answer of the store, whatever its status."""
