"""Starts the command `fedml`. Ctrl-C while its modules are imported ends it at once, without a traceback."""

from __future__ import annotations

import gc
import os
import sys
import warnings

INTERRUPTED = 130


def main() -> None:
    """Runs the command line and exits with its code."""
    gc.set_threshold(200_000)  # start-up makes no garbage, and the search for it takes a tenth of the time
    if not sys.warnoptions:  # those of libraries are for programmers
        warnings.simplefilter("ignore")
    try:
        from federation.cli import main as command
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)
    command()


if __name__ == "__main__":
    main()
