"""Check the pages of one listing against each other: they go forwards, stay below the prefix, and come to an end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from regions.storage.errors import IntegrityError, StoreError, Unavailable
from regions.storage.sdk_store import Page
from regions.storage.store import ObjectInfo

EMPTY_PAGES_MAX = 1000
"""How many pages without an object may follow each other: services give some where much was removed."""
LISTING_S = 300.0
OBJECTS_PER_S = 20
"""A listing may take `LISTING_S`, and a second more for so many objects; what its reader does meanwhile doesn't count."""


class PageOrder:
    """What was listed so far. `is_ordered`: the vendor lists by the bytes of the keys, all of them after the key `after`."""

    def __init__(self, store: str, prefix: str, *, is_ordered: bool, after: str = "") -> None:
        self._store = store
        self._prefix = prefix
        self._is_ordered = is_ordered
        self._last = after
        self._first_of_page = ""
        self._is_by_folder = False
        self._empty_pages = 0
        self._objects = 0
        self._spent_s = 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the time of one page. Raises Unavailable for a listing that brings too few objects for its time."""
        began = time.monotonic()
        yield
        self._spent_s += time.monotonic() - began
        if self._spent_s > LISTING_S + self._objects / OBJECTS_PER_S:
            what = f"listing {self._prefix!r} gave {self._objects:,} objects in {self._spent_s:.0f} s and didn't finish"
            raise Unavailable(what, store=self._store, operation="list", key=self._prefix)

    def checked(self, page: Page, asked_with: str | None) -> Iterator[ObjectInfo]:
        """The page's objects. `asked_with` is the token that it was asked for with. Raises IntegrityError."""
        if page.token is not None and page.token == asked_with:
            raise self._wrong(f"the page after {page.token[:80]!r} is to be asked for with the same token again")
        first = page.objects[0].key if page.objects else ""
        if first and first == self._first_of_page:
            raise self._wrong(f"a second page begins with {first!r}")
        self._first_of_page = first or self._first_of_page
        for found in page.objects:
            if not found.key.startswith(self._prefix):
                raise self._wrong(f"{found.key!r} doesn't start with it")
            if self._is_ordered and not self._goes_on(found.key):
                raise self._wrong(f"{found.key!r} comes after {self._last!r}")
            self._last = found.key
            yield found
        self._objects += len(page.objects)
        self._empty_pages = 0 if page.objects or page.token is None else self._empty_pages + 1
        if self._empty_pages > EMPTY_PAGES_MAX:
            raise self._wrong(f"{self._empty_pages:,} pages in a row are empty, and more are to be asked for")

    def _goes_on(self, key: str) -> bool:
        """Whether the key comes after the last one; compared folder by folder once the server turned out to list so."""
        if not self._is_by_folder and key > self._last:
            return True
        self._is_by_folder = True
        return key.split("/") > self._last.split("/")

    def _wrong(self, what: str) -> StoreError:
        return IntegrityError(
            f"listing {self._prefix!r} can't be trusted: {what}",
            store=self._store,
            operation="list",
            key=self._prefix,
            hint="the server behind the store, or a proxy before it, gives wrong pages",
        )
