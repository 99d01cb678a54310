"""The rule of the whole suite that finds secrets in what tests say (conftest) finds them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SUITE = """
import logging, sys

def test_by_print(): print("token planted-abc")
def test_by_error(): print("planted0123", file=sys.stderr)
def test_by_log(): logging.getLogger("x").warning("planted-def")
def test_keeps_it(): secret = "planted-abc"
"""


def test_a_secret_that_is_said_fails_the_test(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(Path(__file__).with_name("conftest.py").read_text())
    (tmp_path / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "3 failed, 1 passed" in done.stdout
    assert "test_by_log said what it should keep to itself: planted-def" in done.stdout
