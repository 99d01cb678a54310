"""Entry of the task of `fedml run`: errors are one line on standard error, with an exit code."""

from __future__ import annotations

import os
from collections.abc import Sequence

from federation.errors import CodeError, Unpublishable, UsageError
from federation.output.streams import screened_streams, write_error
from federation.output.terminal import open_standard_streams
from jobs.code_run import AT_FAULT
from jobs.errors import FedmlError
from regions.loopback import keep_loopback_from_proxies

ACTIONS = ("fetch", "run")
"""`run` fetches the code, unless it is there. `fetch` alone was a task of its own in jobs of older versions."""


def main(arguments: Sequence[str]) -> int:
    """Runs one action and returns the exit code of the task."""
    keep_loopback_from_proxies()
    open_standard_streams()
    with screened_streams():
        return _acted(arguments)


def _acted(arguments: Sequence[str]) -> int:
    begin = "Error: "
    try:
        return _act(arguments)
    except ModuleNotFoundError as error:
        problem, hint = (
            f"this program lacks {error.name}",
            "use the archive for the kind of store of this datacenter",
        )
    except FedmlError as error:
        problem, hint = error.message, error.hint
        if list(arguments) == ["run"] and isinstance(error, (CodeError, Unpublishable)):
            begin = AT_FAULT
    except OSError as error:
        problem, hint = f"{error.filename or 'a file'}: {error.strerror}", "look at the disk of the node"
    write_error(problem, hint, begin=begin)
    return 1


def _act(arguments: Sequence[str]) -> int:
    if list(arguments) == ["fetch"]:
        from federation.task.fetch import fetch

        return fetch(os.environ)
    if list(arguments) == ["run"]:
        from federation.task.run import run

        return run(os.environ, fetch=lambda: _acted(["fetch"]))
    raise UsageError(f"give one of: {', '.join(ACTIONS)}")
