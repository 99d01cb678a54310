"""`python -m federation.task run`: the task of `fedml run`."""

from __future__ import annotations

import sys

from federation.task.actions import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
