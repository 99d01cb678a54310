"""The index as pages read it: as this process knew it last, or as it was at one of the revisions that somebody looked at."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from federation.index import Index
from federation.index.catalog.catalog import Catalog
from federation.index.reader import Reader
from federation.log import Entry

PASTS_KEPT = 2
"""The index as it was at a revision is a copy of the catalog, so only the last ones are kept."""

Answer = TypeVar("Answer")


class View(Reader):
    """An index that is asked in one way: without a request to the home, or as it was."""

    def __init__(self, ask: Callable[[Any], Any], entry: Callable[[int], Entry], revision: int) -> None:
        self._ask, self._entry, self._revision = ask, entry, revision

    def ask(self, question: Callable[[Catalog], Answer]) -> Answer:
        answer: Answer = self._ask(question)
        return answer

    ask_again = ask

    def entry(self, number: int) -> Entry:
        return self._entry(number)


class Pasts:
    """The last revisions that somebody looked at. One that nobody uses any more is closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[int, View] = {}

    def at(self, index: Index, revision: int) -> View:
        """The index at that revision."""
        with self._lock:
            past = self._kept.pop(revision, None)
            if past is None:
                opened = index.at(str(revision))
                past = View(opened.ask, opened.entry, revision)
                weakref.finalize(past, opened.close)
            self._kept[revision] = past
            while len(self._kept) > PASTS_KEPT:
                del self._kept[next(iter(self._kept))]
            return past
