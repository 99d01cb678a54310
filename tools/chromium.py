"""Finds a Chromium for the tests of the pages, else installs Debian's package: `python3 tools/chromium.py`.

Prints where it is. Without one, without root or without apt it says so and ends well: the tests that need a browser are then
skipped, or fail where FEDML_REQUIRE names `browser`. Uses the standard library only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def found() -> str:
    """The path of a Chromium; "" where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), "")


def main() -> int:
    """Makes sure that there is one, where this user may."""
    if not found() and shutil.which("apt-get") and os.geteuid() == 0:
        print("Installing chromium by apt-get …", file=sys.stderr, flush=True)
        for step in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "chromium"]):
            done = subprocess.run(["apt-get", *step], stdout=subprocess.DEVNULL, check=False)  # its errors are shown
            if done.returncode:
                break
    print(found() or "no Chromium: tests of the pages in a browser are skipped", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
