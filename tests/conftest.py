"""Rules of the whole suite: the order of its tests, and that none of them says a secret.

Ctrl-C means what it says, also where the suite was begun in a shell's background.

What takes longest begins first, so that all workers end together (`units.py`). Secrets that tests plant in
credentials begin with `planted`: a test in whose captured output or log one shows up has failed.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from tests.units import place_of

PLANTED = re.compile(r"planted[-0-9a-f]\w*")

# What a machine takes for an example says nothing about the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# Half of what a command or a region costs to start is compiling this code, where Python may not keep what it compiled.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # begun in the background of a shell: commands would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: place_of(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    from tests.units import Units

    return Units(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    said = {found for _, text in report.sections for found in PLANTED.findall(text)}
    if report.passed and said:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} said what it should keep to itself: {', '.join(sorted(said))}"
    return report
