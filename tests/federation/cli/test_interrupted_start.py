"""Ctrl-C at any moment of the start ends the command without a traceback."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import builtins, sys
real, left = builtins.__import__, {count}

def interrupted(name, *rest, **more):
    global left
    left -= 1
    if left == 0:
        raise KeyboardInterrupt
    return real(name, *rest, **more)

from federation.__main__ import main
sys.argv = ["fedml", "--version"]
builtins.__import__ = interrupted
main()
"""


@pytest.mark.parametrize("count", [1, 5, 50, 400])
def test_an_interrupt_while_modules_are_imported_shows_no_traceback(count: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(count=count)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    assert (done.returncode, done.stdout) == (130, "")
