"""Unmounts everything that is mounted inside a folder.

Nomad's clients that run as root mount small file systems for the secrets of each task, and leave them when they end.
"""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

from federation.errors import DevError

_DETACH = 2


def mounted_under(folder: Path) -> list[Path]:
    """What is mounted inside the folder, the innermost first."""
    inside = f"{folder.resolve()}/"
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), line.split(" ")[4])
        if place.startswith(inside):
            found.append(Path(place))
    return sorted(found, reverse=True)


def unmount_under(folder: Path) -> None:
    """Unmounts all of it. Raises DevError for what can't be unmounted."""
    places = mounted_under(folder)
    if not places:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for place in places:
        if libc.umount2(os.fsencode(place), _DETACH) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise DevError(f"{place} can't be unmounted: {reason}", hint=f"umount {place}, then `fedml dev down` again")
