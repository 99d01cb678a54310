"""Runs a region: `python -m regions.local CONFIG.json [--fd N]`. Kept small: Python compiles it at each start."""

from __future__ import annotations

import sys

from regions.local.process import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
