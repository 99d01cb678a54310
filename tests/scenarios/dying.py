"""A moment and a command line enter; the command runs as it is, and its process is killed (SIGKILL) at that moment.

    python -m tests.scenarios.dying MOMENT dispatch --job …

A moment is `before:WHAT:N` or `after:WHAT:N`: the N-th time that the command does WHAT, which is `dispatch` (a request to
a region; `after`: it was done there, and the answer is lost), `told TEXT` (a line with that text on stderr) or `put TEXT`
(a write to the home store whose key or content holds TEXT).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any


def main(arguments: list[str]) -> None:
    """Run it."""
    moment, *command = arguments
    when, what, number = moment.split(":")
    kind, _, text = what.partition(" ")
    at = _Moment(when, int(number))
    if kind == "dispatch":
        from regions.nomad.client import NomadRegion

        def is_of_a_slot(*_: object, meta: Mapping[str, str], **__: object) -> bool:
            return bool(meta)  # the try whether the token may dispatch has none

        NomadRegion.dispatch = at.around(NomadRegion.dispatch, is_of_a_slot)  # type: ignore[method-assign]
    elif kind == "put":
        from regions.storage.file.store import FileStore

        def is_meant(store: FileStore, key: str, data: bytes, *_: object, **__: object) -> bool:
            return store.url.endswith("/home") and (text in key or text.encode() in data)

        FileStore.put = at.around(FileStore.put, is_meant)  # type: ignore[method-assign]
    elif kind == "told":
        write = sys.stderr.write
        sys.stderr.write = at.around(write, lambda line: text in line)  # type: ignore[method-assign]
    else:
        raise ValueError(moment)

    from federation.cli import main as fedml

    fedml(command)


class _Moment:
    """Counts, and kills in time."""

    def __init__(self, when: str, number: int) -> None:
        self._when, self._number = when, number
        self._seen = 0
        self._lock = threading.Lock()

    def around(self, act: Callable[..., Any], is_meant: Callable[..., bool]) -> Callable[..., Any]:
        """`act`, and death before or after the N-th call that is meant."""

        def watched(*arguments: Any, **options: Any) -> Any:
            is_it = False
            if is_meant(*arguments, **options):
                with self._lock:
                    self._seen += 1
                    is_it = self._seen == self._number
            if is_it and self._when == "before":
                _die()
            answer = act(*arguments, **options)
            if is_it:
                _die()
            return answer

        return watched


def _die() -> None:
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
