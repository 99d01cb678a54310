"""Prints the requests to regions and buckets on standard error, for `-v`."""

from __future__ import annotations

import logging

from federation.output.streams import is_verbose, write_note


class _Notes(logging.Handler):
    """Prints each record while the command is verbose."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one line."""
        if is_verbose():
            write_note(record.getMessage())


def print_requests() -> None:
    """Prints what `regions` logs of its requests from now on. Safe to call twice."""
    logger = logging.getLogger("fedml.requests")
    logger.setLevel(logging.DEBUG)
    if not any(isinstance(handler, _Notes) for handler in logger.handlers):
        logger.addHandler(_Notes())
