"""The patience that the server at one address asks for (`Retry-After`), kept by all threads that ask it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from regions.retry_after import retry_after_s

PATIENCE_MAX_S: Final = 300.0
"""It is asked again after this time, whatever it said."""


class Patience:
    """When the server may be asked again. Shared by threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until_s = float("-inf")

    @property
    def left_s(self) -> float:
        """How much longer nothing is sent; 0 where something may be."""
        return max(0.0, self._until_s - self._clock())

    def read(self, status: int, headers: Mapping[str, str]) -> None:
        """Take what an answer says: 429 and 503 may say how long to wait, in seconds or as a date."""
        if status in (429, 503) and "Retry-After" in headers:
            seconds = min(retry_after_s(headers["Retry-After"]), PATIENCE_MAX_S)
            self._until_s = max(self._until_s, self._clock() + seconds)
