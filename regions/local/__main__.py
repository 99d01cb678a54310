"""`python -m regions.local CONFIG.json [--fd N]`: a region runs until it is told to end. Small: it is compiled each time."""

from __future__ import annotations

import sys

from regions.local.process import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
