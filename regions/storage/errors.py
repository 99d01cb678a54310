"""Errors of a store. Each backend turns its SDK's errors into these in one place, so that callers see no other.

::

    StoreError(FedmlError)         .store (URL), .operation, .key
    ├── NotFound                   no such object (or bucket)
    ├── AlreadyExists              Create: the key is taken by somebody else's object
    ├── PreconditionFailed         Update: the object isn't at that etag any more
    ├── PermissionDenied           the credentials may not do this, or there are none
    ├── Unavailable                no answer, throttled or 5xx after all retries; the outcome of a write is unknown
    │   └── RequestConflict        another request for the same key is under way: sent again (regions.storage.retry)
    ├── IntegrityError             bytes or size don't match their sha256, or a listing contradicts itself
    ├── TooLarge                   the object has more bytes than its reader takes
    ├── NotSupported               this store can't do this mode atomically, so it refuses
    └── InvalidStoreURL            the URL or key is wrong, and how to write it
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from jobs.errors import FedmlError

CLOCK = "this machine's clock is wrong: set it (NTP)"


class StoreError(FedmlError):
    """Something about one store."""

    def __init__(self, message: str, *, store: str = "", operation: str = "", key: str = "", hint: str = "") -> None:
        super().__init__(f"store {store}: {message}" if store else message, hint=hint)
        self.store = store
        self.operation = operation
        self.key = key


class NotFound(StoreError):
    """No such object."""


class AlreadyExists(StoreError):
    """The key is taken, and not by an earlier try of this very call."""


class PreconditionFailed(StoreError):
    """The object changed since the etag was read."""


class PermissionDenied(StoreError):
    """The credentials don't allow this operation."""


class Unavailable(StoreError):
    """The store didn't answer; a write may or may not have happened."""

    retry_after_s: float = 0.0
    """How long the store asks to be left alone."""
    is_passing: bool = True
    """Whether the same request may succeed later."""


class IntegrityError(StoreError):
    """What was read isn't what was written."""


class TooLarge(StoreError):
    """The object has more bytes than its reader accepts, or a listing more objects."""


class NotSupported(StoreError):
    """This store can't keep that promise atomically."""


class InvalidStoreURL(StoreError):
    """A store URL or key that can't be used."""


def remedy_for(reason: str, remedies: Iterable[tuple[re.Pattern[str], str]]) -> str:
    """What to do about what a vendor says: the remedy of the first pattern that is in it, else ""."""
    return next((remedy for pattern, remedy in remedies if pattern.search(reason)), "")
